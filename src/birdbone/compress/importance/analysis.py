"""How importance lies in a model: by linear, by block, by role and in the whole, and how far metrics agree on it.

Shapes: M metrics, P plotted weights.

Scores come linear by linear and are forgotten: kept of each is a sketch (`sketch.py`), a comparison of the metrics on a
random sample of its weights, and a few ranks to be plotted. Blocks, roles and the model are sketches put together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdbone.compress.config import AnalysisConfig
from birdbone.compress.importance.agreement import rank_correlations, ranks, top_overlaps
from birdbone.compress.importance.model_scores import LinearScores
from birdbone.compress.importance.places import Place, Scope, place_of, wider_places
from birdbone.compress.importance.sketch import ScoreSketch, histogram_edges, merge_sketches, sketch_scores
from birdbone.compress.importance.thresholds import (
    Threshold,
    threshold_by_importance,
    threshold_by_quantile,
    threshold_by_z_score,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One metric's scores in one place. Units are the metric's own."""

    place: Place
    metric: str
    num_weights: int
    mean: float
    deviation: float
    low: float
    high: float
    quantiles: Mapping[float, float]
    """By share of the weights; within 0.4 % of the true quantile."""
    held_by_top: Mapping[float, float]
    """Share of the place's importance that its top weights hold, by their share of the weights."""
    global_sparsity: Mapping[float, float]
    """Sparsity here under the model's one threshold, by the sparsity of the model that it is for."""
    thresholds: tuple[Threshold, ...]
    """This place's own."""
    histogram: tuple[int, ...]
    """Counts between the edges of the metric (`Analysis.edges`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far two metrics agree within linears, on weights drawn at random: of one linear, or the mean over several."""

    place: Place
    first: str
    second: str
    num_sampled: int
    rank_correlation: float | None
    """Spearman's; None where a metric gives all weights the same score."""
    overlap_of_top: Mapping[float, float]
    """Share of one's top weights that are among the other's, by the top's share of the weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSample:
    """Ranks of single weights within their linear by each metric, as shares: 0 the lowest, 1 the highest."""

    paths: tuple[str, ...]
    """Of each weight."""
    ranks_PM: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """How importance lies in a model; linears in the order in which they run, then blocks, roles, the model."""

    metrics: tuple[str, ...]
    config: AnalysisConfig
    summaries: tuple[Summary, ...]
    agreements: tuple[Agreement, ...]
    global_thresholds: Mapping[str, Mapping[float, float]]
    """By metric, then by sparsity of the model."""
    edges: Mapping[str, tuple[float, ...]]
    """Edges of the histograms by metric."""
    sample: RankSample

    def of_scope(self, scope: Scope, metric: str) -> tuple[Summary, ...]:
        """Return one metric's summaries of all linears, blocks or roles, or of the model."""
        return tuple(each for each in self.summaries if each.place.scope == scope and each.metric == metric)


def analyse_scores(linears: Iterable[LinearScores], config: AnalysisConfig, *, generator: torch.Generator) -> Analysis:
    """Return the analysis of the scores of at least one linear; each linear's scores are dropped when it is done.

    Args:
        linears: all with the same metrics, in any order.
        generator: draws the weights on which metrics are compared. The same scores in the same order and the same
            generator give the same analysis.

    Raises:
        NonFiniteScoreError, NegativeScoreError: see `sketch_scores`.
    """
    sketches: dict[Place, dict[str, ScoreSketch]] = {}
    agreements: dict[Place, tuple[Agreement, ...]] = {}
    plotted: dict[Place, NDArray[np.float64]] = {}
    for linear in linears:
        place = place_of(linear)
        sketches[place] = {name: sketch_scores(scores_FD) for name, scores_FD in linear.scores.items()}
        sample_MN = _draw(linear.scores, config.num_sampled, generator)
        agreements[place] = _agreements(place, tuple(linear.scores), sample_MN, config)
        plotted[place] = _rank_shares(sample_MN)
    order = sorted(sketches, key=lambda place: place.layer if place.layer is not None else 0)  # stable: roles stay
    num_weights = {place: next(iter(sketches[place].values())).num_scores for place in order}
    return _put_together(
        {place: sketches[place] for place in order},
        [*(each for place in order for each in agreements[place]), *_mean_agreements(agreements, order, num_weights)],
        _rank_sample({place: plotted[place] for place in order}, num_weights, config.num_plotted),
        config,
    )


def _put_together(
    sketches: dict[Place, dict[str, ScoreSketch]],
    agreements: list[Agreement],
    sample: RankSample,
    config: AnalysisConfig,
) -> Analysis:
    metrics = tuple(next(iter(sketches.values())))
    wider = {
        place: {name: merge_sketches([sketches[part][name] for part in parts]) for name in metrics}
        for place, parts in wider_places(tuple(sketches)).items()
    }
    whole = next(found for place, found in wider.items() if place.scope == "model")
    edges = {name: histogram_edges(whole[name], num_bins=config.num_histogram_bins) for name in metrics}
    thresholds = {
        name: {share: whole[name].edge_of_share(share) for share in config.global_sparsities} for name in metrics
    }
    summaries = [
        _summary(place, name, found[name], thresholds[name], edges[name], config)
        for place, found in (sketches | wider).items()
        for name in metrics
    ]
    return Analysis(
        metrics=metrics,
        config=config,
        summaries=tuple(summaries),
        agreements=tuple(agreements),
        global_thresholds=thresholds,
        edges={name: tuple(edges[name].tolist()) for name in metrics},
        sample=sample,
    )


