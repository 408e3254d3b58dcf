"""Commands that make a model lighter. `group.py` lists them; a command's work lies in the file beside it."""

from birdbone.cli.compress.group import compress

__all__ = ["compress"]
