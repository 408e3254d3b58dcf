"""Arguments and options that several commands of `eval` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="`starter`, a folder, a .safetensors, a .gguf, a hub id, or the http:// of a service."
    ),
]
"""What is judged."""

Suite = Annotated[
    str | None, typer.Option(help="`quick` (minutes), `core` or `full`; `quick` unless this or --task is given.")
]
"""Which benchmarks."""

Tasks = Annotated[
    list[Path] | None,
    typer.Option("--task", metavar="FILE", help="A task of your own, .yaml, .jsonl or .csv; may be repeated."),
]
"""Benchmarks of one's own."""

Only = Annotated[list[str] | None, typer.Option(metavar="BENCHMARK", help="Only this benchmark; may be repeated.")]
"""Some of them."""

Limit = Annotated[int | None, typer.Option(min=1, help="Ask only the first so many items of each task.")]
"""How many items."""

Items = Annotated[Path | None, typer.Option(help="Folder with the files of the benchmarks; the hub unless given.")]
"""Where items lie."""

EngineName = Annotated[
    str | None,
    typer.Option("--engine", help="`torch` or `llama.cpp`; a .gguf runs in llama.cpp unless told otherwise."),
]
"""What runs the model."""

DtypeName = Annotated[str, typer.Option("--dtype", help="In torch: `float32`, `bfloat16`, or `auto` by measuring.")]
"""Number format of the computation."""

Threads = Annotated[int | None, typer.Option(min=1, help="Threads; as many as are free unless given.")]
"""How many threads."""

Served = Annotated[str | None, typer.Option("--served-model", metavar="NAME", help="What the service calls the model.")]
"""The model behind an endpoint."""

Tokenizer = Annotated[str | None, typer.Option(metavar="MODEL", help="Whose tokenizer the model behind a service has.")]
"""The vocabulary of an endpoint."""

Seed = Annotated[int, typer.Option(help="Of all that is drawn.")]
"""Seed."""

NumCtx = Annotated[int, typer.Option("--context", min=16, metavar="TOKENS", help="Tokens that a service takes.")]
"""Context of an endpoint."""

Processes = Annotated[int, typer.Option(min=1, help="Processes that share the suite; each holds the model.")]
"""How many processes."""
