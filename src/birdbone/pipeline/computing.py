"""Settling how a run computes: threads and number format, chosen once and kept for every resume."""

from __future__ import annotations

from typing import Literal

from birdbone.models import choose_compute_dtype, use_threads

Dtype = Literal["auto", "float32", "bfloat16"]


def settle_dtype(dtype: Dtype, *, num_threads: int) -> Literal["float32", "bfloat16"]:
    """Return the number format of a run: as asked for, or for `auto` the faster of the two on this CPU, timed now."""
    if dtype != "auto":
        return dtype
    use_threads(num_threads)
    return "bfloat16" if str(choose_compute_dtype().dtype) == "torch.bfloat16" else "float32"


def use_machine(num_threads: int) -> None:
    """Compute with so many threads from now on."""
    use_threads(num_threads)
