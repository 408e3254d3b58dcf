"""Commands that find structures without load, take them out, and put them back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.compress import options
from birdbone.cli.options import AsJson

Protect = Annotated[
    list[str] | None, typer.Option(metavar="GLOB", help="Structures that stay, such as `layers.0.*`; may be repeated.")
]


def plates(
    model: options.Model,
    text: options.Text = "bundled",
    windows: options.NumWindows = 8,
    window: options.Window = 256,
    ablate: Annotated[int, typer.Option(min=0, help="Windows that measure the loss without each block.")] = 1,
    protect: Protect = None,
    mark: Annotated[
        float | None, typer.Option(metavar="NATS", help="Mark plates whose damage is at most this, in nats a token.")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all plates as JSON into this file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with a picture into this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find structures that may go, and what each would cost."""
    from birdbone.cli import output
    from birdbone.cli.compress import plating, sampling

    sample = sampling.Sample(source=text, num_windows=windows, window=window)
    found = plating.find(model, sample, ablate=ablate, protect=protect or (), mark=mark)
    if as_json:
        output.print_json(plating.as_json(found))
    else:
        for table in plating.tables(found):
            output.print_table(table)
    for path in plating.write(found, ledger=ledger, page=out):
        output.talk(f"written: {path}")


def shed(
    model: options.Model,
    pattern: Annotated[
        str,
        typer.Option(
            help="`unstructured`, `n:m` such as 2:4, `block`, `neuron`, `head`, `kv_group`, `layer`, `attention`, "
            "`feed_forward`, `targeted` or `adaptive`."
        ),
    ],
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the lighter model goes.")] = None,
    share: Annotated[float, typer.Option(min=0.0, max=0.99, help="Share of the decoder's parameters that goes.")] = 0.1,
    structure: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="What goes with `targeted`; may be repeated.")
    ] = None,
    multiple: Annotated[int, typer.Option(min=1, help="Widths stay multiples of this: 256 for K-quants.")] = 32,
    protect: Protect = None,
    refit: Annotated[bool, typer.Option(help="Let what stays take over, by exact least squares.")] = True,
    text: options.Text = "bundled",
    windows: options.NumWindows = 16,
    window: options.Window = 256,
    judged: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Other windows that the written folder is judged on; 0: it is not."),
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take weights or structures out of a model. Says what that brought."""
    from birdbone.cli import output
    from birdbone.cli.compress import cut_words, cutting, sampling

    wanted = cutting.wanted(pattern, share=share, structures=structure or (), multiple=multiple, protect=protect or ())
    told = cutting.shed(
        model,
        wanted,
        sampling.Sample(source=text, num_windows=windows, window=window),
        out=out,
        refits=refit,
        num_judged=judged,
        is_dry=dry_run,
    )
    if as_json:
        output.print_json(cut_words.as_json(told))
    else:
        output.print_table(cut_words.table(told), *cut_words.lines(told))


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `compress shed` wrote.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the restored model goes.")],
    structure: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="What comes back; everything unless given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put back what was shed, all of it or a part, bit for bit."""
    from birdbone.cli import output
    from birdbone.cli.compress import cutting

    names = cutting.restore(folder, out, structures=structure or ())
    if as_json:
        output.print_json({"structures": list(names), "out": str(out)})
    else:
        output.print_line(f"{len(names)} structures are back; written: {out}")
