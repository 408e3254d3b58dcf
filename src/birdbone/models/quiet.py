"""Keeping transformers from drawing progress bars and load reports over the screen of the one who called."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from transformers.utils import logging as transformers_logging


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence bars, reports and warnings of transformers; its settings come back afterwards."""
    verbosity = transformers_logging.get_verbosity()
    hook = transformers_logging.set_tqdm_hook(_without_bar)
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.set_tqdm_hook(hook)


def _without_bar(factory: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    return factory(*arguments, **{**keywords, "disable": True})
