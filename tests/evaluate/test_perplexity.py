"""Likelihood and perplexity against the plain computation and against transformers' own loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.tiny import CONTEXT, FAMILIES, VOCAB, tiny_model
from torch import nn

from birdbone.evaluate import BadWindowsError, NonFiniteLogitsError, UnknownReadoutError
from birdbone.evaluate.perplexity import perplexity_from_nll, token_nll
from birdbone.evaluate.readout import find_readout

torch.set_num_threads(1)


def windows(count: int = 10, tokens: int = 24, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(3, VOCAB, size=(count, tokens))


@torch.no_grad()
def naive_nll(model: nn.Module, windows_NT: np.ndarray) -> np.ndarray:
    ids = torch.from_numpy(windows_NT)
    log_probs = model(input_ids=ids).logits.double().log_softmax(-1)
    return -log_probs[:, :-1].gather(2, ids[:, 1:, None])[..., 0].numpy()


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"granite"}))
def test_the_likelihood_of_every_family_equals_the_plain_computation(family: str) -> None:
    model = tiny_model(family)
    windows_NT = windows()
    nll = token_nll(model, windows_NT, batch_size=4)
    assert nll.dtype == np.float64
    assert nll.shape == (10, 23)
    np.testing.assert_allclose(nll, naive_nll(model, windows_NT), rtol=0, atol=2e-5)


@pytest.mark.parametrize("family", ["llama", "gemma2", "opt"])
def test_the_mean_equals_the_loss_of_transformers(family: str) -> None:
    model = tiny_model(family)
    windows_NT = windows()
    ids = torch.from_numpy(windows_NT)
    with torch.no_grad():
        loss = float(model(input_ids=ids, labels=ids).loss)
    assert token_nll(model, windows_NT, batch_size=3).mean() == pytest.approx(loss, abs=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12), st.integers(1, 40_000))
def test_neither_batch_size_nor_memory_budget_changes_the_likelihood(batch_size: int, budget_bytes: int) -> None:
    model = tiny_model()
    expected = token_nll(model, windows(), batch_size=10)
    got = token_nll(model, windows(), batch_size=batch_size, budget_bytes=budget_bytes)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def test_no_chunk_of_logits_is_larger_than_the_budget_allows() -> None:
    model = tiny_model()
    sizes: list[int] = []
    model.get_output_embeddings().register_forward_hook(lambda _, __, logits: sizes.append(logits[..., 0].numel()))
    token_nll(model, windows(8, 40), batch_size=8, budget_bytes=3 * 4 * VOCAB * 10)
    chunks = sizes[2:]  # the first two calls are the probe: the model's own logits and ours
    assert max(chunks) == 10
    assert sum(chunks) == 8 * 39


def test_modes_and_weights_stay_as_they_were() -> None:
    model = tiny_model()
    model.train()
    model.model.layers[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    token_nll(model, windows(), batch_size=4)
    assert model.training
    assert not model.model.layers[0].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    loss = model(input_ids=torch.from_numpy(windows()), labels=torch.from_numpy(windows())).loss
    loss.backward()
    assert model.model.embed_tokens.weight.grad is not None


def test_progress_counts_windows_up_to_all() -> None:
    seen: list[tuple[int, int]] = []
    token_nll(tiny_model(), windows(), batch_size=4, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 10), (8, 10), (10, 10)]


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_broken_weight_is_an_error_that_names_the_place(poison: float) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.lm_head.weight[50] = poison
    with pytest.raises(NonFiniteLogitsError, match="token 1 of window 0"):
        token_nll(model, windows(), batch_size=4)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.array([[1, 2, VOCAB]]), f"Token id {VOCAB} lies outside the model's vocabulary of {VOCAB}"),
        (np.array([[1, -1, 2]]), "Token id -1"),
        (np.array([1, 2, 3]), "must be"),
        (np.array([[1], [2]]), "must be"),
        (np.empty((0, 5), dtype=np.int64), "must be"),
        (windows(1, CONTEXT + 1), f"exceed the context of {CONTEXT}"),
    ],
)
def test_windows_that_do_not_fit_the_model_are_refused(bad: np.ndarray, words: str) -> None:
    with pytest.raises(BadWindowsError, match=words):
        token_nll(tiny_model(), bad, batch_size=4)


def test_a_model_that_does_more_after_its_head_is_refused_and_not_misjudged() -> None:
    with pytest.raises(UnknownReadoutError, match="GraniteForCausalLM gives other logits"):
        token_nll(tiny_model("granite"), windows(), batch_size=4)


def test_a_bare_module_has_no_readout() -> None:
    with pytest.raises(UnknownReadoutError, match="Linear"):
        find_readout(nn.Linear(2, 2))


def test_perplexity_is_the_exponent_of_the_mean_and_says_how_it_was_taken() -> None:
    nll = np.random.default_rng(0).gamma(4.0, 0.7, size=(32, 63))
    perplexity = perplexity_from_nll(nll, generator=np.random.default_rng(1))
    assert perplexity.value == pytest.approx(np.exp(nll.mean()))
    assert perplexity.low is not None
    assert perplexity.high is not None
    assert perplexity.low < perplexity.value < perplexity.high
    assert (perplexity.num_tokens, perplexity.context_length, perplexity.stride) == (32 * 63, 64, 64)
    row = perplexity.measurement(artefact="b3:0")
    assert (row.value, row.low, row.high, row.sample_size) == (
        perplexity.value,
        perplexity.low,
        perplexity.high,
        perplexity.num_tokens,
    )
    assert row.method == "32 windows of 64 tokens, stride 64"


def test_a_few_windows_give_a_perplexity_without_an_interval() -> None:
    perplexity = perplexity_from_nll(np.ones((7, 5)), generator=np.random.default_rng(0))
    assert perplexity.value == pytest.approx(np.e)
    assert perplexity.low is perplexity.high is None


def test_the_likelihood_of_nothing_known_is_uniform() -> None:
    model = tiny_model()
    with torch.no_grad():
        model.lm_head.weight.zero_()
    nll = token_nll(model, windows(), batch_size=4)
    assert perplexity_from_nll(nll, generator=np.random.default_rng(0)).value == pytest.approx(VOCAB, rel=1e-5)
