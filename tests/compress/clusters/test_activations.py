"""Sums of a stream equal those of the whole; figures equal those that NumPy and SciPy take of the plain activations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.matrices import law, seeds
from torch import Tensor

from birdbone.compress.clusters.activations import ActivationSums, add_sums, collect_activations, sum_activations
from birdbone.compress.clusters.function import coactivation_rows, density, function_figures, kurtosis, variance
from birdbone.compress.clusters.token_classes import TOKEN_CLASSES, classify_piece, classify_pieces
from birdbone.compress.config import UnitKind
from birdbone.compress.errors import NoCalibrationDataError, NonFiniteStatisticsError


def draw(seed: int, *, num_windows: int = 4, num_tokens: int = 9, num_units: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Activations, token classes and signs."""
    generator = torch.Generator().manual_seed(seed)
    x_NTU = torch.randn(num_windows, num_tokens, num_units, generator=generator).pow(3)
    class_NT = torch.randint(0, len(TOKEN_CLASSES), (num_windows, num_tokens), generator=generator)
    sign_NT = torch.randint(0, 2, (num_windows, num_tokens), generator=generator).float() * 2 - 1
    return x_NTU, class_NT, sign_NT


def sums_of(x_NTU: Tensor, class_NT: Tensor, sign_NT: Tensor, *, num_buckets: int, first: int = 0) -> ActivationSums:
    """Deal tokens out in turn, as the pass does, from the token `first` on."""
    num_windows, num_tokens = class_NT.shape
    bucket_NT = torch.zeros_like(class_NT)
    count = num_windows * (num_tokens - 1)
    bucket_NT[:, 1:] = ((first + torch.arange(count)) % num_buckets).reshape(num_windows, -1)
    return sum_activations(x_NTU, class_NT, sign_NT=sign_NT, bucket_NT=bucket_NT, num_buckets=num_buckets)


@law
@given(seed=seeds, cut=st.integers(1, 3), num_buckets=st.sampled_from([4, 64]))
def test_sums_of_two_stretches_add_up_to_those_of_both(seed: int, cut: int, num_buckets: int) -> None:
    drawn = draw(seed)
    whole = sums_of(*drawn, num_buckets=num_buckets)
    one = sums_of(*(part[:cut] for part in drawn), num_buckets=num_buckets)
    other = sums_of(*(part[cut:] for part in drawn), num_buckets=num_buckets, first=cut * 8)
    both = add_sums(one, other)
    assert (both.num_tokens, both.num_windows) == (whole.num_tokens, whole.num_windows) == (32, 4)
    for name in ("power_4U", "absolute_U", "peak_U", "first_U", "class_CU", "class_C", "sketch_PU", "sign_P"):
        torch.testing.assert_close(getattr(both, name), getattr(whole, name), rtol=1e-4, atol=1e-4)


