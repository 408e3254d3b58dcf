"""Where the level of a series changed, and whether it did. Pure. Shapes: N points, D differences, R draws.

Theory of operation. Each point is a level plus noise; the level stays the same but for a few changes. The cost of a
stretch is the sum of its squared errors around its own mean, each over the variance of its point. With C_0 the cost of
the whole and C_k that of the best cut into k + 1 stretches, the strength of what was seen is

    T = max over k of (C_0 - C_k) / (k * scale),

how much a change explains, in units of the noise. The noise between versions is not known beforehand: `scale` is taken
from neighbours' differences, whose largest are left out, since a change of level is one of them. It is never under what
the points' own intervals say. How large T gets without any change is found by drawing series of noise with the same
variances; that gives the p-value, and the penalty that PELT then finds all places with.

Permutations are the usual way to a p-value. Of six points cut three and three, one order in ten gives the same cut, so
no permutation test at 5 % can ever find a change there; draws can. They take the noise for normal, which means of many
items nearly are; `benchmarks/evaluate/bench_change_point.py` says what happens where it is not.
Sources: Killick, Fearnhead and Eckley 2012, arXiv:1101.1438, section 3.1 and eq. 6 (PELT; symbols: F = F, C = cost,
beta = penalty, K = 0); von Neumann 1941, Annals of Mathematical Statistics 12(4), for the noise out of differences.
Differs: stretches have at least two points, so a point is dropped from the search `MIN_STRETCH` points later.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq  # type: ignore[import-untyped]
from scipy.special import gammainc, gammaincinv, stdtrit  # type: ignore[import-untyped]

from birdbone.evaluate.errors import BadScoresError, BadSettingError, TooFewVersionsError
from birdbone.evaluate.statistics.bootstrap import CONFIDENCE
from birdbone.evaluate.statistics.items import read_scores, require_share

MIN_POINTS = 6
"""Fewer points cannot show a change."""
MAX_POINTS = 100
"""Of a longer series the newest so many are looked at."""
MIN_STRETCH = 2
"""Points of the shortest stretch: a level needs more than one."""
LEVEL = 0.05
"""How often a change may be found in a series without any."""

Floats = NDArray[np.float64]

_NUM_DRAWS = 1999
_MAX_CHANGES = 3  # that the test looks for; PELT then finds any number
_TRIMMED_SHARE = 1 / 6
_MAX_COSTS_IN_MEMORY = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of level. Its interval knows nothing of the search for its place, and is a little too narrow."""

    place: int
    """Index of the first point after it, from 0."""
    before: float
    """Level of the stretch before."""
    after: float
    """Level of the stretch after."""
    low: float
    """Lower end of the 95 % interval of `after - before`."""
    high: float
    """Upper end."""

    @property
    def size(self) -> float:
        """Level after less level before."""
        return self.after - self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What was found in a series."""

    changes: tuple[Change, ...]
    """In the order of the series; none where the p-value is above the level."""
    p_value: float
    """How often noise alone looks as much like a change."""
    num_points: int
    """N, at most `MAX_POINTS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How strong a change noise alone pretends, for points of given variances. Made by `calibrate`."""

    variances_N: Floats
    """Of the points; only their ratios matter."""
    strengths_R: Floats
    """One a drawn series, ascending."""
    mean_scale: float
    """What neighbours' differences, without the largest, say of noise of variance 1."""


def find_changes(
    values: ArrayLike,
    errors: ArrayLike | None = None,
    *,
    generator: np.random.Generator,
    level: float = LEVEL,
    calibration: Calibration | None = None,
) -> Changes:
    """Return the changes of level in a series, and the p-value of there being none.

    Args:
        values: N finite figures in order; of more than `MAX_POINTS` the newest are looked at, and places count in
            these.
        errors: standard error of each, above 0, NaN where it is not known (it then counts as the largest that is);
            None where none is known.
        generator: of the draws.
        level: false alarms allowed.
        calibration: of points with the same variances, where many series share it; drawn here unless given.

    Raises:
        TooFewVersionsError: N is under `MIN_POINTS`.
        BadScoresError: a value is not finite, or an error is not above 0.
        BadSettingError: `level` is no share, or `calibration` is for another N.

    Memory stays bounded for any N.
    """
    require_share("level", level)
    values_N = read_scores(values)[-MAX_POINTS:]
    if len(values_N) < MIN_POINTS:
        message = f"{len(values_N)} versions are too few to look for a change in; at least {MIN_POINTS} are needed."
        raise TooFewVersionsError(message, num_versions=len(values_N), needed=MIN_POINTS)
    known_N = None if errors is None else _read_errors(errors, np.size(values))[-MAX_POINTS:]
    if np.ptp(values_N) == 0:
        return Changes(changes=(), p_value=1.0, num_points=len(values_N))
    variances_N = noise_variances(values_N, known_N)
    null = calibration or calibrate(variances_N, generator=generator)
    if len(null.variances_N) != len(values_N):
        raise BadSettingError(f"The calibration is for {len(null.variances_N)} points; there are {len(values_N)}.")
    scale = _scale_of(values_N, variances_N, known_N, null)
    strength = float(_gains(values_N[None], variances_N)[0])
    strength = strength / scale if scale > 0 else (np.inf if strength > 0 else 0.0)
    num_draws = len(null.strengths_R)
    num_stronger = num_draws - int(np.searchsorted(null.strengths_R, strength, side="left"))
    p_value = (1 + num_stronger) / (1 + num_draws)
    if p_value > level:
        return Changes(changes=(), p_value=p_value, num_points=len(values_N))
    threshold = float(null.strengths_R[-max(1, int(level * (1 + num_draws)))])
    # Figures without any noise, such as sizes, have a scale of 0: then whatever differs is a change.
    penalty = max(threshold * scale, 1e-9 * float(np.sum((values_N - values_N.mean()) ** 2 / variances_N)))
    places = pelt(values_N, variances_N, penalty=penalty)
    return Changes(changes=_describe(values_N, scale * variances_N, places), p_value=p_value, num_points=len(values_N))


def pelt(values_N: Floats, variances_N: Floats, *, penalty: float) -> tuple[int, ...]:
    """Return where to cut a series so that cost and `penalty` times the number of cuts together are least.

    Args:
        values_N: the series, finite.
        variances_N: noise of each point, above 0.
        penalty: of one cut, at least 0.

    Returns:
        The index of the first point of each stretch but the first, ascending. Every stretch has `MIN_STRETCH` points
        or more, the only one of a shorter series excepted.

    Source: Killick 2012, see above; exact. Of equal cuts the earliest place is taken.
    """
    num_points = len(values_N)
    costs = _costs(values_N[None], variances_N)[0]
    best = np.full(num_points + 1, np.inf)
    best[0] = -penalty
    last = np.zeros(num_points + 1, dtype=int)
    starts: dict[int, int | None] = {0: None}  # where a stretch may begin, and from when on it need not be tried
    for end in range(MIN_STRETCH, num_points + 1):
        starts = {start: until for start, until in starts.items() if until is None or end < until}
        totals = {start: best[start] + costs[start, end] for start in starts if end - start >= MIN_STRETCH}
        last[end], total = min(totals.items(), key=lambda pair: (pair[1], pair[0]))
        best[end] = total + penalty
        for start, cost in totals.items():
            if cost > best[end] and starts[start] is None:
                starts[start] = end + MIN_STRETCH
        starts[end] = None
    places = []
    end = int(last[num_points])
    while end > 0:
        places.append(end)
        end = int(last[end])
    return tuple(reversed(places))


def calibrate(variances_N: Floats, *, generator: np.random.Generator, num_draws: int = _NUM_DRAWS) -> Calibration:
    """Return how strong a change looks in `num_draws` series of normal noise with these variances."""
    rows = max(1, _MAX_COSTS_IN_MEMORY // (len(variances_N) + 1) ** 2)
    gains, scales = [], []
    for begin in range(0, num_draws, rows):
        shape = (min(rows, num_draws - begin), len(variances_N))
        values_RN = generator.standard_normal(shape) * np.sqrt(variances_N)
        gains.append(_gains(values_RN, variances_N))
        scales.append(_trimmed_scale(values_RN, variances_N))
    gains_R, scales_R = np.concatenate(gains), np.concatenate(scales)
    mean_scale = float(scales_R.mean())
    strengths_R = np.sort(gains_R * mean_scale / scales_R)
    return Calibration(variances_N=variances_N, strengths_R=strengths_R, mean_scale=mean_scale)


def noise_variances(values_N: Floats, errors_N: Floats | None) -> Floats:
    """Return the noise of each point up to a common factor: its own, and what versions differ by beyond that.

    Without errors all points are alike. The excess is the one at which the mean square of neighbours' differences, over
    what their variances say, is what it should be; the largest are left out of both (the square of a normal variable is
    gamma-distributed with the shape 1/2, and its mean below a quantile with the shape 3/2).
    Source: Paule and Mandel 1982, Journal of Research of the National Bureau of Standards 87(5). Differs: neighbours'
    differences in place of those from the mean, which a change of level would move.
    """
    if errors_N is None:
        return np.ones_like(values_N)
    squares_D = np.diff(values_N) ** 2

    def too_large(excess: float) -> float:
        variances_N = errors_N**2 + excess
        return float(_trimmed_scale(values_N[None], variances_N)[0]) - expected

    share = _num_kept(len(squares_D)) / len(squares_D)
    expected = float(gammainc(1.5, gammaincinv(0.5, share))) / share
    most = float(squares_D.max()) / expected
    excess = 0.0 if too_large(0.0) <= 0 else float(brentq(too_large, 0.0, most))
    variances_N: Floats = errors_N**2 + excess
    return variances_N


def _read_errors(errors: ArrayLike, num_points: int) -> Floats:
    errors_N = np.asarray(errors, dtype=np.float64)
    is_known_N = ~np.isnan(errors_N)
    if errors_N.shape != (num_points,) or not is_known_N.any() or not (errors_N[is_known_N] > 0).all():
        raise BadScoresError("A standard error above 0 was expected for each point, NaN where it is not known.")
    return np.where(is_known_N, errors_N, errors_N[is_known_N].max())


def _scale_of(values_N: Floats, variances_N: Floats, errors_N: Floats | None, null: Calibration) -> float:
    """Return the factor from `variances_N` to the noise: as the series shows it, and not under the points' own."""
    seen = float(_trimmed_scale(values_N[None], variances_N)[0]) / null.mean_scale
    return seen if errors_N is None else max(seen, float(np.max(errors_N**2 / variances_N)))


def _trimmed_scale(values_RN: Floats, variances_N: Floats) -> Floats:
    """Return the mean square of neighbours' differences over its expectation, the largest left out, (R,)."""
    squares_RD = np.diff(values_RN, axis=1) ** 2 / (variances_N[1:] + variances_N[:-1])
    means_R: Floats = np.sort(squares_RD, axis=1)[:, : _num_kept(squares_RD.shape[1])].mean(axis=1)
    return means_R


def _num_kept(num_differences: int) -> int:
    return num_differences - int(np.ceil(_TRIMMED_SHARE * num_differences))


def _costs(values_RN: Floats, variances_N: Floats) -> Floats:
    """Return the cost of every stretch, (R, N + 1, N + 1): from the first index up to before the second."""
    weights_N = 1 / variances_N
    centred_RN = values_RN - (values_RN @ weights_N / weights_N.sum())[:, None]
    zero_R1 = np.zeros((len(values_RN), 1))
    sums = np.concatenate([zero_R1, np.cumsum(centred_RN * weights_N, axis=1)], axis=1)
    squares = np.concatenate([zero_R1, np.cumsum(centred_RN**2 * weights_N, axis=1)], axis=1)
    totals = np.concatenate([[0.0], np.cumsum(weights_N)])
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = (sums[:, None, :] - sums[:, :, None]) ** 2 / (totals[None, :] - totals[:, None])
    length = np.arange(len(totals))[None, :] - np.arange(len(totals))[:, None]
    costs: Floats = np.maximum(squares[:, None, :] - squares[:, :, None] - shift, 0.0)
    costs[:, length < MIN_STRETCH] = np.inf
    return costs


def _gains(values_RN: Floats, variances_N: Floats) -> Floats:
    """Return how much the best cuts explain, each cut's share of it, for the best number of cuts, (R,)."""
    costs = _costs(values_RN, variances_N)
    reached = costs[:, 0, :]
    whole_R = reached[:, -1].copy()
    gains_R = np.zeros(len(values_RN))
    for num_cuts in range(1, min(_MAX_CHANGES, len(variances_N) // MIN_STRETCH - 1) + 1):
        reached = (reached[:, :, None] + costs).min(axis=1)
        gains_R = np.maximum(gains_R, (whole_R - reached[:, -1]) / num_cuts)
    return gains_R


def _describe(values_N: Floats, variances_N: Floats, places: tuple[int, ...]) -> tuple[Change, ...]:
    """Return the changes at `places`, with intervals by the noise of the points."""
    ends = (0, *places, len(values_N))
    stretches = [slice(begin, end) for begin, end in pairwise(ends)]
    is_exact = not (variances_N > 0).all()  # without noise there are no weights, and none are needed
    weights_N = np.ones_like(values_N) if is_exact else 1 / variances_N
    levels = [float(np.average(values_N[part], weights=weights_N[part])) for part in stretches]
    errors = [0.0 if is_exact else float(weights_N[part].sum()) ** -0.5 for part in stretches]
    quantile = float(stdtrit(len(values_N) - len(stretches), 0.5 + CONFIDENCE / 2))
    changes = []
    for number, place in enumerate(places):
        size = levels[number + 1] - levels[number]
        margin = quantile * float(np.hypot(errors[number], errors[number + 1]))
        changes.append(
            Change(place=place, before=levels[number], after=levels[number + 1], low=size - margin, high=size + margin)
        )
    return tuple(changes)
