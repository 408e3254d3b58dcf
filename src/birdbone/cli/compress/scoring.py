"""What `compress score` does and prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from safetensors.torch import save

import birdbone
from birdbone.cli.compress.bars import part_bar
from birdbone.cli.errors import UsageError
from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.evaluate.subjects import open_subject
from birdbone.cli.output import new_table, talk
from birdbone.compress.config import FIRST_TOKEN_SHARE, METRICS, AnalysisConfig, ImportanceConfig, MetricKind
from birdbone.compress.importance.analysis import Analysis, analyse_scores
from birdbone.compress.importance.model_scores import LinearScores, score_model
from birdbone.compress.importance.sparse import ScoreEnd, SparseScores, keep_scores, sparse_to_tensors
from birdbone.core import write_atomically
from birdbone.data import Corpus, load_texts, token_windows, windows_digest
from birdbone.evaluate.benchmarks.opening import Candidate, find_candidate
from birdbone.models import LoadedModel, load_model, use_threads
from birdbone.models.tensors import as_token_ids
from birdbone.pipeline.report.importance.page import write_page
from birdbone.pipeline.report.importance.pictures import require_plots, write_pictures
from birdbone.pipeline.report.importance.tables import About, analysis_data, write_tables
from birdbone.watch import choose_num_threads

SCORES = "scores.safetensors"
"""Name of the file of scores that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a person said to `compress score`."""

    model: str
    metrics: dict[str, ImportanceConfig]
    text: str
    num_windows: int
    window: int
    out: Path | None
    keep: float
    end: ScoreEnd
    draws: bool
    seed: int
    num_threads: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The analysis of the scores, what it was taken on, and the files that were written."""

    analysis: Analysis
    about: About
    written: tuple[Path, ...]


def metrics_of(names: Sequence[str] | None) -> dict[str, ImportanceConfig]:
    """Return the metrics of these names with their usual settings; all of them for none.

    Raises:
        UsageError: a name that there is not.
    """
    kinds: list[MetricKind] = [one_of(name, tuple(METRICS), "--metric") for name in names or METRICS]
    return {kind: METRICS[kind] for kind in kinds}


def end_of(name: str) -> ScoreEnd:
    """Return which end of the scores is kept.

    Raises:
        UsageError: neither `top` nor `bottom`.
    """
    end: ScoreEnd = one_of(name, ScoreEnd, "--keep-end")
    return end


def score(order: Order) -> Found:
    """Score a model and write what was asked for.

    Raises:
        UsageError: pictures without a folder for them.
        MissingExtraError: pictures without matplotlib.
        DataError, ModelError, CompressError: the text, the model, or its scoring.
    """
    if order.draws:
        if order.out is None:
            raise UsageError("--pictures needs --out, a folder to write them into.")
        require_plots()  # before the work, not after it
    corpus = load_texts(order.text)
    use_threads(order.num_threads or choose_num_threads())
    with open_subject(order.model, _find) as (candidate, subject):
        loaded = load_model(candidate.spec if isinstance(candidate, Candidate) else order.model)
        return _score(loaded, corpus, order, name=subject.model, artefact=subject.artefact)


def as_json(found: Found) -> dict[str, Any]:
    """Return everything as plain data."""
    return analysis_data(found.analysis, found.about)


def tables(found: Found) -> Iterator[Table]:
    """Yield the model by each metric, what one threshold does to each role, and how far metrics agree."""
    yield model_table(found)
    yield role_table(found.analysis)
    if len(found.analysis.metrics) > 1:
        yield agreement_table(found.analysis)


def model_table(found: Found) -> Table:
    """Return each metric's scores over the whole model."""
    analysis, about = found.analysis, found.about
    columns = ("metric", "mean", "median", *(f"top {100 * share:g} % hold" for share in analysis.config.top_shares))
    rows = []
    for metric in analysis.metrics:
        whole = analysis.of_scope("model", metric)[0]
        held = (_percent(value) for value in whole.held_by_top.values())
        rows.append((metric, f"{whole.mean:.3g}", f"{whole.quantiles.get(0.5, float('nan')):.3g}", *held))
    count = f"{analysis.of_scope('model', analysis.metrics[0])[0].num_weights:,}"
    title = f"{about.model}: {count} weights, {about.num_windows} windows of {about.window_tokens} tokens"
    return new_table(columns, rows, title=title)


