"""What `compress clusters` does and prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from birdbone.cli.compress.bars import part_bar
from birdbone.cli.compress.sampling import Sample
from birdbone.cli.errors import UsageError
from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.output import new_table, talk
from birdbone.compress.clusters import require_biophase
from birdbone.compress.clusters.export import clusters_to_data, read_clusters, units_table, write_csv, write_parquet
from birdbone.compress.clusters.groups import Clustering
from birdbone.compress.clusters.matching import Evolution, follow_clusters
from birdbone.compress.clusters.token_classes import classify_vocabulary
from birdbone.compress.config import (
    AgglomerativeConfig,
    ClusterConfig,
    ClusterScope,
    HdbscanConfig,
    KMeansConfig,
    UnitKind,
)
from birdbone.compress.errors import BadClusterFileError
from birdbone.core import write_atomically, write_json
from birdbone.data import load_texts, token_windows
from birdbone.models import load_model, use_threads
from birdbone.pipeline.report.clusters import ClusterPage, render_cluster_page
from birdbone.pipeline.report.clusters.page import agreement_words, figure_words, place_words
from birdbone.watch import choose_num_threads

PAGE, DATA, CSV, PARQUET = "clusters.html", "clusters.json", "clusters.csv", "clusters.parquet"
"""Names of the files."""

_METHODS = {"kmeans": KMeansConfig, "hdbscan": HdbscanConfig, "agglomerative": AgglomerativeConfig}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The clusters of a model, and what was asked for."""

    model: str
    config: ClusterConfig
    sample: Sample
    seed: int
    text_digest: str
    survey: Any
    before: tuple[str, Evolution] | None


def asked_for(units: str, *, scope: str, method: str, num_clusters: int | None) -> ClusterConfig:
    """Return the settings of what a person typed.

    Raises:
        UsageError: a word that is not known, or a number of clusters for HDBSCAN.
    """
    kind = _METHODS[one_of(method, tuple(_METHODS), "--method")]
    if kind is HdbscanConfig and num_clusters is not None:
        raise UsageError("HDBSCAN finds its own number of clusters: leave --clusters out, or take another --method.")
    count = {} if num_clusters is None else {"num_clusters": num_clusters}
    return ClusterConfig(
        units=one_of(units, UnitKind, "--units"), scope=one_of(scope, ClusterScope, "--scope"), method=kind(**count)
    )


def cluster(
    model: str,
    config: ClusterConfig,
    *,
    layers: Sequence[int],
    sample: Sample,
    seed: int,
    num_threads: int | None,
    against: Path | None,
) -> Found:
    """Return the clusters of a model on calibration text.

    Raises:
        BiophaseMissingError: the extra is not installed.
        BadClusterFileError: `against` is no file of clusters.
        ModelError, DataError, CompressError: the model, the text, or the clusters.
    """
    require_biophase()
    from birdbone.compress.clusters.survey import survey_clusters

    earlier = None if against is None else _read_earlier(against, config)
    before = use_threads(num_threads or choose_num_threads())
    try:
        loaded, corpus = load_model(model), load_texts(sample.source)
        windows_NT = token_windows(corpus.calibration, loaded.encode, window=sample.window, count=sample.num_windows)
        talk(f"{loaded.name}: {sample.num_windows} windows of {sample.window} tokens")
        with part_bar() as told:
            survey = survey_clusters(
                loaded.model,
                loaded.architecture,
                torch.from_numpy(windows_NT),
                class_V=classify_vocabulary(loaded.tokenizer, loaded.architecture.vocab_size),
                config=config,
                seed=seed,
                layers=layers,
                progress=told,
            )
    finally:
        use_threads(before)
    change = None if earlier is None or against is None else (against.name, follow_clusters(earlier, survey.clustering))
    return Found(
        model=loaded.name,
        config=config,
        sample=sample,
        seed=seed,
        text_digest=corpus.digest,
        survey=survey,
        before=change,
    )


