"""What `compress tune` does and prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from birdbone.cli.compress.bars import part_bar, part_of
from birdbone.cli.compress.sampling import Sample
from birdbone.cli.errors import UsageError
from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.output import new_table, talk
from birdbone.compress.clusters import require_biophase
from birdbone.compress.clusters.token_classes import classify_vocabulary
from birdbone.compress.config import Balance, ClusterConfig, KMeansConfig, StabilityConfig, ThresholdConfig, TuneConfig
from birdbone.compress.thresholds import Decision
from birdbone.compress.thresholds.comparison import Judged, judge_thresholds
from birdbone.compress.thresholds.ground import decide, loss_of
from birdbone.core import digest_json, write_json
from birdbone.data import load_texts, token_windows
from birdbone.data.windows import windows_digest
from birdbone.evaluate.benchmarks.opening import find_candidate
from birdbone.models import LoadedModel, load_model, use_threads
from birdbone.watch import choose_num_threads

THRESHOLDS = "thresholds.json"
"""Name of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is searched."""

    target: float
    clusters: ClusterConfig
    start: ThresholdConfig
    tune: TuneConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the search came to, and what judging said of it."""

    model: str
    asked: Asked
    sample: Sample
    num_judged: int
    result: Any
    decisions: tuple[Decision, ...]
    judged: tuple[Judged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Windows:
    """Calibration, search and judging: from three splits without a common document."""

    calibration_NT: NDArray[np.int64]
    search_NT: NDArray[np.int64]
    judged_NT: NDArray[np.int64]


def shares_of(balance: str, *, low: float, high: float, by_hand: Sequence[str]) -> ThresholdConfig:
    """Return bounds and overrides as a person typed them.

    Raises:
        UsageError: a word that is not known, bounds that cross, or a share that is none.
    """
    overrides = {}
    for words in by_hand:
        name, _, share = words.rpartition("=")
        try:
            overrides[name] = float(share)
        except ValueError:
            raise UsageError(f"--set takes CLUSTER=SHARE, such as L0.n1=0.2; {words!r} came.") from None
        if not name or not 0 <= overrides[name] <= 1:
            raise UsageError(f"--set takes a share from 0 to 1, such as L0.n1=0.2; {words!r} came.")
    if low > high:
        raise UsageError(f"--low {low} is above --high {high}.")
    return ThresholdConfig(balance=one_of(balance, Balance, "--balance"), low=low, high=high, overrides=overrides)


def asked_for(
    target: float, start: ThresholdConfig, *, num_trials: int, objective: str, num_clusters: int, seed: int
) -> Asked:
    """Return the settings of what a person typed.

    Raises:
        UsageError: a word that is not known.
    """
    return Asked(
        target=target,
        clusters=ClusterConfig(
            method=KMeansConfig(num_clusters=num_clusters), stability=StabilityConfig(num_seeds=0, num_subsamples=0)
        ),
        start=start,
        tune=TuneConfig(
            num_trials=num_trials, objective=one_of(objective, ("loss", "size-loss"), "--objective"), seed=seed
        ),
    )


def search(
    model: str, asked: Asked, *, sample: Sample, num_judged: int, history: Path | None, num_threads: int | None
) -> Found:
    """Return the thresholds of the least loss, judged on other text.

    Raises:
        BiophaseMissingError: the extra is not installed.
        OtherHistoryError: `history` is of another search.
        ModelError, DataError, CompressError, EvaluateError: the model, the text, the clusters, or the judging.
    """
    require_biophase()
    from birdbone.compress.thresholds.history import open_history
    from birdbone.compress.thresholds.surveying import survey_ground
    from birdbone.compress.thresholds.tuning import tune_thresholds

    before = use_threads(num_threads or choose_num_threads())
    try:
        loaded = load_model(model)
        windows = _windows(loaded, sample, num_judged=num_judged)
        with part_bar() as told:
            ground = survey_ground(
                loaded.model,
                loaded.architecture,
                torch.from_numpy(windows.calibration_NT),
                class_V=classify_vocabulary(loaded.tokenizer, loaded.architecture.vocab_size),
                config=asked.clusters,
                seed=asked.tune.seed,
                progress=part_of(told, "clusters"),
            )
        basis = {
            "model": find_candidate(model, engine="torch", dtype="float32").artefact,
            "clusters": asked.clusters.model_dump(mode="json"),
            "windows": [windows_digest(part) for part in (windows.calibration_NT, windows.search_NT)],
        }
        talk(f"{loaded.name}: {asked.tune.num_trials} trials on {sample.num_windows} windows of {sample.window} tokens")
        with part_bar() as told:
            result = tune_thresholds(
                loss_of(loaded.model, ground, windows.search_NT),
                asked.start,
                asked.tune,
                target=asked.target,
                storage=open_history(history),
                basis=basis,
                progress=part_of(told, "trials"),
            )
        with part_bar() as told:
            judged = judge_thresholds(
                loaded.model,
                ground,
                windows.judged_NT,
                {"by health, as set": asked.start, "by health, as searched": result.best},
                target=asked.target,
                seed=asked.tune.seed,
                progress=part_of(told, "judging"),
            )
    finally:
        use_threads(before)
    (decisions,) = decide(ground, result.best, target=asked.target)
    return Found(
        model=loaded.name,
        asked=asked,
        sample=sample,
        num_judged=num_judged,
        result=result,
        decisions=decisions,
        judged=judged,
    )


def write(folder: Path, found: Found) -> tuple[Path, ...]:
    """Write the thresholds with their reasons, and the search, as JSON; return the path."""
    write_json(folder / THRESHOLDS, as_json(found))
    return (folder / THRESHOLDS,)


def as_json(found: Found) -> dict[str, Any]:
    """Return everything as plain data."""
    asked = found.asked
    settings = {"clusters": asked.clusters, "start": asked.start, "tune": asked.tune, "best": found.result.best}
    return {
        "model": found.model,
        "target": asked.target,
        "settings": {name: part.model_dump(mode="json") for name, part in settings.items()},
        "settings_digest": digest_json({name: part.model_dump(mode="json") for name, part in settings.items()}),
        "text": asdict(found.sample) | {"num_judged": found.num_judged},
        "thresholds": [asdict(decision) for decision in found.decisions],
        "judged": [_judged_data(row) for row in found.judged],
        "trials": [{**asdict(trial), "settings": dict(trial.settings)} for trial in found.result.trials],
        "convergence": list(found.result.convergence),
        "front": [{"shed": trial.shed, "loss": trial.loss} for trial in found.result.front],
        "influence": [asdict(row) for row in found.result.influence],
        "ended_by": found.result.ended_by,
    }


def tables(found: Found) -> Iterator[Table]:
    """Yield the judging, what each setting matters, and the thresholds furthest from the target."""
    rows = [(row.name, f"{100 * row.shed:.2f} %", f"{row.perplexity:.3f}", _ratio_words(row)) for row in found.judged]
    title = f"{found.model}: {found.num_judged} judged windows of {found.sample.window} tokens, no healing"
    yield new_table(("thresholds", "shed", "perplexity", "over the even share [95 %]"), rows, title=title)
    influence = [
        (row.setting.replace("_", " "), f"{100 * row.share:.0f} %", f"[{100 * row.low:.0f}, {100 * row.high:.0f}]")
        for row in found.result.influence
    ]
    if influence:
        title = f"what explains the loss, of {found.result.influence[0].num_trials} trials (fANOVA)"
        yield new_table(("setting", "share", "80 % over resampled trials"), influence, title=title)
    if found.asked.tune.objective == "size-loss":
        front = [(f"{100 * trial.shed:.1f} %", f"{trial.loss:.4f}") for trial in found.result.front]
        yield new_table(("shed", "loss"), front, title="front of size against loss, on the text of the search")
    furthest = sorted(found.decisions, key=lambda decision: -abs(decision.fraction - found.asked.target))[:8]
    told = [(row.name, f"{100 * row.fraction:.1f} %", row.advice, "; ".join(row.reasons)) for row in furthest]
    yield new_table(("cluster", "sheds", "advice", "why"), told, title="clusters furthest from the even share")


def verdict(found: Found) -> str:
    """Return in words whether thresholds by cluster beat the even share, whichever way it fell."""
    best = found.judged[-1]
    if best.ratio is None:
        return "Not measured."
    change = f"{100 * (best.ratio.value - 1):+.2f} % perplexity [{100 * (best.ratio.low - 1):+.2f}, "
    change += f"{100 * (best.ratio.high - 1):+.2f}]"
    if best.ratio.high < 1:
        return f"Thresholds by cluster beat the even share: {change}."
    if best.ratio.low > 1:
        return f"The even share beats thresholds by cluster: {change}."
    return f"No difference from the even share can be shown: {change}."


def _windows(loaded: LoadedModel, sample: Sample, *, num_judged: int) -> _Windows:
    corpus = load_texts(sample.source)
    parts = {
        "calibration": (corpus.calibration, max(8, sample.num_windows)),
        "search": (corpus.healing, sample.num_windows),
        "judged": (corpus.heldout, num_judged),
    }
    cut = {
        name: token_windows(texts, loaded.encode, window=sample.window, count=count)
        for name, (texts, count) in parts.items()
    }
    return _Windows(calibration_NT=cut["calibration"], search_NT=cut["search"], judged_NT=cut["judged"])


def _ratio_words(row: Judged) -> str:
    if row.ratio is None:
        return ""
    return f"{row.ratio.value:.4f} [{row.ratio.low:.4f}, {row.ratio.high:.4f}]"


def _judged_data(row: Judged) -> dict[str, Any]:
    ratio = None if row.ratio is None else {"value": row.ratio.value, "low": row.ratio.low, "high": row.ratio.high}
    return {"name": row.name, "shed": row.shed, "perplexity": row.perplexity, "ratio": ratio}
