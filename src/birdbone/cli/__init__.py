"""The first door: the command line. A command parses, calls one function and prints.

Owns: the commands and their options, what a person sees in a terminal, how an error leaves the process.
Needs: Typer and Rich; every other room, each imported in the body of the command that uses it, so that
`birdbone --help` starts without torch.
"""

from birdbone.cli.app import app, main

__all__ = ["app", "main"]
