"""A paired reading equals the plain formulas on models whose logits are a table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from birdbone.evaluate import NonFiniteLogitsError, UnpairedError
from birdbone.evaluate.damage.reading import read_pair, text_nll
from birdbone.evaluate.divergence import LogitsSource

VOCAB = 11
WINDOWS = np.random.default_rng(0).integers(0, VOCAB, size=(9, 7))


def table(seed: int) -> Tensor:
    """Logits of each (token, next token): a bigram model."""
    return 2 * torch.randn(VOCAB, VOCAB, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bigram(logits_VV: Tensor, *, chunk: int = 5) -> LogitsSource:
    def source(window_T: np.ndarray) -> Iterator[Tensor]:
        yield from logits_VV[torch.from_numpy(window_T)].split(chunk)

    return source


@given(st.integers(0, 1000), st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=15, deadline=None)
def test_a_reading_equals_the_plain_formulas_whatever_the_chunks(seed: int, one: int, other: int) -> None:
    p_VV, q_VV = (table(each).log_softmax(-1) for each in (seed, seed + 1))
    found = read_pair(bigram(p_VV, chunk=one), bigram(q_VV, chunk=other), WINDOWS)
    before, after = WINDOWS[:, :-1], WINDOWS[:, 1:]
    kl_V = (p_VV.exp() * (p_VV - q_VV)).sum(-1).numpy()
    np.testing.assert_allclose(found.kl_NP, kl_V[before], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.jump_NP, (p_VV - q_VV).numpy()[before, after], atol=1e-5)
    np.testing.assert_array_equal(found.same_NP, (p_VV.argmax(-1) == q_VV.argmax(-1)).numpy()[before])
    np.testing.assert_array_equal(found.ids_NP, before)


def test_a_model_reads_as_itself() -> None:
    found = read_pair(bigram(table(3)), bigram(table(3), chunk=2), WINDOWS)
    assert not found.kl_NP.any()
    assert not found.jump_NP.any()
    assert found.same_NP.all()


def test_a_likelihood_that_is_no_number_is_named_by_its_place() -> None:
    broken_VV = table(0)
    broken_VV[WINDOWS[4, 2]] = float("nan")
    first = next(number for number, window_T in enumerate(WINDOWS[:, :-1]) if WINDOWS[4, 2] in window_T)
    with pytest.raises(NonFiniteLogitsError) as caught:
        read_pair(bigram(table(0)), bigram(broken_VV), WINDOWS)
    assert caught.value.fields["window"] == first


def test_two_vocabularies_cannot_be_read_as_a_pair() -> None:
    with pytest.raises(UnpairedError):
        read_pair(bigram(table(0)), bigram(table(0)[:, :-1]), WINDOWS)


@given(st.lists(st.integers(0, VOCAB - 1), max_size=20), st.integers(2, 30))
@settings(max_examples=30, deadline=None)
def test_the_likelihood_of_a_text_is_that_of_its_stretches_each_after_the_prefix(ids: list[int], window: int) -> None:
    log_p_VV = table(1).log_softmax(-1)
    expected = 0.0
    for place, token in enumerate(ids):
        before = ids[place - 1] if place % (window - 1) else 7
        expected -= float(log_p_VV[before, token])
    found = text_nll(bigram(table(1), chunk=3), ids, prefix_token=7, window=window)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_an_impossible_text_is_an_error() -> None:
    logits_VV = torch.zeros(VOCAB, VOCAB)
    logits_VV[:, 3] = -torch.inf
    with pytest.raises(NonFiniteLogitsError):
        text_nll(bigram(logits_VV), [3], prefix_token=0, window=4)
