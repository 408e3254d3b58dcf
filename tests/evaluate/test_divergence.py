"""Divergence from a reference, against SciPy-free plain formulas."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.tiny import VOCAB, tiny_model
from torch import Tensor

from birdbone.evaluate import BadWindowsError, NonFiniteLogitsError, UnpairedError
from birdbone.evaluate.divergence import LogitsSource, divergence, model_logits

torch.set_num_threads(1)

WINDOWS = np.random.default_rng(0).integers(3, VOCAB, size=(9, 12))


def table(seed: int, *, scale: float = 2.0, vocab: int = VOCAB) -> Tensor:
    """Logits of each (token, next token): a bigram model."""
    return scale * torch.randn(VOCAB, vocab, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bigram(logits_VV: Tensor, *, chunk: int = 5) -> LogitsSource:
    def source(window_T: np.ndarray) -> Iterator[Tensor]:
        yield from logits_VV[torch.from_numpy(window_T)].split(chunk)

    return source


def measure(reference: LogitsSource, candidate: LogitsSource, **settings: int):
    return divergence(reference, candidate, WINDOWS, generator=np.random.default_rng(0), **settings)


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_a_model_does_not_diverge_from_itself(seed: int) -> None:
    result = measure(bigram(table(seed)), bigram(table(seed), chunk=3), num_resamples=200)
    assert (result.kl, result.kl_low, result.kl_high, result.kl_p99) == (0.0, 0.0, 0.0, 0.0)
    assert (result.same_top1, result.same_top1_low, result.same_top1_high) == (1.0, 1.0, 1.0)


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=15, deadline=None)
def test_divergence_equals_the_plain_formula_whatever_the_chunks(seed: int, one: int, other: int) -> None:
    p_VV, q_VV = table(seed), table(seed + 1)
    result = measure(bigram(p_VV, chunk=one), bigram(q_VV, chunk=other), num_resamples=200)
    ids = torch.from_numpy(WINDOWS).flatten()
    log_p, log_q = p_VV[ids].log_softmax(-1), q_VV[ids].log_softmax(-1)
    kl = (log_p.exp() * (log_p - log_q)).sum(-1).numpy()
    assert result.kl == pytest.approx(kl.mean(), rel=1e-5)
    assert result.kl_p99 == pytest.approx(np.quantile(kl, 0.99), rel=1e-5)
    assert result.same_top1 == pytest.approx(float((log_p.argmax(-1) == log_q.argmax(-1)).double().mean()))
    assert result.num_positions == WINDOWS.size
    assert result.kl > 0


def test_adding_a_constant_to_the_logits_changes_nothing() -> None:
    p, q = table(1), table(2)
    plain, shifted = measure(bigram(p), bigram(q)), measure(bigram(p + 7), bigram(q - 3))
    assert shifted.kl == pytest.approx(plain.kl, rel=1e-5)
    assert shifted.same_top1 == plain.same_top1


def test_two_real_models_in_small_chunks_equal_the_plain_computation() -> None:
    dense, other = tiny_model(seed=0), tiny_model(seed=1)
    result = measure(model_logits(dense, budget_bytes=3 * 4 * VOCAB * 5), model_logits(other))
    ids = torch.from_numpy(WINDOWS)
    with torch.no_grad():
        log_p, log_q = (model(input_ids=ids).logits.double().log_softmax(-1) for model in (dense, other))
    assert result.kl == pytest.approx(float((log_p.exp() * (log_p - log_q)).sum(-1).mean()), rel=1e-4)
    assert result.same_top1 == pytest.approx(float((log_p.argmax(-1) == log_q.argmax(-1)).double().mean()))
    assert result.kl_low is not None
    assert result.kl_high is not None
    assert result.kl_low < result.kl < result.kl_high


def test_two_sources_over_one_model_leave_its_mode_and_the_gradients_alone() -> None:
    model = tiny_model().train()
    reference, candidate = (model_logits(model, budget_bytes=size) for size in (1, 10_000))
    assert measure(reference, candidate).kl == pytest.approx(0, abs=1e-6)
    next(iter(reference(WINDOWS[0])))  # left unfinished
    assert torch.is_grad_enabled()
    assert all(module.training for module in model.modules())


def test_it_becomes_three_measurements() -> None:
    rows = {row.name: row for row in measure(bigram(table(1)), bigram(table(2))).measurements(artefact="b3:2")}
    assert set(rows) == {"kl_to_reference", "kl_to_reference_p99", "same_top1"}
    assert rows["kl_to_reference"].unit == "nat"
    assert rows["same_top1"].sample_size == WINDOWS.size


def test_another_vocabulary_or_fewer_positions_are_refused() -> None:
    with pytest.raises(UnpairedError, match="97 tokens, the candidate 90"):
        measure(bigram(table(1)), bigram(table(2, vocab=90)))

    def short(window_T: np.ndarray) -> Iterator[Tensor]:
        return iter([table(1)[torch.from_numpy(window_T[:-1])]])

    with pytest.raises(UnpairedError, match="more positions"):
        measure(bigram(table(1)), short)


def test_broken_logits_and_foreign_ids_are_refused() -> None:
    broken = table(2)
    broken[int(WINDOWS[0, 0]), 5] = torch.nan
    with pytest.raises(NonFiniteLogitsError, match="window 0"):
        measure(bigram(table(1)), bigram(broken))
    source = model_logits(tiny_model())
    with pytest.raises(BadWindowsError):
        divergence(source, source, np.array([[1, VOCAB]]), generator=np.random.default_rng(0))
