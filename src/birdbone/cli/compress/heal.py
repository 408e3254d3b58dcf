"""The command that mends a pruned model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.compress import options
from birdbone.cli.options import AsJson


def heal(
    model: options.Model,
    dense: Annotated[str, typer.Option(metavar="MODEL", help="The model that it was made from, which it learns from.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the healed model goes.")],
    method: Annotated[
        str, typer.Option(help="`blockwise`, `distill` (the whole model), `lora` or `qlora`, all under the mask.")
    ] = "blockwise",
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps; over all blocks where blockwise.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Windows a step.")] = None,
    rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    intensity: Annotated[
        str | None, typer.Option(help="`severity` gives damaged blocks more steps, or more rank; `even` does not.")
    ] = None,
    distill_share: Annotated[
        float | None,
        typer.Option(help="Share of the loss that comes from the dense model; the rest is the text's next token."),
    ] = None,
    rank: Annotated[int | None, typer.Option(help="Rank of each update of lora and qlora.")] = None,
    alpha: Annotated[float | None, typer.Option(help="An update counts alpha / rank.")] = None,
    role: Annotated[
        list[str] | None, typer.Option(help="Linears with an update, such as q; may be repeated; all unless given.")
    ] = None,
    norms: Annotated[
        bool | None, typer.Option("--norms/--no-norms", help="Let norms and biases learn beside the updates.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="The 4 bits of qlora: `nf4` or `q4_0`.")] = None,
    adapter: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the updates of lora and qlora as .safetensors too.")
    ] = None,
    cpu_minutes: Annotated[
        float | None, typer.Option(help="Learn no longer than this; what was learned until then is judged.")
    ] = None,
    text: options.Text = "bundled",
    windows: options.NumWindows = 34,
    window: options.Window = 256,
    judged: options.NumJudged = 16,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    as_json: AsJson = False,
) -> None:
    """Let a pruned model learn from the dense one. No zero comes back."""
    from birdbone.cli import output
    from birdbone.cli.compress import healing

    config = healing.config_of(
        method,
        num_steps=steps,
        batch_size=batch,
        num_windows=windows,
        learning_rate=rate,
        intensity=intensity,
        distill_share=distill_share,
        rank=rank,
        alpha=alpha,
        roles=tuple(role) if role else None,
        should_train_norms=norms,
        base=base,
        seed=seed if method in ("lora", "qlora") else None,
    )
    sample = healing.Sample(source=text, num_windows=windows, num_judged=judged, window=window, seed=seed)
    limits = healing.Limits(cpu_minutes=cpu_minutes, num_threads=threads)
    found = healing.heal(model, dense, config, sample=sample, out=out, adapter=adapter, limits=limits)
    if as_json:
        output.print_json(healing.as_json(found))
    else:
        for table in healing.tables(found):
            output.print_table(table)
        output.print_line(healing.verdict(found))
    for path in found.written:
        output.talk(f"written: {path}")
