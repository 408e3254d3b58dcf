"""Whether shares by cluster beat an even share at the same sparsity.

Question: at the same share of weights shed, has a model whose clusters of neurons shed by their health a lower loss
than one that sheds the same share of every row? Once with the settings as they are, once as searched by feedback.
Method: Wanda's scores on calibration text; clusters of neurons by function, weights and co-activation, layer by layer;
shares balanced to the target; the search (TPE) on windows of the healing text; perplexity on windows of the held-out
text, which nothing was tuned on, paired by window with a 95 % interval. No refit and no healing. What each way sheds is
counted in its masks and given beside. Several seeds of clusters and search; the medians and extremes over them, and
how often the interval lay wholly below (`num_better`) or above (`num_worse`) the even share.
Peer: the even share (Wanda's own pattern, Sun et al. 2023), in the same process, on the same scores and windows.

Run: `python benchmarks/compress/bench_cluster_thresholds.py [--model starter] [--target 0.5] [--seeds 3]
[--num-trials 16] [--output PATH]`. Prints one JSON row; `make bench` stores it in `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rows import provenance, tell

from birdbone.compress.clusters.token_classes import classify_vocabulary
from birdbone.compress.config import ClusterConfig, KMeansConfig, StabilityConfig, ThresholdConfig, TuneConfig
from birdbone.compress.statistics import collect_statistics
from birdbone.compress.thresholds.comparison import Judged, judge_thresholds
from birdbone.compress.thresholds.ground import loss_of
from birdbone.compress.thresholds.history import open_history
from birdbone.compress.thresholds.surveying import survey_ground
from birdbone.compress.thresholds.tuning import tune_thresholds
from birdbone.data import load_corpus, token_windows
from birdbone.models import LoadedModel, load_model

AS_SET, AS_SEARCHED = "as_set", "as_searched"


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    row = _measure(load_model(settings.model), settings)
    tell(row, settings.output)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Shares by cluster beside an even share.")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--target", type=float, default=0.5)
    parser.add_argument("--balance", choices=("layer", "model"), default="layer")
    parser.add_argument("--num-clusters", type=int, default=4)
    parser.add_argument("--num-trials", type=int, default=16)
    parser.add_argument("--num-windows", type=int, default=4)
    parser.add_argument("--num-judged", type=int, default=16)
    parser.add_argument("--window-tokens", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


def _measure(loaded: LoadedModel, settings: argparse.Namespace) -> dict[str, Any]:
    corpus = load_corpus()
    calibration_NT, search_NT, judged_NT = (
        _windows(loaded, texts, settings.window_tokens, count)
        for texts, count in (
            (corpus.calibration, max(8, settings.num_windows)),
            (corpus.healing, settings.num_windows),
            (corpus.heldout, settings.num_judged),
        )
    )
    found = [_one_seed(loaded, settings, seed, calibration_NT, search_NT, judged_NT) for seed in range(settings.seeds)]
    even = found[0][0]
    return {
        **provenance(settings, "compress/bench_cluster_thresholds"),
        "num_judged_tokens": judged_NT.size,
        "even_share_shed": even.shed,
        "even_share_perplexity": even.perplexity,
        **_summary(AS_SET, [judged[1] for judged in found]),
        **_summary(AS_SEARCHED, [judged[2] for judged in found]),
    }


def _one_seed(
    loaded: LoadedModel,
    settings: argparse.Namespace,
    seed: int,
    calibration_NT: NDArray[np.int64],
    search_NT: NDArray[np.int64],
    judged_NT: NDArray[np.int64],
) -> tuple[Judged, ...]:
    """Return the even share, the thresholds as set, and as searched."""
    model, architecture = loaded.model, loaded.architecture
    calibration = torch.from_numpy(calibration_NT)
    ground = survey_ground(
        model,
        architecture,
        calibration,
        class_V=classify_vocabulary(loaded.tokenizer, architecture.vocab_size),
        config=ClusterConfig(
            method=KMeansConfig(num_clusters=settings.num_clusters),
            stability=StabilityConfig(num_seeds=0, num_subsamples=0),
        ),
        seed=seed,
        statistics=collect_statistics(model, architecture, calibration),
    )
    start = ThresholdConfig(balance=settings.balance)
    result = tune_thresholds(
        loss_of(model, ground, search_NT),
        start,
        TuneConfig(num_trials=settings.num_trials, patience=settings.num_trials, seed=seed),
        target=settings.target,
        storage=open_history(None),
        basis={},
    )
    candidates = {AS_SET: start, AS_SEARCHED: result.best}
    return judge_thresholds(model, ground, judged_NT, candidates, target=settings.target, seed=seed)


def _summary(name: str, found: list[Judged]) -> dict[str, float]:
    ratios = [judged.ratio for judged in found if judged.ratio is not None]
    values = [ratio.value for ratio in ratios]
    return {
        f"{name}_shed": statistics.median(judged.shed for judged in found),
        f"{name}_over_even": statistics.median(values),
        f"{name}_over_even_min": min(values),
        f"{name}_over_even_max": max(values),
        f"{name}_num_better": sum(ratio.high < 1 for ratio in ratios),
        f"{name}_num_worse": sum(ratio.low > 1 for ratio in ratios),
    }


def _windows(loaded: LoadedModel, texts: tuple[str, ...], window: int, count: int) -> NDArray[np.int64]:
    return token_windows(texts, loaded.encode, window=window, count=count)


if __name__ == "__main__":
    main()
