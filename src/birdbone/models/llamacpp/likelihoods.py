"""What a GGUF file makes of a text, window by window. Shapes: N windows, T tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from birdbone.models.llamacpp.engine import open_engine


def file_nll(
    path: Path,
    windows_NT: NDArray[np.int64],
    *,
    num_threads: int,
    adapter: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> NDArray[np.float64]:
    """Return the likelihood of every token but the first of each window in nats, by llama.cpp, shape (N, T - 1).

    Args:
        adapter: a LoRA adapter to compute with.
        progress: called with windows done and windows in all.

    Raises:
        EngineError: llama.cpp is absent, or does not take the file or the adapter.
    """
    rows = []
    with open_engine(path, num_ctx=windows_NT.shape[1], num_threads=num_threads) as engine:
        if adapter is not None:
            engine.use_adapter(adapter)
        for number, window_T in enumerate(windows_NT, start=1):
            rows.append(engine.nll(window_T.tolist()))
            progress(number, len(windows_NT))
    return np.stack(rows)
