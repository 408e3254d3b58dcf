"""A whole wave on the tiny model: it sheds exactly what it should, heals, and gives back what the loss asks for."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.matrices import law, quadratic_error, seeds

from birdbone.compress import WavesConfig
from birdbone.compress.config import BlockwiseConfig
from birdbone.compress.importance import wanda_scores
from birdbone.compress.shedding import sparsity
from birdbone.compress.waves import Masks, draw_windows, full_masks, heal_wave, regrow_wave, shed_wave
from birdbone.models import LoadedModel

pytestmark = pytest.mark.usefixtures("dense_stays")

CONFIG = WavesConfig(heal=BlockwiseConfig(num_steps=24, num_windows=8, batch_size=4, learning_rate=5e-4))


def shed(loaded: LoadedModel, dense: Dense, masks: Masks, **settings: Any) -> Masks:
    return shed_wave(loaded.model, masks=masks, statistics=dense.statistics, config=CONFIG, **settings)


def heal(loaded: LoadedModel, dense: Dense, masks: Masks, config: WavesConfig = CONFIG) -> Any:
    return heal_wave(
        loaded.model,
        dense.loaded.model,
        loaded.architecture,
        masks=masks,
        windows_NT=draw_windows(dense.healing_NT, count=8, wave=0, seed=0),
        config=config,
    )


def assert_masks_hold(loaded: LoadedModel, masks: Masks) -> None:
    for path, mask_FD in masks.items():
        assert bool((loaded.model.get_parameter(f"{path}.weight")[~mask_FD] == 0).all())


def test_full_masks_keep_every_weight_of_every_prunable_linear(dense: Dense) -> None:
    masks = full_masks(dense.loaded.model, dense.loaded.architecture)
    assert tuple(masks) == dense.loaded.architecture.linear_paths
    assert all(sparsity(mask_FD) == 0.0 for mask_FD in masks.values())


def test_a_wave_sheds_a_tenth_of_each_row_the_lowest_by_wanda(tiny_model: LoadedModel, dense: Dense) -> None:
    seen: list[tuple[int, int]] = []
    masks = full_masks(tiny_model.model, tiny_model.architecture)
    after = shed(tiny_model, dense, masks, progress=lambda done, total: seen.append((done, total)))
    for path, mask_FD in after.items():
        weight_FD = dense.loaded.model.get_parameter(f"{path}.weight").detach()
        scores_FD = wanda_scores(weight_FD, dense.statistics[path].mean_square_D)
        num_dropped = int(mask_FD.shape[1] * 0.1)
        assert set((~mask_FD).sum(dim=1).tolist()) == {num_dropped}
        for row, dropped in enumerate(~mask_FD):
            assert set(dropped.nonzero().flatten().tolist()) == set(scores_FD[row].argsort()[:num_dropped].tolist())
    assert_masks_hold(tiny_model, after)
    assert all(bool(mask_FD.all()) for mask_FD in masks.values())
    assert seen[-1] == (28, 28)


def test_the_refit_lowers_the_output_error_of_every_linear(tiny_model: LoadedModel, dense: Dense) -> None:
    masks = shed(tiny_model, dense, full_masks(tiny_model.model, tiny_model.architecture))
    for path, mask_FD in masks.items():
        dense_FD = dense.loaded.model.get_parameter(f"{path}.weight").detach()
        refitted_FD = tiny_model.model.get_parameter(f"{path}.weight").detach()
        gram_DD = dense.statistics[path].gram_DD
        assert quadratic_error(dense_FD, refitted_FD, gram_DD) < quadratic_error(dense_FD, dense_FD * mask_FD, gram_DD)


def test_wave_after_wave_masks_only_lose_and_healing_brings_perplexity_down(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    history = [full_masks(tiny_model.model, tiny_model.architecture)]
    for _ in range(6):
        history.append(shed(tiny_model, dense, history[-1]))
    for before, after in itertools.pairwise(history):
        for path, mask_FD in after.items():
            assert not bool((mask_FD & ~before[path]).any())
            for alive, left in zip(before[path].sum(dim=1).tolist(), mask_FD.sum(dim=1).tolist(), strict=True):
                assert alive - left == int(alive * 0.1)
    shed_perplexity = dense.perplexity(tiny_model.model)
    report = heal(tiny_model, dense, history[-1])
    assert sum(report.errors_after) < sum(report.errors_before)
    assert dense.perplexity(tiny_model.model) < shed_perplexity
    assert_masks_hold(tiny_model, history[-1])


def test_regrowth_brings_back_a_twentieth_of_what_is_shed_with_values_that_help(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    masks = full_masks(tiny_model.model, tiny_model.architecture)
    for _ in range(5):
        masks = shed(tiny_model, dense, masks)
    weights = {path: tiny_model.model.get_parameter(f"{path}.weight").detach().clone() for path in masks}
    grown = regrow_wave(
        tiny_model.model,
        dense.loaded.model,
        masks=masks,
        statistics=dense.statistics,
        windows_NT=dense.healing_NT[:2],
        config=CONFIG,
    )
    assert grown.keys() == masks.keys()
    for path, mask_FD in grown.items():
        assert bool(mask_FD[masks[path]].all())
        assert int((mask_FD & ~masks[path]).sum()) == int(int((~masks[path]).sum()) * 0.05)
        dense_FD = dense.loaded.model.get_parameter(f"{path}.weight").detach()
        gram_DD = dense.statistics[path].gram_DD
        weight_FD = tiny_model.model.get_parameter(f"{path}.weight").detach()
        assert quadratic_error(dense_FD, weight_FD, gram_DD) < quadratic_error(dense_FD, weights[path], gram_DD)
        assert bool((weight_FD[mask_FD & ~masks[path]] != 0).any())
    assert_masks_hold(tiny_model, grown)


def test_without_steps_there_is_no_healing_and_no_report(tiny_model: LoadedModel, dense: Dense) -> None:
    masks = full_masks(tiny_model.model, tiny_model.architecture)
    assert heal(tiny_model, dense, masks, WavesConfig(heal=BlockwiseConfig(num_steps=0))) is None


@law
@given(seed=seeds, wave=st.integers(0, 200), count=st.integers(1, 30), num_windows=st.integers(1, 20))
def test_drawn_windows_are_a_pure_function_of_wave_and_seed_without_repeats(
    seed: int, wave: int, count: int, num_windows: int
) -> None:
    windows_NT = torch.arange(num_windows)[:, None] * torch.ones(1, 3, dtype=torch.int64)
    state = torch.random.get_rng_state()
    drawn = draw_windows(windows_NT, count=count, wave=wave, seed=seed)
    torch.rand(1)
    again = draw_windows(windows_NT, count=count, wave=wave, seed=seed)
    torch.random.set_rng_state(state)
    assert torch.equal(drawn, again)
    assert drawn.shape == (min(count, num_windows), 3)
    assert len(set(drawn[:, 0].tolist())) == len(drawn)
    fewer = draw_windows(windows_NT, count=max(1, count - 1), wave=wave, seed=seed)
    assert torch.equal(fewer, drawn[: len(fewer)])


def test_waves_and_seeds_draw_different_windows() -> None:
    windows_NT = torch.arange(100)[:, None]
    drawn = {
        tuple(draw_windows(windows_NT, count=8, wave=wave, seed=seed)[:, 0].tolist())
        for wave in range(5)
        for seed in range(5)
    }
    assert len(drawn) == 25
