"""The row of figures that a benchmark of the craft prints and keeps, with what it was measured on."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from birdbone.core import digest_json
from birdbone.watch import describe_hardware


def provenance(settings: argparse.Namespace, bench: str, *, hidden: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a row says of its origin; of a path only the name, and none of what is `hidden`."""
    described = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    chosen = {name: value for name, value in vars(settings).items() if name not in ("output", *hidden)}
    chosen = {name: value.name if isinstance(value, Path) else value for name, value in chosen.items()}
    return {
        "bench": bench,
        "commit": described.stdout.strip(),
        "machine": describe_hardware().cpu_model,
        "threads": torch.get_num_threads(),
        "settings": chosen,
        "settings_digest": digest_json(chosen),
    }


def tell(row: Mapping[str, Any], output: Path | None) -> None:
    """Print a row as one line of JSON, and write it where one wants it."""
    line = json.dumps(row, ensure_ascii=False)
    if output is not None:
        output.write_text(line + "\n", encoding="utf-8")
    print(line, flush=True)


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Return the median of a figure under its name, and its ends."""
    return {name: statistics.median(values), f"{name}_min": min(values), f"{name}_max": max(values)}
