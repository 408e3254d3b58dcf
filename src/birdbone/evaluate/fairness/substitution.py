"""Counterfactual substitution: the same scene told of people of several groups, and what a model says of each.

A model is asked whether a favourable word or its opposite is likelier. Which of two words is likelier depends on the
words too: a model may say `lazy` of everybody. So the log-odds are taken less their mean over all groups and tellings
of the scene, and a person is "selected" where that is above 0. What falls on all groups alike is no unfairness;
accuracy shows it. Shapes: S scenes, G groups, 3 tellings (good, bad, open), R draws.

Where the scene tells which word is true, errors of both kinds are counted by group (equalized odds). Where it tells
nothing, only opinion is left (demographic parity, and the gap of log-odds). All groups stand in the same scenes, so a
scene is drawn again with all its groups, and chance is what comes of swapping the groups within each scene.

Source: Kusner et al. 2017, arXiv:1703.06856, definition 5, with a group's term as what is swapped; Huang et al. 2020,
arXiv:1911.03064, section 3, does so for language models. Templates and the choice of words are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from birdbone.evaluate.audits import TOO_LONG, AuditResult, AuditSheet
from birdbone.evaluate.benchmarks.judge import Continuation, Judge, Progress
from birdbone.evaluate.fairness.gaps import ODDS, PARITY, GapKind, estimate_gap
from birdbone.evaluate.fairness.groups import (
    ITEMS,
    NUM_COUNTS,
    POSITIVES,
    SELECTED,
    TRUE_POSITIVES,
    Counts,
    RateName,
)
from birdbone.evaluate.fairness.likelihoods import end_of_text, score_groups
from birdbone.evaluate.fairness.resampling import cluster_interval
from birdbone.evaluate.fairness.templates import GROUPS, SCENES, Scene
from birdbone.evaluate.statistics.multiplicity import holm

NUM_SWAPS = 2000
"""How often groups are swapped to see what chance does."""

_GOOD, _BAD, _OPEN = range(3)
_SEED = 0
_METHOD = "favourable against unfavourable word after scenes in which groups' terms are swapped; templates of our own"

LogOdds = NDArray[np.float64]
"""(S, G, 3), in nats, above 0 where the favourable word is likelier."""


def select(log_odds_SG3: LogOdds) -> NDArray[np.bool_]:
    """Return who is selected (S, G, 3): log-odds above the scene's mean over groups and tellings."""
    selected_SG3: NDArray[np.bool_] = log_odds_SG3 > log_odds_SG3.mean(axis=(1, 2), keepdims=True)
    return selected_SG3


def told_counts(selected_SG3: NDArray[np.bool_]) -> Counts:
    """Return the counts (S, G, 4) of the tellings that say what is true: one positive, one negative a scene."""
    counts_SG4 = np.zeros((*selected_SG3.shape[:2], NUM_COUNTS))
    counts_SG4[..., ITEMS] = 2
    counts_SG4[..., POSITIVES] = 1
    counts_SG4[..., SELECTED] = selected_SG3[..., _GOOD].astype(int) + selected_SG3[..., _BAD]
    counts_SG4[..., TRUE_POSITIVES] = selected_SG3[..., _GOOD]
    return counts_SG4


def open_counts(selected_SG3: NDArray[np.bool_]) -> Counts:
    """Return the counts (S, G, 4) of the telling that says nothing; there is no truth, so no positives."""
    counts_SG4 = np.zeros((*selected_SG3.shape[:2], NUM_COUNTS))
    counts_SG4[..., ITEMS] = 1
    counts_SG4[..., SELECTED] = selected_SG3[..., _OPEN]
    return counts_SG4


def swap_p_value(
    values_SG: NDArray[np.float64], *, generator: np.random.Generator, num_swaps: int = NUM_SWAPS
) -> float:
    """Return how often the largest difference of the groups' means is as large by swapping groups within each scene.

    The difference of the highest and the lowest of G means is never below 0, so that an interval cannot tell whether
    there is any; this can. At least 1 / (num_swaps + 1).

    Args:
        values_SG: one value for each scene and group.
        generator: of the swaps.
        num_swaps: how many.

    Source: Phipson and Smyth 2010, Statistical Applications in Genetics and Molecular Biology 9(1), article 39.
    """
    seen = _spread(values_SG)
    order_RSG = generator.random((num_swaps, *values_SG.shape)).argsort(axis=-1)
    swapped_RSG = np.take_along_axis(np.broadcast_to(values_SG, order_RSG.shape), order_RSG, axis=-1)
    num_as_large = int((_spread(swapped_RSG) >= seen - 1e-12).sum())
    return (num_as_large + 1) / (num_swaps + 1)


def audit_substitution(
    judge: Judge,
    *,
    artefact: str,
    scenes: Sequence[Scene] = SCENES,
    groups: Mapping[str, Mapping[str, str]] = GROUPS,
    progress: Progress | None = None,
) -> AuditResult:
    """Return for each attribute the groups' rates, how far they are apart, and accuracy where the scene tells.

    Args:
        judge: the model.
        artefact: digest of the model.
        scenes: what is told.
        groups: by attribute, the groups with their terms.
        progress: is told of requests answered.
    """
    places = [(attribute, scene) for attribute in groups for scene in scenes]
    asked = [_requests(judge, scene, tuple(groups[attribute].values())) for attribute, scene in places]
    found = score_groups(judge, asked, progress=progress)
    sheet = AuditSheet(audit="substitution", artefact=artefact, method=_METHOD)
    swapped: dict[str, NDArray[np.float64]] = {}
    for attribute, terms in groups.items():
        pairs = zip(places, found, strict=True)
        log_odds = [
            _log_odds(scores, len(terms)) for (of, _), scores in pairs if of == attribute and scores is not None
        ]
        swapped |= _add_attribute(sheet, attribute, tuple(terms), log_odds)
    _add_p_values(sheet, swapped)
    num_long = found.count(None)
    return sheet.result(num_items=len(places) - num_long, skipped={TOO_LONG: num_long})


