"""Factors are the best of their rank for what they are to be good at, and go into a model and out of it again."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.matrices import draw_linear, law, quadratic_error, seeds
from torch import Tensor

from birdbone.compress.config import FactorConfig, RankConfig, RoundingConfig
from birdbone.compress.errors import NegativeWeightError, RankError, SingularGramError
from birdbone.compress.lowrank import (
    Factors,
    LowRankLinear,
    choose_rank,
    compensate,
    compensate_model,
    extend_svd,
    factorise,
    factorise_nonnegative,
    merge_factors,
    put_factors,
    rank_by_damage,
    rank_by_energy,
    rank_by_share,
    split_signs,
    start_svd,
    weighted_svd,
)
from birdbone.compress.quantize import round_linears
from birdbone.models import LoadedModel
from birdbone.models.gguf import GgufType, quantize_tensor

pytestmark = pytest.mark.usefixtures("dense_stays")
KINDS = ["plain", "scaled", "whitened", "fisher"]
ranks = st.integers(1, 7)


def draw(seed: int, *, outputs: int = 10, inputs: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    linear = draw_linear(seed, num_outputs=outputs, num_inputs=inputs, num_tokens=100)
    sensitivity_F = torch.rand(outputs, generator=torch.Generator().manual_seed(seed)) + 0.01
    return linear.w_FD, linear.gram_DD, sensitivity_F


def cut(seed: int, kind: str, rank: int) -> Factors:
    w_FD, gram_DD, sensitivity_F = draw(seed)
    config = FactorConfig.model_validate({"kind": kind, "damping": 1e-8})
    return weighted_svd(w_FD, gram_DD, config=config, sensitivity_F=sensitivity_F).cut(rank)


@law
@given(seed=seeds, kind=st.sampled_from(KINDS))
def test_at_full_rank_the_product_is_the_weight(seed: int, kind: str) -> None:
    torch.testing.assert_close(cut(seed, kind, 8).product(), draw(seed)[0], rtol=1e-3, atol=1e-3)


@law
@given(seed=seeds, rank=ranks)
def test_each_metric_wins_in_its_own_currency(seed: int, rank: int) -> None:
    w_FD, gram_DD, sensitivity_F = draw(seed)
    found = {kind: cut(seed, kind, rank).product() for kind in KINDS}
    root_F1 = sensitivity_F.sqrt()[:, None]
    plain = {kind: float((w_FD - each).square().sum()) for kind, each in found.items()}
    output = {kind: quadratic_error(w_FD, each, gram_DD) for kind, each in found.items()}
    fisher = {kind: quadratic_error(root_F1 * w_FD, root_F1 * each, gram_DD) for kind, each in found.items()}
    assert plain["plain"] <= min(plain.values()) * (1 + 1e-4) + 1e-6
    assert output["whitened"] <= min(output.values()) * (1 + 1e-2) + 1e-6
    assert fisher["fisher"] <= min(fisher.values()) * (1 + 1e-2) + 1e-6


@law
@given(seed=seeds, rank=ranks)
def test_the_squares_of_the_values_left_out_are_the_error_made(seed: int, rank: int) -> None:
    w_FD, gram_DD, _ = draw(seed)
    seen = weighted_svd(w_FD, gram_DD, config=FactorConfig(kind="whitened", damping=1e-8))
    left_out = float(seen.values_R[rank:].double().square().sum())
    scale = quadratic_error(w_FD, w_FD * 0, gram_DD)
    assert quadratic_error(w_FD, seen.cut(rank).product(), gram_DD) == pytest.approx(
        left_out, rel=1e-2, abs=1e-4 * scale
    )


@law
@given(values=st.lists(st.floats(0, 100), min_size=1, max_size=8), energy=st.floats(0.01, 1), bound=st.floats(0, 1e4))
def test_a_rank_is_the_smallest_that_does_what_is_asked(values: list[float], energy: float, bound: float) -> None:
    values_R = torch.tensor(sorted(values, reverse=True), dtype=torch.float64)
    squares = values_R.square()
    rank = rank_by_energy(values_R, energy=energy)
    assert 1 <= rank <= len(values)
    assert float(squares[:rank].sum()) >= energy * float(squares.sum()) * (1 - 1e-9)
    assert rank == 1 or float(squares[: rank - 1].sum()) < energy * float(squares.sum())
    rank = rank_by_damage(values_R, max_damage=bound)
    assert rank == len(values) or 0.5 * float(squares[rank:].sum()) <= bound + 1e-6
    assert rank == 1 or 0.5 * float(squares[rank - 1 :].sum()) > bound - 1e-6


@law
@given(num_rows=st.integers(2, 60), num_columns=st.integers(2, 60), share=st.floats(0.01, 1))
def test_a_rank_by_bytes_is_the_largest_that_fits(num_rows: int, num_columns: int, share: float) -> None:
    size = share * num_rows * num_columns
    if size < num_rows + num_columns:
        with pytest.raises(RankError, match="do not fit"):
            rank_by_share((num_rows, num_columns), share=share)
        return
    rank = rank_by_share((num_rows, num_columns), share=share)
    assert rank * (num_rows + num_columns) <= size
    assert (rank + 1) * (num_rows + num_columns) > size - 1


def test_a_rank_is_chosen_as_the_settings_ask() -> None:
    values_R = torch.tensor([3.0, 2.0, 1.0])
    assert choose_rank(values_R, (6, 6), config=RankConfig(kind="energy", energy=0.9)) == 2
    assert choose_rank(values_R, (6, 6), config=RankConfig(kind="loss", max_damage=0.5)) == 2
    assert choose_rank(values_R, (6, 6), config=RankConfig(kind="bytes", byte_share=1.0)) == 3
    with pytest.raises(RankError, match="fisher"):
        choose_rank(values_R, (6, 6), config=RankConfig(kind="loss"), has_damage=False)


@law
@given(seed=seeds, rank=st.integers(1, 5), steps=st.integers(0, 30))
def test_factors_without_negative_numbers_come_nearer_with_every_step(seed: int, rank: int, steps: int) -> None:
    v_FD = draw(seed)[0].abs()
    errors = []
    for count in (steps, steps + 1, steps + 10):
        left_FR, right_RD = factorise_nonnegative(v_FD, rank=rank, num_steps=count)
        assert float(left_FR.min()) >= 0
        assert float(right_RD.min()) >= 0
        errors.append(float((v_FD - left_FR @ right_RD).square().sum()))
    assert errors[1] <= errors[0] * (1 + 1e-5)
    assert errors[2] <= errors[1] * (1 + 1e-5)


def test_a_product_of_positive_factors_is_found_again() -> None:
    v_FD = torch.tensor([[1.0], [2.0], [0.5]]) @ torch.tensor([[4.0, 1.0, 2.0, 0.0]])
    left_FR, right_RD = factorise_nonnegative(v_FD, rank=1)
    torch.testing.assert_close(left_FR @ right_RD, v_FD, rtol=1e-3, atol=1e-3)
    with pytest.raises(NegativeWeightError, match="-1"):
        factorise_nonnegative(v_FD - 1, rank=1)
    with pytest.raises(RankError):
        factorise_nonnegative(v_FD, rank=4)


@law
@given(seed=seeds, rank=st.integers(2, 10))
def test_each_part_of_both_signs_adds_or_takes_away_as_a_whole(seed: int, rank: int) -> None:
    w_FD = draw(seed)[0]
    left_FR, right_RD = split_signs(w_FD, rank=rank)
    assert left_FR.shape == (10, rank)
    assert bool(((left_FR >= 0).all(dim=0) | (left_FR <= 0).all(dim=0)).all())
    assert float(right_RD.min()) >= 0
    assert float((w_FD - left_FR @ right_RD).square().sum()) < float(w_FD.square().sum())


@law
@given(seed=seeds, first=st.integers(1, 6), sizes=st.lists(st.integers(1, 5), max_size=4))
def test_columns_that_come_in_parts_have_the_svd_of_the_whole(seed: int, first: int, sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(6, size, generator=generator, dtype=torch.float64) for size in (first, *sizes)]
    found = start_svd(parts[0], max_rank=6)
    for part in parts[1:]:
        found = extend_svd(found, part, max_rank=6)
    whole = torch.cat(parts, dim=1)
    expected = torch.linalg.svdvals(whole)
    assert found.num_columns == whole.shape[1]
    torch.testing.assert_close(found.values_R, expected[: len(found.values_R)])
    torch.testing.assert_close(found.product(), whole)
    torch.testing.assert_close(found.left_FR.T @ found.left_FR, torch.eye(len(found.values_R), dtype=torch.float64))


def test_a_stream_of_low_rank_is_kept_by_its_rank() -> None:
    generator = torch.Generator().manual_seed(0)
    left_FR, right_RD = torch.randn(20, 3, generator=generator), torch.randn(3, 40, generator=generator)
    whole = left_FR @ right_RD
    found = start_svd(whole[:, :5], max_rank=3)
    for start in range(5, 40, 5):
        found = extend_svd(found, whole[:, start : start + 5], max_rank=3)
    torch.testing.assert_close(found.product().float(), whole, rtol=1e-4, atol=1e-4)
    with pytest.raises(RankError):
        start_svd(whole, max_rank=0)


def test_a_factorised_linear_trains_and_merges_back(tiny_model: LoadedModel, dense: Dense) -> None:
    model, path = tiny_model.model, dense.loaded.architecture.linear_paths[4]
    config = FactorConfig(rank=RankConfig(kind="bytes", byte_share=0.5))
    w_FD = model.get_parameter(f"{path}.weight").detach().clone()
    factors = factorise(w_FD, dense.statistics[path].gram_DD, config=config)
    assert factors.num_weights <= 0.5 * w_FD.numel()
    put_factors(model, {path: factors})
    windows_NT = dense.calibration_NT[:1]
    loss = model(input_ids=windows_NT, labels=windows_NT).loss
    loss.backward()
    linear = model.get_submodule(path)
    assert isinstance(linear, LowRankLinear)
    assert linear.rank == factors.rank
    for factor in (linear.left, linear.right):
        assert factor.grad is not None
        assert float(factor.grad.abs().max()) > 0
        factor.data -= 0.01 * factor.grad / factor.grad.norm()
    with torch.no_grad():
        trained = model(input_ids=windows_NT, labels=windows_NT).loss
        assert trained < loss
        assert merge_factors(model) == (path,)
        assert isinstance(model.get_submodule(path), torch.nn.Linear)
        merged = model(input_ids=windows_NT, labels=windows_NT).loss
    assert float(merged) == pytest.approx(float(trained), rel=1e-4)


def test_a_bias_goes_with_the_factors() -> None:
    linear = torch.nn.Linear(4, 3)
    holder = torch.nn.ModuleDict({"one": copy.deepcopy(linear)})
    factors = weighted_svd(linear.weight.detach(), torch.eye(4), config=FactorConfig(kind="plain")).cut(3)
    put_factors(holder, {"one": factors})  # type: ignore[arg-type]
    x_BD = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(holder["one"](x_BD), linear(x_BD))
    merge_factors(holder)  # type: ignore[arg-type]
    torch.testing.assert_close(holder["one"](x_BD), linear(x_BD))


@law
@given(seed=seeds, rank=st.integers(1, 8))
def test_compensation_takes_back_the_most_that_its_rank_can(seed: int, rank: int) -> None:
    w_FD, gram_DD, _ = draw(seed, outputs=16, inputs=32)
    stored_FD = quantize_tensor(w_FD, GgufType.Q4_0).dequantize()
    before = quadratic_error(w_FD, stored_FD, gram_DD)
    whitened = compensate(w_FD, stored_FD, gram_DD, rank=rank)
    plain = compensate(w_FD, stored_FD, gram_DD, rank=rank, config=FactorConfig(kind="plain"))
    after, other = (quadratic_error(w_FD, stored_FD + each.product(), gram_DD) for each in (whitened, plain))
    assert after < before
    assert after <= other * (1 + 1e-2)
    assert whitened.left_FR.shape == (16, rank)
    assert whitened.right_RD.shape == (rank, 32)


def test_compensated_linears_bring_the_perplexity_nearer_to_dense(tiny_model: LoadedModel, dense: Dense) -> None:
    types = dict.fromkeys(dense.loaded.architecture.linear_paths, "q4_0")
    quantized = round_linears(
        dense.loaded.model,
        dense.statistics,
        types=types,
        config=RoundingConfig(kind="nearest"),  # type: ignore[arg-type]
    )
    found = compensate_model(dense.loaded.model, dense.statistics, quantized, rank=8)
    perplexities = []
    for has_factors in (False, True):
        for path, factors in found.items():
            stored_FD = quantized[f"{path}.weight"].dequantize()
            weight_FD = stored_FD + factors.product() if has_factors else stored_FD
            tiny_model.model.get_parameter(f"{path}.weight").data.copy_(weight_FD)
        perplexities.append(dense.perplexity(tiny_model.model))
    assert perplexities[1] < perplexities[0]
    assert set(found) == set(dense.loaded.architecture.linear_paths)


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"kind": "fisher"}, RankError), ({"kind": "plain", "rank": {"kind": "loss"}}, RankError)],
)
def test_what_cannot_be_factorised_says_why(settings: dict[str, Any], error: type[Exception]) -> None:
    w_FD, gram_DD, _ = draw(0)
    with pytest.raises(error):
        factorise(w_FD, gram_DD, config=FactorConfig.model_validate(settings))
    with pytest.raises(SingularGramError):
        factorise(w_FD, -gram_DD, config=FactorConfig())


def test_every_kind_of_factors_is_made_by_its_settings() -> None:
    w_FD, gram_DD, sensitivity_F = draw(0)
    for kind in (*KINDS, "nonnegative"):
        config = FactorConfig.model_validate({"kind": kind, "rank": {"kind": "energy", "energy": 0.8}})
        found = factorise(w_FD, gram_DD, config=config, sensitivity_F=sensitivity_F)
        assert found.product().shape == w_FD.shape
        assert quadratic_error(w_FD, found.product(), torch.eye(8)) < float(w_FD.square().sum())