def role_table(analysis: Analysis) -> Table:
    """Return the sparsity that each metric's one threshold for half of the model gives each role."""
    share = sorted(analysis.config.global_sparsities)[len(analysis.config.global_sparsities) // 2]
    roles = [summary.place.name for summary in analysis.of_scope("role", analysis.metrics[0])]
    rows = [
        (metric, *(_percent(summary.global_sparsity[share]) for summary in analysis.of_scope("role", metric)))
        for metric in analysis.metrics
    ]
    return new_table(
        ("metric", *roles), rows, title=f"What one threshold for {100 * share:g} % would drop of each role"
    )


def agreement_table(analysis: Analysis) -> Table:
    """Return the rank correlation of each pair of metrics."""
    known = {(each.first, each.second): each for each in analysis.agreements if each.place.scope == "model"}
    rows = []
    for row in analysis.metrics:
        cells = [known.get((row, column)) or known.get((column, row)) for column in analysis.metrics]
        told = ["" if cell is None else _correlation(cell.rank_correlation) for cell in cells]
        rows.append((row, *told))
    return new_table(("rank correlation", *analysis.metrics), rows, title="How far metrics agree within linears")


def _find(spec: str) -> Candidate:
    return find_candidate(spec, engine="torch", dtype="float32")


def _score(loaded: LoadedModel, corpus: Corpus, order: Order, *, name: str, artefact: str) -> Found:
    windows_NT = token_windows(corpus.calibration, loaded.encode, window=order.window, count=order.num_windows)
    kept: dict[str, SparseScores] = {}
    with part_bar() as told:
        linears = score_model(
            loaded.model,
            loaded.architecture,
            as_token_ids(windows_NT),
            metrics=order.metrics,
            first_token_share=FIRST_TOKEN_SHARE,
            told=told,
        )
        if order.out is not None and order.keep > 0:
            linears = _keeping(linears, kept, share=order.keep, end=order.end)
        generator = torch.Generator().manual_seed(order.seed)
        analysis = analyse_scores(linears, AnalysisConfig(), generator=generator)
    about = About(
        model=name,
        artefact=artefact,
        text=corpus.name,
        text_digest=corpus.digest,
        windows_digest=windows_digest(windows_NT),
        num_windows=order.num_windows,
        window_tokens=order.window,
        first_token_share=FIRST_TOKEN_SHARE,
        seed=order.seed,
        metrics={metric: config.model_dump(mode="json") for metric, config in order.metrics.items()},
        birdbone=birdbone.__version__,
    )
    written = () if order.out is None else _write(order.out, analysis, about, kept, draws=order.draws)
    return Found(analysis=analysis, about=about, written=written)


def _keeping(
    linears: Iterable[LinearScores], kept: dict[str, SparseScores], *, share: float, end: ScoreEnd
) -> Iterator[LinearScores]:
    """Yield what comes, and keep a part of its scores in `kept`."""
    for linear in linears:
        for metric, scores_FD in linear.scores.items():
            kept[f"{linear.slot.path}.{metric}"] = keep_scores(scores_FD, share=share, end=end)
        yield linear


def _write(
    folder: Path, analysis: Analysis, about: About, kept: dict[str, SparseScores], *, draws: bool
) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    written = [write_page(folder, analysis, about), *write_tables(folder, analysis, about)]
    if kept:
        with write_atomically(folder / SCORES) as stream:
            stream.write(save(sparse_to_tensors(kept)))
        written.append(folder / SCORES)
    if draws:
        talk("drawing")
        written += write_pictures(folder / "pictures", analysis)
    return tuple(written)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _correlation(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"
