"""The command that gives a model fewer bits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.compress import options
from birdbone.cli.options import AsJson


def quantize(
    model: options.Model,
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
    text: options.Text = "bundled",
    windows: options.NumWindows = 16,
    window: options.Window = 512,
    judged: options.NumJudged = 16,
    choice: Annotated[
        str, typer.Option(help="Calibration windows: the `first`, by `coverage` of tokens, or by `k_center`.")
    ] = "first",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the model as this .gguf.")] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a GGUF LoRA adapter that takes back a part of the rounding error."),
    ] = None,
    adapter_rank: Annotated[int, typer.Option(min=1, help="Rank of that adapter.")] = 8,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page of what it did to the model.")
    ] = None,
    threads: options.Threads = None,
    as_json: AsJson = False,
) -> None:
    """Give each linear as many bits as it needs. Says what that did."""
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
        window_tokens=window,
        num_heldout=judged,
        choice=choice,
        adapter_rank=adapter_rank,
    )
    outputs = quantizing.Outputs(model=out, adapter=adapter, page=report)
    found, paths = quantizing.quantize(model, plan, outputs=outputs, num_threads=threads)
    if as_json:
        output.print_json(quantizing.as_json(found))
    else:
        for table in quantizing.tables(found):
            output.print_table(table)
    for path in paths:
        output.talk(f"written: {path}")
