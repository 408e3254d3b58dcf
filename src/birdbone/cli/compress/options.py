"""Arguments and options that several commands of `compress` share."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="`starter`, a folder, a .safetensors, a .gguf or a hub id.")
]
"""What is looked at or made lighter."""

Text = Annotated[
    str, typer.Option(metavar="SOURCE", help="Text that it is seen on: `bundled`, a file, a folder, a hub dataset.")
]
"""Where windows come from."""

NumWindows = Annotated[int, typer.Option("--windows", min=1, metavar="N", help="Windows of that text.")]
"""How much is read."""

Window = Annotated[int, typer.Option("--window", min=2, metavar="TOKENS", help="Tokens of a window.")]
"""How long a window is."""

NumJudged = Annotated[int, typer.Option("--judged", min=1, metavar="N", help="Other windows that it is judged on.")]
"""How much of the held-out text is read."""

Seed = Annotated[int, typer.Option(min=0, help="Of all that is drawn.")]
"""Seed."""

Threads = Annotated[int | None, typer.Option(min=1, help="Threads; as many as are free unless given.")]
"""How many threads."""