def _summary(
    place: Place,
    metric: str,
    sketch: ScoreSketch,
    thresholds: Mapping[float, float],
    edges: NDArray[np.float64],
    config: AnalysisConfig,
) -> Summary:
    return Summary(
        place=place,
        metric=metric,
        num_weights=sketch.num_scores,
        mean=sketch.mean,
        deviation=sketch.deviation,
        low=sketch.low,
        high=sketch.high,
        quantiles={share: sketch.quantile(share) for share in config.quantiles},
        held_by_top={share: sketch.share_of_top(share) for share in config.top_shares},
        global_sparsity={share: sketch.share_below(value) for share, value in thresholds.items()},
        thresholds=(
            threshold_by_quantile(sketch, config.quantile_threshold),
            threshold_by_importance(sketch, config.importance_threshold),
            threshold_by_z_score(sketch, config.z_threshold),
        ),
        histogram=tuple(sketch.histogram(edges).tolist()),
    )


def _draw(scores: Mapping[str, Tensor], count: int, generator: torch.Generator) -> Tensor:
    """Return the scores of up to `count` weights by each metric, in a random order."""
    flat = [scores_FD.detach().float().flatten() for scores_FD in scores.values()]
    num_weights = flat[0].numel()
    if num_weights <= count:
        drawn = torch.randperm(num_weights, generator=generator)
    else:  # with repeats, which are rare and cost less than an order of all weights
        drawn = torch.randint(num_weights, (count,), generator=generator)
    return torch.stack([scores_N[drawn] for scores_N in flat])


def _agreements(
    place: Place, metrics: Sequence[str], sample_MN: Tensor, config: AnalysisConfig
) -> tuple[Agreement, ...]:
    correlations_MM = rank_correlations(sample_MN)
    overlaps = {share: top_overlaps(sample_MN, share=share) for share in config.top_shares}
    return tuple(
        Agreement(
            place=place,
            first=metrics[a],
            second=metrics[b],
            num_sampled=sample_MN.shape[1],
            rank_correlation=None if correlations_MM[a, b].isnan() else float(correlations_MM[a, b]),
            overlap_of_top={share: float(overlap_MM[a, b]) for share, overlap_MM in overlaps.items()},
        )
        for a in range(len(metrics))
        for b in range(a + 1, len(metrics))
    )


def _mean_agreements(
    agreements: Mapping[Place, tuple[Agreement, ...]], order: Sequence[Place], num_weights: Mapping[Place, int]
) -> list[Agreement]:
    """Return the means over linears of each wider place, weighted by their size; blocks first, the model last."""
    means = []
    for place, parts in wider_places(tuple(order)).items():
        weights = [num_weights[part] for part in parts]
        for rows in zip(*(agreements[part] for part in parts), strict=True):
            means.append(_mean_agreement(place, rows, weights))
    return means


def _mean_agreement(place: Place, rows: Sequence[Agreement], weights: Sequence[int]) -> Agreement:
    known = [(row.rank_correlation, weight) for row, weight in zip(rows, weights, strict=True)]
    known = [(value, weight) for value, weight in known if value is not None]
    values, sizes = [value for value, _ in known], [weight for _, weight in known]
    return Agreement(
        place=place,
        first=rows[0].first,
        second=rows[0].second,
        num_sampled=sum(row.num_sampled for row in rows),
        rank_correlation=float(np.average(np.array(values, dtype=float), weights=sizes)) if known else None,
        overlap_of_top={
            share: float(np.average([row.overlap_of_top[share] for row in rows], weights=weights))
            for share in rows[0].overlap_of_top
        },
    )


def _rank_shares(sample_MN: Tensor) -> NDArray[np.float64]:
    """Return the ranks as shares, (N, M)."""
    shares_MN = (ranks(sample_MN) - 0.5) / sample_MN.shape[1]
    return shares_MN.T.numpy()


def _rank_sample(
    plotted: Mapping[Place, NDArray[np.float64]], num_weights: Mapping[Place, int], count: int
) -> RankSample:
    """Return up to about `count` weights, from each linear in proportion to its size and at least one."""
    total = sum(num_weights.values())
    parts = {
        place: shares_NM[: max(1, round(count * num_weights[place] / total))] for place, shares_NM in plotted.items()
    }
    return RankSample(
        paths=tuple(place.name for place, part in parts.items() for _ in part),
        ranks_PM=np.concatenate(list(parts.values())),
    )
