"""What was timed before, by hardware and shape, in one JSON file. A file that cannot be read is as good as none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from birdbone.compress.dispatch.decision import Dispatch, KernelTiming
from birdbone.core import digest_json, write_json
from birdbone.watch import describe_hardware


def dispatch_key(shape: tuple[int, ...], *, num_tokens: int, rank: int | None, zero_share: float) -> str:
    """Return the name of a case: the machine, torch and its threads, and all that a kernel's time depends on."""
    hardware = describe_hardware()
    return digest_json(
        {
            "cpu": hardware.cpu_model,
            "isa": list(hardware.isa),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "shape": list(shape),
            "num_tokens": num_tokens,
            "rank": rank,
            "zero_percent": round(100 * zero_share),
        }
    )


class DispatchCache:
    """Dispatches by key, read once and written at every addition."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, Any] = _read(path)

    def find(self, key: str) -> Dispatch | None:
        """Return what was kept under a key; None where nothing was."""
        row = self._rows.get(key)
        if row is None:
            return None
        timings = tuple(KernelTiming(**timing) for timing in row["timings"])
        return Dispatch(chosen=row["chosen"], baseline=row["baseline"], timings=timings, refused=row["refused"])

    def keep(self, key: str, dispatch: Dispatch) -> None:
        """Keep a dispatch under a key."""
        self._rows[key] = dataclasses.asdict(dispatch)
        write_json(self._path, self._rows)


def _read(path: Path) -> dict[str, Any]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return rows if isinstance(rows, dict) else {}
