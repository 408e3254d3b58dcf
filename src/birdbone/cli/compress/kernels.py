"""The command that times the ways of computing a model's linears on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson


def kernels(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="`starter`, a folder, a .safetensors, a .gguf or a hub id.")
    ],
    tokens: Annotated[str, typer.Option(metavar="N,N", help="Tokens at once: 1 is decoding.")] = "1,128",
    rank_share: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Bytes of low-rank factors as a share of the dense weight's.")
    ] = 0.5,
    repeats: Annotated[int, typer.Option(min=1, help="Timed calls of each kernel.")] = 15,
    cache: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep what was timed in this file, and look there first.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; as many as are free unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Time dense, int8, low-rank and sparse products. Refuses what is slower than dense."""
    from birdbone.cli import output
    from birdbone.cli.compress import kernel_times

    found = kernel_times.time_linears(
        model, tokens, rank_share=rank_share, repeats=repeats, cache=cache, num_threads=threads
    )
    if as_json:
        output.print_json(kernel_times.as_json(found))
    else:
        output.print_table(kernel_times.table(found))
