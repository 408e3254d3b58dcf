"""The command that writes a model as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birdbone.cli.compress import options
from birdbone.cli.options import AsJson


def onnx(
    model: options.Model,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write the model as this .onnx.")],
    tolerance: Annotated[
        float, typer.Option(min=1e-7, help="Largest difference of a logit from torch's that is let through.")
    ] = 1e-3,
    as_json: AsJson = False,
) -> None:
    """Write a model as ONNX. Kept only if onnxruntime computes what torch does."""
    from birdbone.cli import output
    from birdbone.cli.compress import onnx_export

    report = onnx_export.export(model, out, tolerance=tolerance)
    if as_json:
        output.print_json(onnx_export.as_json(report))
    else:
        output.print_table(onnx_export.table(report))
    output.talk(f"written: {report.path}")
