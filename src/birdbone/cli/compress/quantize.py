"""The command that gives a model fewer bits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.options import AsJson


def quantize(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="`starter`, a folder, a .safetensors, a .gguf or a hub id.")
    ],
    bits: Annotated[
        float | None, typer.Option(help="Bits a weight that the linears may take on average; never exceeded.")
    ] = None,
    linears: Annotated[
        str, typer.Option("--type", help="One type for all linears, where --bits is not given.")
    ] = "q4_0",
    types: Annotated[
        str | None, typer.Option(metavar="TYPE,TYPE", help="Types that --bits may choose from; all unless given.")
    ] = None,
    embedding: Annotated[str, typer.Option(help="Type of the embedding and the head.")] = "q8_0",
    rounding: Annotated[
        str,
        typer.Option(help="`nearest`, `importance` (imatrix), `feedback` (GPTQ) or `descent`, the best and slowest."),
    ] = "descent",
    learning_steps: Annotated[
        int, typer.Option(min=0, help="Steps a block that learn which way each weight rounds (AutoRound).")
    ] = 0,
    text: Annotated[
        str, typer.Option(metavar="SOURCE", help="Text to calibrate and to judge on: a file, a folder, a hub dataset.")
    ] = "bundled",
    windows: Annotated[int, typer.Option(min=1, help="Calibration windows.")] = 16,
    window_tokens: Annotated[int, typer.Option(min=2, help="Tokens of a window.")] = 512,
    heldout_windows: Annotated[int, typer.Option(min=1, help="Windows that the result is judged on.")] = 16,
    choice: Annotated[
        str, typer.Option(help="Calibration windows: the `first`, by `coverage` of tokens, or by `k_center`.")
    ] = "first",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the model as this .gguf.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page of what it did to the model.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; as many as are free unless given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give a model fewer bits a weight, each linear as many as it needs, and say what that did."""
    from birdbone.cli import output
    from birdbone.cli.compress import quantizing

    plan = quantizing.plan_of(
        bits=bits,
        linears=linears,
        types=types,
        embedding=embedding,
        rounding=rounding,
        learning_steps=learning_steps,
        text=text,
        num_windows=windows,
        window_tokens=window_tokens,
        num_heldout=heldout_windows,
        choice=choice,
    )
    found, paths = quantizing.quantize(model, plan, out=out, page=report, num_threads=threads)
    if as_json:
        output.print_json(quantizing.as_json(found))
    else:
        for table in quantizing.tables(found):
            output.print_table(table)
    for path in paths:
        output.talk(f"written: {path}")
