"""Letting transformers parse a GGUF file once.

It reads all fields of the file three times (for the configuration, the weights and the tokenizer), through an array
type that takes four times as long to cut a piece from, and builds the names of all layers once for every module of the
model: two thirds of the time that a small model takes to load.
"""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import gguf
import numpy as np
from transformers import modeling_gguf_pytorch_utils

_LOCK = threading.RLock()


class _PlainReader(gguf.GGUFReader):  # type: ignore[misc]  # gguf has no types
    """Reads from the same pages as a plain array: to cut a piece from a `np.memmap` makes another `np.memmap`."""

    @property
    def data(self) -> np.ndarray[Any, Any]:
        return self._data

    @data.setter
    def data(self, mapped: np.ndarray[Any, Any]) -> None:
        self._data = np.asarray(mapped)


@contextlib.contextmanager
def parse_gguf_once() -> Iterator[None]:
    """Keep what is parsed for as long as the block runs."""
    with _LOCK:
        places: tuple[tuple[Any, str], ...] = (
            (gguf, "GGUFReader"),
            (gguf, "get_tensor_name_map"),
            (modeling_gguf_pytorch_utils, "load_gguf_checkpoint"),
        )
        found = [getattr(place, name) for place, name in places]
        parsed_once = _without_tensors_once(found[2])
        for (place, name), parse in zip(places, (cache(_PlainReader), cache(found[1]), parsed_once), strict=True):
            setattr(place, name, parse)
        try:
            yield
        finally:
            for (place, name), parse in zip(places, found, strict=True):
                setattr(place, name, parse)


def _without_tensors_once(load: Any) -> Any:
    """Return a `load_gguf_checkpoint` that reads keys and values once; each caller may change its own copy."""
    kept: dict[str, Any] = {}

    def load_once(path: Any, return_tensors: bool = False, **rest: Any) -> Any:
        if return_tensors:
            return load(path, return_tensors=True, **rest)
        if str(path) not in kept:
            kept[str(path)] = load(path, return_tensors=False, **rest)
        return copy.deepcopy(kept[str(path)])

    return load_once
