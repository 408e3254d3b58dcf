"""The commands that ask whether a model is fair, and whether it is safe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.evaluate import options
from birdbone.cli.options import AsJson

ItemsFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder with the files; what needs one that is not there is not measured."),
]
DrawnLimit = Annotated[
    int | None, typer.Option(min=1, help="At most so many items of each set, drawn by a fixed seed.")
]
OnlyAudit = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this audit; may be repeated.")]


def fairness(
    model: options.Model,
    items: ItemsFolder = None,
    limit: DrawnLimit = None,
    only: OnlyAudit = None,
    engine: options.EngineName = None,
    dtype: options.DtypeName = "auto",
    served_model: options.Served = None,
    tokenizer: options.Tokenizer = None,
    context: options.NumCtx = 2048,
    threads: options.Threads = None,
    as_json: AsJson = False,
) -> None:
    """Ask whether a model treats groups of people alike."""
    from birdbone.cli.evaluate import asking, auditing

    on = asking.On(
        engine=engine, dtype=dtype, threads=threads, served_model=served_model, tokenizer=tokenizer, num_ctx=context
    )
    asked = auditing.Wanted(items=items, limit=limit, only=tuple(only or ()))
    auditing.print_audits(auditing.audit_fairness(model, asked, on), as_json=as_json)


def safety(
    model: options.Model,
    items: ItemsFolder = None,
    limit: DrawnLimit = None,
    only: OnlyAudit = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Length of a reply.")] = 96,
    replies: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every request and reply here, as JSON lines.")
    ] = None,
    engine: options.EngineName = None,
    dtype: options.DtypeName = "auto",
    served_model: options.Served = None,
    tokenizer: options.Tokenizer = None,
    context: options.NumCtx = 2048,
    threads: options.Threads = None,
    as_json: AsJson = False,
) -> None:
    """Ask what a model replies to harmful requests."""
    from birdbone.cli.evaluate import asking, auditing

    on = asking.On(
        engine=engine, dtype=dtype, threads=threads, served_model=served_model, tokenizer=tokenizer, num_ctx=context
    )
    asked = auditing.Wanted(items=items, limit=limit, only=tuple(only or ()))
    found = auditing.audit_safety(model, asked, on, max_new_tokens=max_new_tokens, replies=replies)
    auditing.print_audits(found, as_json=as_json)
