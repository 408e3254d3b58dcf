"""The estimate is that of the second order, what is measured is measured, and the target of bits is kept."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.matrices import draw_linear, law, seeds
from torch import Tensor

from birdbone.compress.config import AllocationConfig, QuantizeFormat, RoundingConfig
from birdbone.compress.errors import BitsBudgetError
from birdbone.compress.output_sensitivity import output_sensitivity
from birdbone.compress.quantize import (
    ChosenTypes,
    calibrate,
    choose_types,
    estimate_damage,
    estimate_type,
    measure_damage,
    round_ends,
    round_linears,
    weigh_linears,
)
from birdbone.compress.quantize.mixed import approximate
from birdbone.compress.quantize.sensitivity import spread_evenly
from birdbone.compress.statistics import InputStatistics
from birdbone.models import LoadedModel
from birdbone.models.gguf import GgufType

pytestmark = pytest.mark.usefixtures("dense_stays")


@pytest.fixture(scope="module")
def sensitivity(dense: Dense) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return output_sensitivity(
        dense.loaded.model, dense.loaded.architecture.linear_paths, dense.calibration_NT, generator=generator
    )


def choose(dense: Dense, bits: float, **settings: object) -> ChosenTypes:
    values = {"bits_per_weight": bits, "num_measured": 1, **settings}
    wanted = QuantizeFormat(allocation=AllocationConfig.model_validate(values))
    loaded = dense.loaded
    return choose_types(
        loaded.model, loaded.architecture, dense.statistics, windows_NT=dense.calibration_NT, wanted=wanted
    )


def test_every_linear_has_a_sensitivity_and_no_weight_gathers_a_gradient(
    sensitivity: dict[str, Tensor], dense: Dense
) -> None:
    architecture = dense.loaded.architecture
    assert set(sensitivity) == set(architecture.linear_paths)
    for layer in architecture.layers:
        for slot in layer.linears:
            assert sensitivity[slot.path].shape == (slot.out_features,)
            assert bool((sensitivity[slot.path] >= 0).all())
    assert all(each.grad is None for each in dense.loaded.model.parameters())
    assert all(each.requires_grad for each in dense.loaded.model.parameters())


def test_a_small_change_costs_what_the_second_order_says(sensitivity: dict[str, Tensor], dense: Dense) -> None:
    loaded, windows_NT = dense.loaded, dense.calibration_NT
    generator = torch.Generator().manual_seed(1)
    ratios = []
    for path in loaded.architecture.linear_paths:
        w_FD = loaded.model.get_parameter(f"{path}.weight").detach()
        change_FD = 0.02 * w_FD.std() * torch.randn(w_FD.shape, generator=generator)
        change = {path: {path: w_FD + change_FD}}
        measured = measure_damage(loaded.model, loaded.architecture, windows_NT, changes=change)[path]
        ratios.append(measured / estimate_damage(change_FD, dense.statistics[path].gram_DD, sensitivity[path]))
    ranked = sorted(ratios)
    assert 0.5 < ranked[len(ranked) // 2] < 2
    assert 0.2 < ranked[0] < ranked[-1] < 5


def test_no_change_is_no_damage_and_the_weights_come_back(dense: Dense) -> None:
    loaded, path = dense.loaded, dense.loaded.architecture.linear_paths[3]
    same = {"nothing": {path: loaded.model.get_parameter(f"{path}.weight").detach().clone()}}
    found = measure_damage(loaded.model, loaded.architecture, dense.calibration_NT[:2], changes=same)
    assert found["nothing"] == pytest.approx(0, abs=1e-6)


def test_the_damage_of_a_group_is_that_of_the_model_with_all_of_it_changed(
    dense: Dense, tiny_model: LoadedModel
) -> None:
    loaded, windows_NT = dense.loaded, dense.calibration_NT[:2]
    paths = loaded.architecture.linear_paths[4:9]
    changes = {path: loaded.model.get_parameter(f"{path}.weight").detach() * 0.9 for path in paths}
    found = measure_damage(loaded.model, loaded.architecture, windows_NT, changes={"group": changes})["group"]
    with torch.no_grad():
        before = tiny_model.model(input_ids=windows_NT).logits.log_softmax(-1)
        for path, w_FD in changes.items():
            tiny_model.model.get_parameter(f"{path}.weight").copy_(w_FD)
        after = tiny_model.model(input_ids=windows_NT).logits.log_softmax(-1)
    assert found == pytest.approx(float((before.exp() * (before - after)).sum(-1).mean()), rel=1e-3)


def test_on_few_rows_the_estimate_of_a_type_is_that_of_its_rounding(
    sensitivity: dict[str, Tensor], dense: Dense
) -> None:
    path = dense.loaded.architecture.linear_paths[0]
    w_FD = dense.loaded.model.get_parameter(f"{path}.weight").detach()
    statistics = dense.statistics[path]
    error_FD = w_FD - approximate(w_FD, statistics, "q4_0")
    expected = estimate_damage(error_FD, statistics.gram_DD, sensitivity[path])
    assert estimate_type(w_FD, statistics, sensitivity[path], kind="q4_0") == pytest.approx(expected, rel=1e-3)


@law
@given(seed=seeds)
def test_some_rows_stand_for_all_where_all_are_alike(seed: int) -> None:
    linear = draw_linear(seed, num_outputs=4, num_inputs=32, num_tokens=100)
    statistics = InputStatistics(gram_DD=linear.gram_DD, num_tokens=100)
    one, many = linear.w_FD[:1], linear.w_FD[:1].repeat(512, 1)
    whole = estimate_type(many, statistics, torch.ones(512), kind="q4_0")
    assert whole == pytest.approx(512 * estimate_type(one, statistics, torch.ones(1), kind="q4_0"), rel=1e-3)


@pytest.mark.parametrize("bits", [4.6, 8.5])
def test_the_target_is_never_exceeded(bits: float, dense: Dense) -> None:
    chosen = choose(dense, bits)
    slots = {slot.path: slot for layer in dense.loaded.architecture.layers for slot in layer.linears}
    assert set(chosen.types) == set(slots)
    assert chosen.allocation is not None
    num_weights = sum(slot.out_features * slot.in_features for slot in slots.values())
    assert 8 * chosen.allocation.size_bytes <= bits * num_weights
    rounded = round_linears(
        dense.loaded.model, dense.statistics, types=chosen.types, config=RoundingConfig(kind="nearest")
    )
    impacts = weigh_linears(
        dense.loaded.model, dense.loaded.architecture, dense.statistics, types=chosen.types, rounded=rounded
    )
    assert sum(impact.size_bytes for impact in impacts) == chosen.allocation.size_bytes
    assert {name.removesuffix(".weight") for name in rounded} == {
        p for p, kind in chosen.types.items() if kind != "f16"
    }


def test_more_bits_never_mean_more_damage(dense: Dense) -> None:
    found = [choose(dense, bits, num_measured=0).allocation for bits in (4.5, 5.0, 6.5)]
    damages = [each.damage for each in found if each is not None]
    assert damages == sorted(damages, reverse=True)
    assert damages[0] > damages[-1]


def test_types_by_damage_beat_types_at_random_at_the_same_bits(dense: Dense) -> None:
    loaded, config = dense.loaded, RoundingConfig(kind="importance")
    paths = list(loaded.architecture.linear_paths)
    chosen = choose(dense, 5.0, types=("q4_0", "q8_0")).types
    generator = torch.Generator().manual_seed(0)

    def damage(types: dict[str, str]) -> float:
        rounded = round_linears(loaded.model, dense.statistics, types=types, config=config)  # type: ignore[arg-type]
        change = {name.removesuffix(".weight"): tensor.dequantize() for name, tensor in rounded.items()}
        return measure_damage(loaded.model, loaded.architecture, dense.calibration_NT, changes={"all": change})["all"]

    roles = {slot.path: slot.role for layer in loaded.architecture.layers for slot in layer.linears}
    others = []
    for _ in range(3):  # within a role all sizes are alike, so a shuffle there keeps the bytes
        shuffled = dict(chosen)
        for role in set(roles.values()):
            own = [path for path in paths if roles[path] == role]
            turn = torch.randperm(len(own), generator=generator).tolist()
            shuffled |= {path: chosen[own[place]] for path, place in zip(own, turn, strict=True)}
        others.append(damage(shuffled))
    assert damage(dict(chosen)) < sum(others) / len(others)


def test_a_role_that_is_named_keeps_its_type_and_its_bytes_count(dense: Dense) -> None:
    loaded = dense.loaded
    allocation = AllocationConfig(bits_per_weight=5.5, num_measured=0)
    wanted = QuantizeFormat(by_role={"v": "q8_0"}, allocation=allocation)
    chosen = choose_types(
        loaded.model, loaded.architecture, dense.statistics, windows_NT=dense.calibration_NT, wanted=wanted
    )
    assert {kind for path, kind in chosen.types.items() if path.endswith("v_proj")} == {"q8_0"}
    assert chosen.allocation is not None
    num_weights = sum(
        slot.out_features * slot.in_features for layer in loaded.architecture.layers for slot in layer.linears
    )
    assert 8 * chosen.allocation.size_bytes <= 5.5 * num_weights


def test_a_target_below_all_types_is_an_error(dense: Dense) -> None:
    with pytest.raises(BitsBudgetError):
        choose(dense, 4.4, num_measured=0)


def test_the_correction_of_a_role_is_the_geometric_mean_of_its_ratios() -> None:
    estimated = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 0.0}
    measured = {"a": 2.0, "b": 16.0, "c": 3.0, "d": 1.0}
    found = calibrate(estimated, measured, role_of={"a": "q", "b": "q", "c": "up", "d": "up"})
    assert found.factors == {"q": pytest.approx(4.0), "up": pytest.approx(1.0)}
    assert found.rank_agreement == pytest.approx(0.8)
    assert calibrate(estimated, {}, role_of={}).rank_agreement is None


@law
@given(total=st.integers(1, 40), count=st.integers(1, 40))
def test_probes_are_spread_evenly(total: int, count: int) -> None:
    paths = [str(number) for number in range(total)]
    found = spread_evenly(paths, count)
    assert len(set(found)) == len(found) == min(count, total)
    if count > 1:
        assert found[-1] == paths[-1]


def test_the_ends_are_rounded_by_the_formats_type_and_half_precision_leaves_them(dense: Dense) -> None:
    loaded = dense.loaded
    config = RoundingConfig(kind="nearest")
    rounded = round_ends(loaded.model, loaded.architecture, dense.statistics, kind="q8_0", config=config)
    assert {name: tensor.type for name, tensor in rounded.items()} == {"model.embed_tokens.weight": GgufType.Q8_0}
    assert round_ends(loaded.model, loaded.architecture, dense.statistics, kind="f16", config=config) == {}
