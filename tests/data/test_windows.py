"""Windows of token ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.data import TooLittleTextError, token_windows, windows_digest

texts = st.lists(st.text(max_size=60), max_size=12)


def encode(text: str) -> list[int]:
    return list(text.encode("utf-8", "surrogatepass"))


@given(texts, st.integers(2, 16))
def test_windows_hold_the_tokens_in_order_and_drop_only_the_tail(documents: list[str], window: int) -> None:
    ids = [token for text in documents for token in [*encode(text), 256]]
    if len(ids) < window:
        with pytest.raises(TooLittleTextError):
            token_windows(documents, encode, window=window, separator_id=256)
        return
    windows = token_windows(documents, encode, window=window, separator_id=256)
    assert windows.dtype == np.int64
    assert windows.flatten().tolist() == ids[: len(ids) // window * window]


@given(texts, st.integers(2, 8), st.data())
def test_fewer_windows_are_the_first_of_more(documents: list[str], window: int, data: st.DataObject) -> None:
    ids = [token for text in documents for token in encode(text)]
    if len(ids) < window:
        return
    whole = token_windows(documents, encode, window=window)
    count = data.draw(st.integers(1, len(whole)))
    assert np.array_equal(token_windows(documents, encode, window=window, count=count), whole[:count])


def test_texts_after_the_last_window_are_not_encoded() -> None:
    seen = []

    def watching(text: str) -> list[int]:
        seen.append(text)
        return encode(text)

    token_windows(["a" * 10, "b" * 10, "c" * 10], watching, window=5, count=3)
    assert [text[0] for text in seen] == ["a", "b"]


def test_too_little_text_says_what_there_is_and_what_is_needed() -> None:
    with pytest.raises(TooLittleTextError, match=r"has 12 tokens; 3 windows of 8 need 24") as caught:
        token_windows(["some", "more", "text"], encode, window=8, count=3)
    assert caught.value.fields == {"num_tokens": 12, "needed": 24}


def test_nonsense_sizes_are_refused() -> None:
    for sizes in ({"window": 1}, {"window": 4, "count": 0}):
        with pytest.raises(ValueError, match="at least"):
            token_windows(["text"], encode, **sizes)


@given(st.lists(st.integers(0, 50_000), min_size=4, max_size=40))
def test_the_digest_tells_ids_and_shape_apart_and_nothing_else(ids: list[int]) -> None:
    even = np.array(ids[: len(ids) // 4 * 4])
    wide, tall = even.reshape(2, -1), even.reshape(-1, 2)
    assert windows_digest(wide) == windows_digest(wide.astype(">i8")) == windows_digest(np.asfortranarray(wide))
    assert (windows_digest(wide) == windows_digest(tall)) == (wide.shape == tall.shape)
    changed = wide.copy()
    changed[0, 0] += 1
    assert windows_digest(changed) != windows_digest(wide)
