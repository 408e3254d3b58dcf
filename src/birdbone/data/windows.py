"""Text as windows of token ids. Shapes: N windows, T tokens a window."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from birdbone.core import digest_json
from birdbone.core.digest import digest_bytes
from birdbone.data.errors import TooLittleTextError


def token_windows(
    texts: Iterable[str],
    encode: Callable[[str], list[int]],
    *,
    window: int,
    count: int | None = None,
    separator_id: int | None = None,
) -> NDArray[np.int64]:
    """Return the token ids of `texts`, joined in order and cut into windows without overlap.

    The first k windows are the same whatever `count` is. With a `count`, texts after the last window are not encoded.

    Args:
        texts: documents, in the order in which they are cut.
        encode: token ids of one document, without special tokens.
        window: T, at least 2 (one token is context, the next is predicted).
        count: N; all whole windows if left out. The tokens after the last whole window are dropped.
        separator_id: written after each document, where the model has a token for that.

    Returns:
        Ids (N, T).

    Raises:
        TooLittleTextError: fewer than `count` windows (or than one) can be cut; says how many tokens there are.
    """
    if window < 2 or (count is not None and count < 1):
        raise ValueError(f"window must be at least 2 and count at least 1, not {window} and {count}")
    needed = None if count is None else count * window
    ids = _token_ids(texts, encode, separator_id=separator_id, needed=needed)
    num_windows = count if count is not None else max(1, len(ids) // window)
    if len(ids) < num_windows * window:
        raise _too_little(len(ids), num_windows, window)
    return ids[: num_windows * window].reshape(num_windows, window)


def windows_digest(windows_NT: NDArray[np.int64]) -> str:
    """Return the digest of the windows: of their shape and, as little-endian 64-bit integers, their ids."""
    ids = np.ascontiguousarray(windows_NT, dtype="<i8")
    return digest_json({"shape": list(ids.shape), "ids": digest_bytes(ids.tobytes())})


def _token_ids(
    texts: Iterable[str], encode: Callable[[str], list[int]], *, separator_id: int | None, needed: int | None
) -> NDArray[np.int64]:
    separator = [] if separator_id is None else [separator_id]
    pieces: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    num_tokens = 0
    for text in texts:
        if needed is not None and num_tokens >= needed:
            break
        pieces.append(np.asarray([*encode(text), *separator], dtype=np.int64))
        num_tokens += len(pieces[-1])
    return np.concatenate(pieces)


def _too_little(num_tokens: int, num_windows: int, window: int) -> TooLittleTextError:
    needed = num_windows * window
    message = f"The text has {num_tokens:,} tokens; {num_windows} windows of {window} need {needed:,}."
    return TooLittleTextError(message, num_tokens=num_tokens, needed=needed)