def _read_earlier(path: Path, config: ClusterConfig) -> Clustering:
    found = read_clusters(path)
    if found.units != config.units:
        message = f"{path} speaks of {found.units}; {config.units} were asked for."
        raise BadClusterFileError(message, file=str(path), hint=f"Ask for them: --units {found.units}.")
    return found


def write(folder: Path, found: Found) -> tuple[Path, ...]:
    """Write the page, the clusters as JSON, and one row a unit as CSV and Parquet; return their paths."""
    survey = found.survey
    table = units_table(survey.table, survey.clustering)
    page = ClusterPage(
        title=found.model,
        facts=_facts(found),
        clustering=survey.clustering,
        table=survey.table,
        places=survey.places,
        method_change=survey.other,
        wave_change=found.before,
    )
    with write_atomically(folder / PAGE) as stream:
        stream.write(render_cluster_page(page).encode())
    write_json(folder / DATA, as_json(found))
    write_csv(folder / CSV, table)
    write_parquet(folder / PARQUET, table)
    return tuple(folder / name for name in (PAGE, DATA, CSV, PARQUET))


def as_json(found: Found) -> dict[str, Any]:
    """Return clusters, quality and comparisons as plain data, with what they were found on."""
    return {
        **clusters_to_data(found.survey.clustering),
        "model": found.model,
        "settings": found.config.model_dump(mode="json"),
        "text": {
            "source": found.sample.source,
            "digest": found.text_digest,
            "num_windows": found.sample.num_windows,
            "window": found.sample.window,
        },
        "seed": found.seed,
        "other_method": _change_data(found.survey.other),
        "against": _change_data(found.before),
    }


def tables(found: Found) -> Iterator[Table]:
    """Yield the quality of the clusters of each part, and what became of earlier ones."""
    clustering = found.survey.clustering
    rows = [
        (
            place_words(part.layer),
            str(part.quality.num_clusters),
            " ".join(str(cluster.num_units) for cluster in clustering.clusters if cluster.layer == part.layer),
            figure_words(part.quality.silhouette),
            figure_words(part.quality.davies_bouldin),
            agreement_words(part.stability.seeds),
            agreement_words(part.stability.halves),
            agreement_words(part.stability.subsamples),
        )
        for part in clustering.parts
    ]
    columns = ("of", "clusters", "sizes", "silhouette", "Davies-Bouldin", "over seeds", "halves", "subsamples [95 %]")
    yield new_table(columns, rows, title=f"{found.model}: {clustering.units} by {clustering.method}; agreement 0 to 1")
    for title, change in (("beside", found.survey.other), ("since", found.before)):
        if change is not None:
            yield _change_table(f"{title} {change[0]}", change[1])


def _change_table(title: str, change: Evolution) -> Table:
    row = (figure_words(change.agreement), str(len(change.matches)), str(len(change.deaths)), str(len(change.births)))
    return new_table(("adjusted Rand", "go on", "end", "are new"), [row], title=title)


def _change_data(change: tuple[str, Evolution] | None) -> dict[str, Any] | None:
    if change is None:
        return None
    name, found = change
    return {
        "name": name,
        "agreement": found.agreement,
        "matches": [
            {"before": match.before, "after": match.after, "overlap": match.overlap, "drift": match.drift}
            for match in found.matches
        ],
        "deaths": list(found.deaths),
        "births": list(found.births),
        "shared": found.shared_AB.tolist(),
    }


def _facts(found: Found) -> list[tuple[str, str]]:
    return [
        ("Text", f"{found.sample.source}, {found.sample.num_windows} windows of {found.sample.window} tokens"),
        ("Digest of the text", found.text_digest),
        (
            "Method",
            f"{found.config.method.kind}, {'a set for each layer' if found.config.scope == 'layer' else 'one set'}",
        ),
        ("Features", ", ".join(found.config.features.blocks)),
        ("Units", f"{len(found.survey.table.layer_N):,} {found.config.units}"),
        ("Seed", str(found.seed)),
    ]
