"""Whether what clusters and the search for thresholds need is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from birdbone.compress.errors import BiophaseMissingError

LIBRARIES = ("sklearn", "optuna")
"""Modules of the extra `biophase`."""


def require_biophase(modules: Sequence[str] = LIBRARIES) -> None:
    """Check that these modules can be imported.

    Raises:
        BiophaseMissingError: one cannot (names all that cannot).
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise BiophaseMissingError(f"Not installed: {', '.join(missing)}.", missing=missing)