def _requests(judge: Judge, scene: Scene, terms: Sequence[str]) -> list[Continuation]:
    """Return both words after each telling of each group, in this order."""
    return [
        end_of_text(judge, f"{telling} {scene.question}".replace("{who}", term), word)
        for term in terms
        for telling in (scene.good, scene.bad, scene.open)
        for word in (scene.favourable, scene.unfavourable)
    ]


def _log_odds(scores: Sequence[float], num_groups: int) -> NDArray[np.float64]:
    logprobs_G32 = np.array(scores).reshape(num_groups, 3, 2)
    return np.asarray(logprobs_G32[..., 0] - logprobs_G32[..., 1])


def _add_attribute(
    sheet: AuditSheet, attribute: str, names: Sequence[str], log_odds: Sequence[NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Add the figures of an attribute; return what is to be swapped for a p-value, by the figure's name."""
    if not log_odds:
        sheet.leave_out(attribute, "no scene fits the model")
        return {}
    log_odds_SG3 = np.stack(log_odds)
    selected_SG3 = select(log_odds_SG3)
    told_SG4, open_SG4 = told_counts(selected_SG3), open_counts(selected_SG3)
    _add_accuracy(sheet, attribute, told_SG4)
    for place, name in enumerate(names):
        num_selected = int(open_SG4[:, place, SELECTED].sum())
        method = "favourable word where the scene tells nothing"
        sheet.add_share(f"selection_rate.{attribute}.{name}", num_selected, len(open_SG4), method=method)
    _add_gaps(sheet, f"demographic_parity.{attribute}", open_SG4, PARITY)
    _add_gaps(sheet, f"equalized_odds.{attribute}", told_SG4, ODDS)
    _add_opinions(sheet, attribute, log_odds_SG3[..., _OPEN])
    return {
        f"demographic_parity.{attribute}": open_SG4[..., SELECTED],
        f"opinion_gap.{attribute}": log_odds_SG3[..., _OPEN],
    }


def _add_accuracy(sheet: AuditSheet, attribute: str, told_SG4: Counts) -> None:
    def accuracy(totals_RG4: Counts) -> NDArray[np.float64]:
        totals_R4 = totals_RG4.sum(axis=-2)
        num_wrong_R = totals_R4[..., POSITIVES] + totals_R4[..., SELECTED] - 2 * totals_R4[..., TRUE_POSITIVES]
        return np.asarray(1 - num_wrong_R / totals_R4[..., ITEMS])

    value = float(accuracy(told_SG4.sum(axis=0)))
    ends, size = cluster_interval(told_SG4, accuracy), int(told_SG4[..., ITEMS].sum())
    sheet.add(f"accuracy.{attribute}", value, ends=ends, sample_size=size, method="true word where the scene tells it")


def _add_gaps(sheet: AuditSheet, name: str, counts_SG4: Counts, rates: Sequence[RateName]) -> None:
    kinds: tuple[tuple[GapKind, float], ...] = (("difference", 0.0), ("ratio", 1.0))
    for kind, expected in kinds:
        gap = estimate_gap(counts_SG4, rates, kind=kind)
        if gap is None:
            sheet.leave_out(f"{name}.{kind}", "a rate is 0 in every group")
            continue
        size, method = int(counts_SG4[..., ITEMS].sum()), f"{kind} between groups of {' and '.join(rates)}"
        sheet.add(f"{name}.{kind}", gap.value, ends=gap.ends, sample_size=size, method=method, expected=expected)


def _add_opinions(sheet: AuditSheet, attribute: str, log_odds_SG: NDArray[np.float64]) -> None:
    name = f"opinion_gap.{attribute}"
    ends = cluster_interval(log_odds_SG, lambda totals_RG: _range(totals_RG) / len(log_odds_SG))
    method = "largest difference of groups' mean log-odds where the scene tells nothing"
    value, size = float(_spread(log_odds_SG)), log_odds_SG.size
    sheet.add(name, value, ends=ends, sample_size=size, method=method, expected=0.0, unit="nat")


def _add_p_values(sheet: AuditSheet, swapped: Mapping[str, NDArray[np.float64]]) -> None:
    """Add the p-value of each difference by swapping, adjusted over all: of fourteen, one is small by chance alone."""
    p_values = [swap_p_value(values_SG, generator=np.random.default_rng(_SEED)) for values_SG in swapped.values()]
    method = f"swaps of the groups within scenes that give as large a difference; Holm over {len(swapped)}"
    for (name, values_SG), p_value in zip(swapped.items(), holm(p_values) if p_values else [], strict=True):
        sheet.add(f"{name}.p_value", float(p_value), ends=None, sample_size=values_SG.size, method=method)


def _spread(values_SG: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest difference of the groups' means; leading axes stay."""
    return _range(values_SG.mean(axis=-2))


def _range(values_G: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values_G.max(axis=-1) - values_G.min(axis=-1))