@law
@given(seed=seeds)
def test_figures_are_those_of_the_plain_activations_without_first_tokens(seed: int) -> None:
    x_NTU, class_NT, sign_NT = draw(seed)
    sums = sums_of(x_NTU, class_NT, sign_NT, num_buckets=64)
    x_TU = x_NTU[:, 1:].flatten(0, 1).double().numpy()
    np.testing.assert_allclose(variance(sums).numpy(), x_TU.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(kurtosis(sums).numpy(), scipy.stats.kurtosis(x_TU, fisher=False), rtol=1e-3)
    np.testing.assert_allclose(density(sums).numpy(), np.abs(x_TU).mean(0) ** 2 / (x_TU**2).mean(0), rtol=1e-4)
    usual = np.sqrt((x_TU**2).mean())
    figures = function_figures(sums)
    np.testing.assert_allclose(figures["mean"].numpy(), x_TU.mean(axis=0) / usual, rtol=1e-3, atol=1e-5)
    peak = np.abs(x_TU).max(axis=0) / np.sqrt((x_TU**2).mean(axis=0))
    np.testing.assert_allclose(figures["log peak"].numpy(), np.log(peak), rtol=1e-3, atol=1e-4)


@law
@given(seed=seeds)
def test_with_a_bucket_for_each_token_inner_products_are_correlations(seed: int) -> None:
    x_NTU, class_NT, sign_NT = draw(seed)
    row_UP = coactivation_rows(sums_of(x_NTU, class_NT, sign_NT, num_buckets=32)).numpy()
    expected = np.corrcoef(x_NTU[:, 1:].flatten(0, 1).double().numpy().T)
    np.testing.assert_allclose(row_UP @ row_UP.T, expected, atol=1e-4)


def test_with_few_buckets_the_mean_over_signs_is_the_correlation() -> None:
    x_NTU, class_NT, _ = draw(0, num_tokens=33)
    x_NTU[..., 1] += 2 * x_NTU[..., 0]
    expected = np.corrcoef(x_NTU[:, 1:].flatten(0, 1).double().numpy().T)
    found = []
    for seed in range(300):
        sign_NT = draw(seed, num_tokens=33)[2]
        row_UP = coactivation_rows(sums_of(x_NTU, class_NT, sign_NT, num_buckets=16)).numpy()
        found.append(row_UP @ row_UP.T)
    np.testing.assert_allclose(np.mean(found, axis=0), expected, atol=0.06)
    assert np.std(found, axis=0)[0, 2] < 0.5


def test_a_unit_that_is_never_on_has_no_correlation_and_no_nan() -> None:
    x_NTU, class_NT, sign_NT = draw(1)
    x_NTU[..., 2] = 0
    x_NTU[..., 3] = 7
    sums = sums_of(x_NTU, class_NT, sign_NT, num_buckets=64)
    row_UP = coactivation_rows(sums)
    assert float(row_UP[2].abs().max()) == float(row_UP[3].abs().max()) == 0.0
    assert kurtosis(sums)[2:4].tolist() == [1.0, 1.0]
    assert density(sums)[2:4].tolist() == [0.0, 1.0]
    assert all(bool(value_U.isfinite().all()) for value_U in function_figures(sums).values())


def test_an_answer_to_a_class_is_the_mean_there_over_the_mean_on_all() -> None:
    x_NTU = torch.tensor([[[9.0], [1.0], [3.0]]])
    class_NT = torch.tensor([[0, 1, 2]])
    figures = function_figures(sums_of(x_NTU, class_NT, torch.ones(1, 3), num_buckets=8))
    assert float(figures["on word rest"].exp()) == pytest.approx(0.5, rel=1e-4)
    assert float(figures["on number"].exp()) == pytest.approx(1.5, rel=1e-4)
    assert float(figures["on first"].exp()) == pytest.approx(4.5, rel=1e-4)
    assert "on word start" not in figures


@pytest.mark.parametrize("units", ["neurons", "heads"])
@pytest.mark.usefixtures("dense_stays")
def test_the_pass_gives_what_the_layer_puts_out(dense: Dense, units: UnitKind) -> None:
    model, architecture = dense.loaded.model, dense.loaded.architecture
    layer, windows_NT = architecture.layers[1], dense.calibration_NT[:3, :16]
    seen: list[Tensor] = []
    path = layer.feed_forward[-1].path if units == "neurons" else layer.attention[-1].path
    handle = model.get_submodule(path).register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(input_ids=windows_NT)
    handle.remove()
    told: list[tuple[int, int]] = []
    halves = collect_activations(
        model,
        architecture,
        windows_NT,
        units=units,
        layers=[layer],
        class_V=torch.zeros(architecture.vocab_size, dtype=torch.long),
        num_buckets=64,
        generator=torch.Generator().manual_seed(0),
        batch_size=2,
        progress=lambda done, total: told.append((done, total)),
    )
    x_NTF = seen[0].float()
    x_NTU = x_NTF if units == "neurons" else x_NTF.unflatten(-1, (4, 16)).norm(dim=-1)
    sums = add_sums(halves[0][1], halves[1][1])
    torch.testing.assert_close(sums.power_4U[1], x_NTU[:, 1:].double().square().sum(dim=(0, 1)), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(sums.first_U, x_NTU[:, 0].double().abs().sum(dim=0), rtol=1e-4, atol=1e-6)
    assert (halves[0][1].num_windows, halves[1][1].num_windows) == (2, 1)
    assert told == [(2, 3), (3, 3)]
    assert not any(module._forward_pre_hooks for module in model.modules())


def collect(dense: Dense, windows_NT: Tensor, layers: list[int]) -> object:
    architecture = dense.loaded.architecture
    return collect_activations(
        dense.loaded.model,
        architecture,
        windows_NT,
        units="neurons",
        layers=[architecture.layers[index] for index in layers],
        class_V=torch.zeros(architecture.vocab_size, dtype=torch.long),
        num_buckets=8,
        generator=torch.Generator().manual_seed(0),
    )


def test_too_little_text_is_refused(dense: Dense) -> None:
    for windows_NT in (dense.calibration_NT[:1], dense.calibration_NT[:, :1]):
        with pytest.raises(NoCalibrationDataError, match="at least two calibration windows"):
            collect(dense, windows_NT, [0])


def test_a_layer_that_overflows_is_named(tiny_model: object, dense: Dense) -> None:
    loaded = tiny_model
    layer = loaded.architecture.layers[2]  # type: ignore[attr-defined]
    with torch.no_grad():
        loaded.model.get_parameter(f"{layer.feed_forward[1].path}.weight")[3] = torch.nan  # type: ignore[attr-defined]
    with pytest.raises(NonFiniteStatisticsError, match="layer 2"):
        collect(Dense(loaded=loaded, calibration_NT=dense.calibration_NT, healing_NT=dense.healing_NT,
                      heldout_NT=dense.heldout_NT, statistics={}), dense.calibration_NT[:2], [0, 2])  # fmt: skip


@pytest.mark.parametrize(
    ("piece", "kind"),
    [("Ġthe", "word start"), ("▁the", "word start"), ("ing", "word rest"), ("Ġ12", "number"), ("Ċ", "space"),
     ("Ġ", "space"), ("Ġ,", "punctuation"), ("...", "punctuation"), ("3rd", "other"), ("", "space")],
)  # fmt: skip
def test_a_token_is_classed_by_its_spelling(piece: str, kind: str) -> None:
    assert classify_piece(piece) == kind


def test_special_tokens_are_other() -> None:
    classes = classify_pieces(["Ġa", "</s>", "b"], special_ids=[1])
    assert [TOKEN_CLASSES[number] for number in classes.tolist()] == ["word start", "other", "word rest"]
