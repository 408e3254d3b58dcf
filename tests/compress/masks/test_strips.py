"""Wide linears strip by strip: the pattern holds, errors are carried over, and little is lost beside the whole."""

from __future__ import annotations

import pytest
import torch

from birdbone.compress.config import BlockPattern, MaskConfig, NOfMPattern, RefitConfig
from birdbone.compress.gram import damp
from birdbone.compress.masks import projection
from birdbone.compress.masks.blocks import drop_only, solve_group
from birdbone.compress.masks.strips import is_wide, solve_in_strips

WIDTH = 96
WHOLE = MaskConfig()
STRIPS = MaskConfig(strip_width=11)


@pytest.fixture
def layer():
    """Two linears that read one input, and its damped Gram matrix: inputs that hang together."""
    generator = torch.Generator().manual_seed(0)
    inputs_TD = torch.randn(400, 24, generator=generator) @ torch.randn(24, WIDTH, generator=generator)
    inputs_TD += 0.5 * torch.randn(400, WIDTH, generator=generator)
    weights = {name: torch.randn(40, WIDTH, generator=generator) for name in ("gate", "up")}
    return weights, damp(inputs_TD.T @ inputs_TD / 400, 0.01)


def error_of(weights, solved, gram_DD):
    rows = [weights[name] - solved[name] for name in weights]
    return float(sum(((row_FD @ gram_DD) * row_FD).sum() for row_FD in rows))


def solved_by(config, weights, gram_DD):
    projects = {name: projection(config.pattern, share=0.5) for name in weights}
    return solve_group(weights, gram_DD, projects, config)


def test_strips_keep_the_share_and_beat_scores_and_sparsegpt(layer):
    weights, gram_DD = layer
    before = {name: w_FD.clone() for name, w_FD in weights.items()}
    strips = solved_by(STRIPS, weights, gram_DD)
    for name, w_FD in strips.items():
        assert float((w_FD == 0).float().mean()) == pytest.approx(0.5, abs=0.02)
        assert torch.equal(weights[name], before[name])
    projects = {name: projection(STRIPS.pattern, share=0.5) for name in weights}
    error = error_of(weights, strips, gram_DD)
    assert error < 0.5 * error_of(weights, drop_only(weights, gram_DD, projects, STRIPS), gram_DD)
    assert error < 1.2 * error_of(weights, sparsegpt(weights, gram_DD), gram_DD)


def sparsegpt(weights, gram_DD):
    """Column after column (Frantar & Alistarh 2023, algorithm 1), with masks chosen over blocks of 16 inputs."""
    upper_DD = torch.linalg.cholesky(torch.linalg.inv(gram_DD), upper=True)
    solved = {}
    for name, weight_FD in weights.items():
        w_FD, drops_FD = weight_FD.clone(), torch.zeros_like(weight_FD, dtype=torch.bool)
        for column in range(WIDTH):
            if column % 16 == 0:
                score_FK = (w_FD[:, column : column + 16] / upper_DD.diagonal()[column : column + 16]).square()
                drops_FD[:, column : column + 16] = score_FK <= score_FK.median()
            error_F = w_FD[:, column] * drops_FD[:, column] / upper_DD[column, column]
            w_FD[:, column:] -= error_F[:, None] * upper_DD[column, column:]
        solved[name] = w_FD.masked_fill(drops_FD, 0.0)
    return solved


def test_a_strip_makes_up_for_those_before_it(layer):
    weights, gram_DD = layer
    alone = {}
    for start in range(0, WIDTH, 11):
        part = {name: w_FD[:, start : start + 11].contiguous() for name, w_FD in weights.items()}
        corner_DD = gram_DD[start : start + 11, start : start + 11].contiguous()
        for name, solved_FD in solved_by(STRIPS, part, corner_DD).items():
            alone.setdefault(name, []).append(solved_FD)
    apart = {name: torch.cat(parts, dim=1) for name, parts in alone.items()}
    together = solved_by(STRIPS, weights, gram_DD)
    assert error_of(weights, together, gram_DD) < 0.8 * error_of(weights, apart, gram_DD)


def test_what_is_left_makes_up_for_what_is_gone_as_least_squares_does(layer):
    """All but the loudest strip goes; that one may keep everything."""
    weights, gram_DD = layer
    w_FD, config = weights["up"], MaskConfig(strip_width=16)
    loud_B = gram_DD.diagonal().argsort(descending=True)[:16]
    seen = []

    def keep_the_last(goal_FB, gram_BB, _projects):
        seen.append(gram_BB)
        return goal_FB if len(seen) == WIDTH // 16 else torch.zeros_like(goal_FB)

    project = projection(config.pattern, share=0.5)
    solved_FD = solve_in_strips(w_FD, gram_DD, keep_the_last, rows=[len(w_FD)], projects=[project], config=config)
    corner_BB, across_DB = gram_DD[loud_B][:, loud_B], gram_DD[:, loud_B]
    expected_FB = torch.linalg.solve(corner_BB.double(), (w_FD @ across_DB).double().T).T
    torch.testing.assert_close(solved_FD[:, loud_B], expected_FB.float(), rtol=1e-3, atol=1e-3)
    assert int((solved_FD != 0).any(dim=0).sum()) == 16


@pytest.mark.parametrize(
    ("pattern", "group"), [(NOfMPattern(num_kept=3, group=6), 6), (BlockPattern(rows=4, columns=6, share=0.5), 6)]
)
def test_strips_are_whole_groups_of_the_pattern(layer, pattern, group):
    weights, gram_DD = layer
    config = MaskConfig(pattern=pattern, strip_width=10, refit=RefitConfig(num_iterations=2))
    assert is_wide(WIDTH, config)
    for w_FD in solved_by(config, weights, gram_DD).values():
        alive_FGK = (w_FD != 0).reshape(40, WIDTH // group, group)
        if isinstance(pattern, NOfMPattern):
            assert int(alive_FGK.sum(dim=2).max()) <= 3
        else:
            blocks = alive_FGK.reshape(10, 4, WIDTH // group, group).sum(dim=(1, 3))
            assert set(blocks.flatten().tolist()) <= {0, 4 * group}


def test_only_wide_linears_are_parted():
    assert not is_wide(2048, WHOLE)
    assert is_wide(4096, WHOLE)
    assert not is_wide(64, STRIPS)
