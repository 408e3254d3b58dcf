"""What `compress onnx` does and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from birdbone.cli.output import new_table
from birdbone.core import digest_file
from birdbone.models import load_model
from birdbone.models.onnx import OnnxReport, export_onnx

_PROBE = (2, 24)
"""Texts and tokens of each that the file is compared with torch on."""


def export(model: str, out: Path, *, tolerance: float) -> OnnxReport:
    """Write the model and return how far it is from torch's.

    Raises:
        ModelError: there is no such model, the extra is missing, or onnxruntime computes something else.
    """
    loaded = load_model(model)
    generator = torch.Generator().manual_seed(0)
    probe_BT = torch.randint(loaded.architecture.vocab_size, _PROBE, generator=generator)
    return export_onnx(loaded.model, out, probe_BT=probe_BT, tolerance=tolerance)


def as_json(report: OnnxReport) -> dict[str, Any]:
    """Return everything as plain data."""
    return {
        "path": str(report.path),
        "size_bytes": report.size_bytes,
        "max_difference": report.max_difference,
        "digest": digest_file(report.path),
    }


def table(report: OnnxReport) -> Table:
    """Return the file's size and its largest difference from torch."""
    rows = [
        ("size", f"{report.size_bytes / 1e6:.1f} MB"),
        ("largest difference of a logit from torch's", f"{report.max_difference:.2g}"),
    ]
    return new_table(("figure", "value"), rows, title=report.path.name)
