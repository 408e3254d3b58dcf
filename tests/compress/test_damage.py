"""Damage is found where it was done, followed where it goes, named by what it costs, and healed by how bad it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.matrices import law, seeds
from torch import Tensor, nn

from birdbone.compress.config import BlockwiseConfig, IntegrityConfig, SeverityLimits
from birdbone.compress.damage import (
    DamageProfile,
    LayerEvidence,
    PatchReport,
    RankedLayer,
    allocate_steps,
    calibrate_mild,
    check_integrity,
    class_of,
    classify,
    dead_findings,
    dead_neurons,
    effective_rank,
    gain_map,
    healing_queue,
    linear_cka,
    measure_drift,
    own_errors,
    patch_layers,
    rank_layers,
    spreads,
    weight_changes,
)
from birdbone.compress.errors import NoCalibrationDataError
from birdbone.compress.healing import blockwise, heal_blocks
from birdbone.compress.importance import wanda_scores
from birdbone.compress.shedding import shed_lowest
from birdbone.models import LoadedModel

pytestmark = pytest.mark.usefixtures("dense_stays")

LIMITS = SeverityLimits()
INJURED = 2


@torch.no_grad()
def add_noise(loaded: LoadedModel, layer: int, share: float = 0.3) -> None:
    weight = loaded.model.get_parameter(f"model.layers.{layer}.mlp.down_proj.weight")
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    weight += share * weight.std() * noise


def ranked_by_own(own_L: np.ndarray, healthy_L: np.ndarray | None = None) -> tuple[RankedLayer, ...]:
    return rank_layers(LayerEvidence(name="own damage", values_L=own_L, healthy_L=healthy_L))


def drift(changed: LoadedModel, dense: Dense) -> DamageProfile:
    return measure_drift(
        changed.model, dense.loaded.model, dense.loaded.architecture, windows_NT=dense.healing_NT[:4], batch_size=2
    )


def patches(changed: LoadedModel, dense: Dense, layers: list[int] | None = None) -> PatchReport:
    return patch_layers(
        changed.model, dense.loaded.model, dense.loaded.architecture, windows_NT=dense.healing_NT[:3], layers=layers
    )


def weight_of(loaded: LoadedModel, name: str, layer: int = INJURED) -> nn.Parameter:
    return loaded.model.get_parameter(f"model.layers.{layer}.{name}.weight")


def test_an_unchanged_model_has_no_damage(tiny_model: LoadedModel, dense: Dense) -> None:
    profile = drift(tiny_model, dense)
    assert profile.num_tokens == 4 * 64
    for side in (profile.own, profile.propagated):
        assert (side.errors_LN == 0).all()
        assert side.cosine_L == pytest.approx(np.ones(4), abs=1e-5)
        assert side.cka_L == pytest.approx(np.ones(4), abs=1e-9)
    report = patches(tiny_model, dense)
    assert report.total_N == pytest.approx(np.zeros(3), abs=1e-6)
    assert (report.arrival_LL == 0).all()


def test_own_damage_is_the_injured_layers_alone_and_propagated_damage_begins_there(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    add_noise(tiny_model, INJURED)
    profile = drift(tiny_model, dense)
    assert [value > 0 for value in profile.own.error_L] == [False, False, True, False]
    assert [value > 0 for value in profile.propagated.error_L] == [False, False, True, True]
    assert profile.own.errors_LN[INJURED] == pytest.approx(profile.propagated.errors_LN[INJURED])
    assert profile.own.cosine_L[INJURED] < 0.99
    assert profile.own.cka_L[INJURED] < 0.999


def test_the_short_way_to_own_errors_gives_the_same(tiny_model: LoadedModel, dense: Dense) -> None:
    add_noise(tiny_model, 1)
    short = own_errors(
        tiny_model.model, dense.loaded.model, dense.loaded.architecture, windows_NT=dense.healing_NT[:4], batch_size=4
    )
    assert short == pytest.approx(drift(tiny_model, dense).own.error_L)


def test_harm_of_the_only_changed_layer_is_all_there_is_and_mending_it_wins_it_back(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    add_noise(tiny_model, INJURED)
    report = patches(tiny_model, dense)
    assert report.harm_LN[INJURED] == pytest.approx(report.total_N, rel=1e-3)
    assert report.relief_LN[INJURED] == pytest.approx(report.total_N, rel=1e-3)
    assert report.harm_LN[[0, 1, 3]] == pytest.approx(0, abs=1e-6)
    assert (report.arrival_LL[INJURED] > 0).tolist() == [False, False, True, True]
    own, propagated = drift(tiny_model, dense).own, drift(tiny_model, dense).propagated
    first = patch_layers(
        tiny_model.model, dense.loaded.model, dense.loaded.architecture, windows_NT=dense.healing_NT[:4]
    )
    assert first.arrival_LL[INJURED, INJURED] == pytest.approx(own.error_L[INJURED], rel=1e-4)
    assert first.arrival_LL[INJURED, 3] == pytest.approx(propagated.error_L[3], rel=1e-4)


def test_layers_that_were_not_asked_for_are_not_measured(tiny_model: LoadedModel, dense: Dense) -> None:
    add_noise(tiny_model, 0)
    report = patches(tiny_model, dense, layers=[0])
    assert np.isnan(report.harm_LN[1:]).all()
    assert (report.harm_LN[0] > 0).all()


def test_a_layer_that_gives_nan_is_ranked_first_and_critical(tiny_model: LoadedModel, dense: Dense) -> None:
    add_noise(tiny_model, 0)
    with torch.no_grad():
        weight_of(tiny_model, "self_attn.v_proj")[0, 0] = math.nan
    profile = drift(tiny_model, dense)
    ranked = ranked_by_own(profile.own.error_L)
    assert ranked[0].layer == INJURED
    assert ranked[0].excess == math.inf
    report = patches(tiny_model, dense)
    found = classify(report.harm_LN, LIMITS, generator=np.random.default_rng(0))[INJURED]
    assert found.severity == "critical"
    assert found.is_certain(LIMITS)


@pytest.mark.parametrize("layer", range(4))
def test_the_injured_layer_of_a_pruned_model_is_first(tiny_model: LoadedModel, dense: Dense, layer: int) -> None:
    @torch.no_grad()
    def prune(fraction: float) -> None:
        for path in dense.loaded.architecture.linear_paths:
            weight = tiny_model.model.get_parameter(f"{path}.weight")
            weight.copy_(dense.loaded.model.get_parameter(f"{path}.weight"))
            scores = wanda_scores(weight, dense.statistics[path].mean_square_D)
            weight *= shed_lowest(scores, torch.ones_like(weight, dtype=torch.bool), fraction=fraction)

    prune(0.1)
    healthy = drift(tiny_model, dense).own.error_L
    prune(0.2)
    add_noise(tiny_model, layer, 0.3)
    assert ranked_by_own(drift(tiny_model, dense).own.error_L, healthy)[0].layer == layer


@law
@given(seed=seeds, scale=st.floats(1e-3, 1e3), layer=st.integers(0, 11))
def test_ranking_does_not_hang_on_the_scale_of_a_wave_or_on_what_is_usual_for_a_layer(
    seed: int, scale: float, layer: int
) -> None:
    usual_L = np.exp(np.random.default_rng(seed).normal(0, 3, 12))
    own_L = scale * usual_L * np.where(np.arange(12) == layer, 1.5, 1.0)
    first = ranked_by_own(own_L, usual_L)[0]
    assert first.layer == layer
    assert first.excess == pytest.approx(math.log(1.5))


def test_without_a_healthy_state_a_layer_is_held_against_its_neighbours() -> None:
    own_L = np.exp(np.linspace(-8, -2, 12))
    own_L[1] *= 60
    assert ranked_by_own(own_L)[0].layer == 1
    assert sorted(ranked.layer for ranked in ranked_by_own(own_L)) == list(range(12))


def test_what_hides_in_own_damage_is_found_by_the_weights_of_its_kind(tiny_model: LoadedModel, dense: Dense) -> None:
    with torch.no_grad():
        for layer in range(4):
            weight_of(tiny_model, "mlp.up_proj", layer).mul_(1.01 + 0.003 * layer)
        weight_of(tiny_model, "self_attn.k_proj", 3)[0] *= 1.5
    changes = weight_changes(tiny_model.model, dense.loaded.model, dense.loaded.architecture)
    assert changes["up"] == pytest.approx((0.01 + 0.003 * np.arange(4)) ** 2, rel=1e-3)
    evidence = [LayerEvidence(name=kind, values_L=change_L) for kind, change_L in changes.items()]
    first = rank_layers(*evidence)[0]
    assert (first.layer, first.evidence) == (3, "k")


@law
@given(seed=seeds, num_tokens=st.sampled_from([5, 40]), scale=st.floats(0.1, 10))
def test_cka_ignores_turning_and_scaling_and_both_ways_agree(seed: int, num_tokens: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    x_MD = torch.randn(num_tokens, 8, generator=generator, dtype=torch.float64)
    turn_DD = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))[0]
    assert linear_cka(x_MD, scale * x_MD @ turn_DD) == pytest.approx(1)
    y_MD = torch.randn(num_tokens, 8, generator=generator, dtype=torch.float64)
    a, b = x_MD - x_MD.mean(0), y_MD - y_MD.mean(0)
    by_tokens = float(((a @ a.T) * (b @ b.T)).sum() / ((a @ a.T).norm() * (b @ b.T).norm()))
    assert linear_cka(x_MD, y_MD) == pytest.approx(by_tokens)
    assert 0 <= linear_cka(x_MD, y_MD) <= 1


def zero_rows(loaded: LoadedModel) -> None:
    weight_of(loaded, "mlp.up_proj")[:16] = 0


def permute_rows(loaded: LoadedModel) -> None:
    weight = weight_of(loaded, "self_attn.q_proj")
    weight[:16] = weight[:16].roll(1, dims=0).clone()


def flip_rows(loaded: LoadedModel) -> None:
    weight_of(loaded, "mlp.gate_proj")[:16] *= -1


def scale_norm(loaded: LoadedModel) -> None:
    weight_of(loaded, "input_layernorm").mul_(3)


def flatten(loaded: LoadedModel) -> None:
    weight = weight_of(loaded, "mlp.down_proj")
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    values[2:] *= 0.05
    weight.copy_(left * values @ right)


def poison(loaded: LoadedModel) -> None:
    weight_of(loaded, "mlp.down_proj")[3, 5] = math.inf


@pytest.mark.parametrize(
    ("injure", "kind"),
    [
        (zero_rows, "zeroed_rows"),
        (permute_rows, "permuted_rows"),
        (flip_rows, "turned_rows"),
        (scale_norm, "norm_change"),
        (flatten, "rank_loss"),
        (poison, "not_finite"),
    ],
)
def test_each_injury_leaves_its_sign(tiny_model: LoadedModel, dense: Dense, injure: object, kind: str) -> None:
    architecture, config = dense.loaded.architecture, IntegrityConfig()
    assert check_integrity(tiny_model.model, dense.loaded.model, architecture, config) == ()
    with torch.no_grad():
        injure(tiny_model)
    found = check_integrity(tiny_model.model, dense.loaded.model, architecture, config)
    assert kind in {finding.kind for finding in found}
    assert {finding.layer for finding in found} == {INJURED}


def test_neurons_that_died_are_found_and_those_that_were_dead_are_not(tiny_model: LoadedModel, dense: Dense) -> None:
    architecture, windows = dense.loaded.architecture, dense.healing_NT[:2]
    before = dead_neurons(dense.loaded.model, architecture, windows)
    with torch.no_grad():
        zero_rows(tiny_model)
    after = dead_neurons(tiny_model.model, architecture, windows)
    (finding,) = dead_findings(after, before, architecture, IntegrityConfig())
    assert (finding.layer, finding.kind, finding.value) == (INJURED, "dead", 0.1)
    assert dead_findings(after, after, architecture, IntegrityConfig()) == ()


@law
@given(seed=seeds, rank=st.integers(1, 6))
def test_the_effective_rank_of_equal_singular_values_is_their_number(seed: int, rank: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0]
    assert effective_rank(turn[:, :rank] @ turn[:rank]) == pytest.approx(rank, rel=1e-3)


@pytest.mark.parametrize(
    ("harm", "severity"),
    [
        (0.0, "healthy"),
        (0.0009, "healthy"),
        (0.001, "mild"),
        (0.01, "moderate"),
        (0.03, "severe"),
        (0.3, "critical"),
        (math.inf, "critical"),
        (math.nan, "critical"),
    ],
)
def test_classes_begin_at_their_limits(harm: float, severity: str) -> None:
    assert class_of(harm, LIMITS) == severity


def test_a_class_is_certain_only_if_the_interval_lies_within_it() -> None:
    steady, wild = np.full(16, 0.02), np.linspace(0.0, 0.04, 16)
    found = classify(np.stack([steady, wild]), LIMITS, generator=np.random.default_rng(0))
    assert [each.severity for each in found] == ["moderate", "moderate"]
    assert [each.is_certain(LIMITS) for each in found] == [True, True]
    few = classify(wild[None, :4], LIMITS, generator=np.random.default_rng(0))[0]
    assert (few.low, few.high, few.is_certain(LIMITS)) == (None, None, False)
    near = classify(np.linspace(0.0, 0.02, 16)[None], LIMITS, generator=np.random.default_rng(0))[0]
    assert not near.is_certain(LIMITS)


def test_the_limit_of_mild_damage_is_what_harmless_variation_seldom_passes(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    with torch.no_grad():
        for parameter in tiny_model.model.parameters():
            parameter.copy_(parameter.bfloat16().float())
    harm_LN = patches(tiny_model, dense).harm_LN
    limit = calibrate_mild(harm_LN, generator=np.random.default_rng(0))
    assert harm_LN.mean(axis=1).max() <= limit <= harm_LN.max()
    assert limit < LIMITS.mild


def test_gains_by_hand() -> None:
    arrival_LL = np.array([[0.1, 0.3, 0.2], [0.0, 0.0, 0.0], [0.0, 0.0, 0.5]])
    gains = gain_map(arrival_LL)
    assert gains[0] == pytest.approx([1, 3, 2])
    assert np.isnan(gains[1]).all()
    first, second, third = spreads(arrival_LL)
    assert (first.peak_layer, first.gain_at_peak, first.gain_at_end) == (1, pytest.approx(3), pytest.approx(2))
    assert (second.peak_layer, math.isnan(second.gain_at_end)) == (1, True)
    assert (third.peak_layer, third.gain_at_end) == (2, 1)


def test_the_queue_goes_by_class_then_by_what_mending_wins() -> None:
    harm_LN = np.array([[0.02], [0.0], [0.05], [0.025], [0.002]])
    found = classify(harm_LN, LIMITS, generator=np.random.default_rng(0))
    queue = healing_queue(found, [0.1, 9.0, 0.01, 0.2, 0.3])
    assert [task.layer for task in queue] == [2, 3, 0, 4]


@law
@given(
    num_steps=st.integers(0, 1000),
    damage_L=st.lists(st.floats(0, 10) | st.just(math.inf) | st.just(math.nan), min_size=1, max_size=40),
)
def test_steps_add_up_and_go_where_the_damage_is(num_steps: int, damage_L: list[float]) -> None:
    steps = allocate_steps(num_steps, damage_L)
    assert sum(steps) == num_steps
    finite = [(damage, count) for damage, count in zip(damage_L, steps, strict=True) if math.isfinite(damage)]
    ordered = [count for _, count in sorted(finite, key=lambda pair: pair[0])]
    for (low, few), (high, many) in zip(sorted(finite), sorted(finite)[1:], strict=False):
        assert low == high or few <= many
    assert all(count >= math.floor(num_steps * 0.5 / len(damage_L)) for count in ordered)


def test_steps_by_hand() -> None:
    assert allocate_steps(12, [1.0, 4.0, 9.0]) == [3, 4, 5]
    assert allocate_steps(7, [0.0, 0.0]) == [4, 3]


def test_healing_by_severity_gives_the_injured_block_the_most_steps_and_loses_none(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    add_noise(tiny_model, INJURED)
    config = BlockwiseConfig(num_steps=16, num_windows=4, batch_size=4, learning_rate=1e-3, intensity="severity")
    models = (tiny_model.model, dense.loaded.model, dense.loaded.architecture)
    steps = blockwise._allotted_steps(*models, dense.healing_NT[:4], config)
    assert steps == [2, 2, 10, 2]
    report = heal_blocks(*models, windows_NT=dense.healing_NT[:4], masks={}, config=config)
    assert report.num_steps == 16
    assert [len(losses) for losses in report.losses] == steps
    assert report.errors_after[INJURED] < report.errors_before[INJURED]


def test_no_windows_are_an_error(tiny_model: LoadedModel, dense: Dense) -> None:
    nothing: Tensor = dense.healing_NT[:0]
    models = (tiny_model.model, dense.loaded.model, dense.loaded.architecture)
    for measure in (measure_drift, patch_layers):
        with pytest.raises(NoCalibrationDataError):
            measure(*models, windows_NT=nothing)
