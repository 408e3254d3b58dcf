"""Where the level of a series changed, and whether it did. Pure. Shapes: N points, R series.

Theory of operation. Each point is a level plus noise; the level stays the same but for a few changes. The cost of a
stretch is the sum of its squared errors around its own mean, each over the variance of its point. With C_0 the cost of
the whole and C_k that of the best cut into k + 1 stretches, the strength of what was seen is

    T = max over k of (C_0 - C_k) / (k * s_k),    s_k = C_k / (N - k - 1),

how much each change explains, in units of what is left. What is left is never taken to be less than what the points'
own intervals say. How large T gets without any change is found on the same series in random orders: every point's
error is put in another's place, in units of its own noise. That holds for noise of any shape. Of fewer than ten points
too few orders are different (of six points cut three and three, one order in ten gives the same cut, so no permutation
test at 5 % can find it); there the series are drawn from normal noise, which means of many items nearly are. The
strength that 4 % of such series reach, times s_k, is the penalty with which PELT finds all places.

Sources: Killick, Fearnhead and Eckley 2012, arXiv:1101.1438, section 3.1 and eq. 6 (PELT; symbols: F = F, C = cost,
beta = penalty, K = 0); differs: stretches have at least two points, so a point is dropped from the search that many
points later. Matteson and James 2014, arXiv:1306.4933, section 3.2 (the permutation test of a change point).
`benchmarks/evaluate/bench_change_point.py` measures false alarms, power and places.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq  # type: ignore[import-untyped]
from scipy.special import stdtrit  # type: ignore[import-untyped]

from birdbone.evaluate.errors import BadScoresError, TooFewVersionsError
from birdbone.evaluate.statistics.bootstrap import CONFIDENCE
from birdbone.evaluate.statistics.items import read_scores, require_share

MIN_POINTS = 6
"""Fewer points cannot show a change."""
MAX_POINTS = 100
"""Of a longer series the newest so many are looked at."""
MIN_STRETCH = 2
"""Points of the shortest stretch: a level needs more than one."""
LEVEL = 0.04
"""How often a change is found in a series without any. Not 5 %, so that 1,000 such series stay below that."""

Floats = NDArray[np.float64]

_NUM_SERIES, _NUM_SERIES_AT_ONCE = 999, 111
_ROUNDING = 1 - 1e-9  # the same points in another order have the same strength but for rounding
_MIN_PERMUTED = 10  # with 9 points, one order in 18 leaves the first two in front or puts them at the end
_POINTS_A_CHANGE, _MAX_CHANGES = 12, 3  # that the test looks for; PELT then finds any number
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


def find_changes(
    values: ArrayLike, errors: ArrayLike | None = None, *, generator: np.random.Generator, level: float = LEVEL
) -> Changes:
    """Return the changes of level in a series, and the p-value of there being none.

    Args:
        values: N finite figures in order; of more than `MAX_POINTS` the newest are looked at, and places count in
            these.
        errors: standard error of each, above 0, NaN where it is not known (it then counts as the largest that is);
            None where none is known.
        generator: of the random orders.
        level: false alarms allowed.

    Raises:
        TooFewVersionsError: N is under `MIN_POINTS`.
        BadScoresError: a value is not finite, or an error is not above 0.
        BadSettingError: `level` is no share.

    Memory stays bounded for any N.
    """
    require_share("level", level)
    values_N = read_scores(values)[-MAX_POINTS:]
    num_points = len(values_N)
    if num_points < MIN_POINTS:
        message = f"{num_points} versions are too few to look for a change in; at least {MIN_POINTS} are needed."
        raise TooFewVersionsError(message, num_versions=num_points, needed=MIN_POINTS)
    known_N = None if errors is None else _read_errors(errors, np.size(values))[-MAX_POINTS:]
    if np.ptp(values_N) == 0:
        return Changes(changes=(), p_value=1.0, num_points=num_points)
    variances_N = noise_variances(values_N, known_N)
    floor = 0.0 if known_N is None else float(np.max(known_N**2 / variances_N))
    strength, scale = _strengths(values_N[None], variances_N, floor=floor)
    null_R = _without_change(values_N, variances_N, generator, strength=float(strength[0]), level=level)
    num_stronger = int((null_R >= strength[0] * _ROUNDING).sum())
    p_value = (1 + num_stronger) / (1 + len(null_R))
    if p_value > level or len(null_R) < _NUM_SERIES:
        return Changes(changes=(), p_value=p_value, num_points=num_points)
    threshold = float(np.sort(null_R)[-max(1, int(level * (1 + len(null_R))))])
    # Figures without any noise, such as sizes, leave nothing: then whatever differs is a change.
    least = 1e-9 * float(np.sum((values_N - values_N.mean()) ** 2 / variances_N))
    places = pelt(values_N, variances_N, penalty=max(threshold * float(scale[0]), least))
    return Changes(
        changes=_describe(values_N, float(scale[0]) * variances_N, places), p_value=p_value, num_points=num_points
    )


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


def noise_variances(values_N: Floats, errors_N: Floats | None) -> Floats:
    """Return the noise of each point up to a common factor: its own, and what versions differ by beyond that.

    Without errors all points are alike. A change of level counts as a difference of versions here; that makes points
    more alike than they are, and nothing else.
    Source: Paule and Mandel 1982, Journal of Research of the National Bureau of Standards 87(5), pages 377 to 385.
    """
    if errors_N is None:
        return np.ones_like(values_N)

    def too_large(excess: float) -> float:
        weights_N = 1 / (errors_N**2 + excess)
        mean = np.average(values_N, weights=weights_N)
        return float(np.sum(weights_N * (values_N - mean) ** 2)) - (len(values_N) - 1)

    most = float(np.sum((values_N - values_N.mean()) ** 2))
    excess = 0.0 if too_large(0.0) <= 0 else float(brentq(too_large, 0.0, most))
    variances_N: Floats = errors_N**2 + excess
    return variances_N


def _without_change(
    values_N: Floats, variances_N: Floats, generator: np.random.Generator, *, strength: float, level: float
) -> Floats:
    """Return the strength of what looks like a change in series that have none, (R,).

    R is `_NUM_SERIES`, or less where so many are stronger than `strength` that it is no change whatever the rest are.
    Source: Besag and Clifford 1991, Biometrika 78(2), pages 301 to 304 (sequential Monte Carlo p-values).
    """
    num_points = len(values_N)
    errors_N = (values_N - np.average(values_N, weights=1 / variances_N)) / np.sqrt(variances_N)
    rows = max(1, min(_NUM_SERIES_AT_ONCE, _MAX_COSTS_IN_MEMORY // (num_points + 1) ** 2))
    strengths_R = np.empty(0)
    while len(strengths_R) < _NUM_SERIES and (strengths_R >= strength * _ROUNDING).sum() <= level * (1 + _NUM_SERIES):
        shape = (min(rows, _NUM_SERIES - len(strengths_R)), num_points)
        if num_points < _MIN_PERMUTED:
            noise_RN = generator.standard_normal(shape)
        else:
            noise_RN = generator.permuted(np.broadcast_to(errors_N, shape), axis=1)
        drawn_R = _strengths(noise_RN * np.sqrt(variances_N), variances_N, floor=0.0)[0]
        strengths_R = np.concatenate([strengths_R, drawn_R])
    return strengths_R


def _read_errors(errors: ArrayLike, num_points: int) -> Floats:
    errors_N = np.asarray(errors, dtype=np.float64)
    is_known_N = ~np.isnan(errors_N)
    if errors_N.shape != (num_points,) or not is_known_N.any() or not (errors_N[is_known_N] > 0).all():
        raise BadScoresError("A standard error above 0 was expected for each point, NaN where it is not known.")
    return np.where(is_known_N, errors_N, errors_N[is_known_N].max())


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


def _strengths(values_RN: Floats, variances_N: Floats, *, floor: float) -> tuple[Floats, Floats]:
    """Return how much each cut of the best cuts explains, in units of what is left, and what is left, (R,) each.

    Args:
        floor: what is left is not taken to be less, in units of `variances_N`.
    """
    num_points = len(variances_N)
    costs = _costs(values_RN, variances_N)
    reached = costs[:, 0, :]
    whole_R = reached[:, -1].copy()
    strengths_R, scales_R = np.full(len(values_RN), -1.0), np.zeros(len(values_RN))
    for num_cuts in range(1, max(1, min(_MAX_CHANGES, num_points // _POINTS_A_CHANGE)) + 1):
        reached = (reached[:, :, None] + costs).min(axis=1)
        scale_R = np.maximum(reached[:, -1] / (num_points - num_cuts - 1), floor)
        gain_R = (whole_R - reached[:, -1]) / num_cuts
        strength_R = np.divide(gain_R, scale_R, out=np.where(gain_R > 0, np.inf, 0.0), where=scale_R > 0)
        is_better_R = strength_R > strengths_R
        strengths_R = np.where(is_better_R, strength_R, strengths_R)
        scales_R = np.where(is_better_R, scale_R, scales_R)
    return strengths_R, scales_R


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
