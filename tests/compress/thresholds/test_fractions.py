"""From clusters of a real model to masks: every weight belongs to a share, and the shares come to the target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.compress.conftest import Dense

from birdbone.compress import WavesConfig
from birdbone.compress.clusters.groups import Cluster, Clustering
from birdbone.compress.clusters.token_classes import classify_vocabulary
from birdbone.compress.clusters.units import num_units
from birdbone.compress.config import (
    ClusterConfig,
    FeatureConfig,
    KMeansConfig,
    ShedConfig,
    StabilityConfig,
    ThresholdConfig,
    UnitKind,
)
from birdbone.compress.thresholds import ColumnFractions, RowFractions, cluster_fractions, shed_clusters
from birdbone.compress.thresholds.comparison import EVEN, judge_thresholds
from birdbone.compress.thresholds.ground import Ground, decide, fractions_of, loss_of, masks_of, share_shed
from birdbone.compress.thresholds.objective import pruned
from birdbone.compress.thresholds.surveying import survey_ground
from birdbone.compress.waves import full_masks, shed_wave
from birdbone.models import LoadedModel

pytestmark = pytest.mark.usefixtures("dense_stays")

Grounds = dict[str, Ground]
QUICK = StabilityConfig(num_seeds=0, num_subsamples=0)


@pytest.fixture(scope="module")
def grounds(dense: Dense) -> Grounds:
    """Clusters of the neurons of each layer, and of the heads over all layers."""
    return {"neurons": ground_of(dense, "neurons"), "heads": ground_of(dense, "heads")}


def ground_of(dense: Dense, units: UnitKind) -> Ground:
    architecture = dense.loaded.architecture
    config = ClusterConfig(
        units=units,
        scope="layer" if units == "neurons" else "model",
        method=KMeansConfig(num_clusters=3, num_starts=1),
        features=FeatureConfig(num_directions=4, num_buckets=16),
        stability=QUICK,
    )
    return survey_ground(
        dense.loaded.model,
        architecture,
        dense.calibration_NT[:4],
        class_V=classify_vocabulary(dense.loaded.tokenizer, architecture.vocab_size),
        config=config,
        seed=0,
        statistics=dense.statistics,
    )


@pytest.mark.parametrize("units", ["neurons", "heads"])
def test_the_shares_of_all_rows_and_columns_come_to_the_target(grounds: Grounds, units: UnitKind) -> None:
    ground = grounds[units]
    (decisions,) = decide(ground, ThresholdConfig(spread=0.1), target=0.4)
    assert len({decision.fraction for decision in decisions}) > 3 if units == "neurons" else True
    fractions = fractions_of(ground, (decisions,))
    assert len(fractions) == 4 * (3 if units == "neurons" else 4)
    shed = total = 0.0
    for path, found in fractions.items():
        num_rows, num_columns = ground.scores[path].shape
        if isinstance(found, RowFractions):
            shed += float(found.fraction_F.sum()) * num_columns
        else:
            shed += float(found.fraction_G[found.cluster_D].sum()) * num_rows
        total += num_rows * num_columns
    assert shed / total == pytest.approx(0.4, abs=1e-9)
    assert share_shed(masks_of(ground, ThresholdConfig(spread=0.1), target=0.4)) == pytest.approx(0.4, abs=0.02)


def test_without_spread_the_masks_are_those_of_plain_shedding(grounds: Grounds) -> None:
    ground = grounds["neurons"]
    masks = masks_of(ground, ThresholdConfig(spread=0.0), target=0.5)
    plain = shed_clusters(ground.scores, ground.masks, {}, target=0.5)
    assert all(torch.equal(masks[path], plain[path]) for path in plain)


def test_a_neuron_carries_its_share_to_its_row_and_its_column(dense: Dense) -> None:
    architecture = dense.loaded.architecture
    count = num_units(architecture.layers[1], architecture, "neurons")
    clustering = Clustering(
        units="neurons",
        method="by hand",
        layer_N=np.full(count, 1),
        index_N=np.arange(count)[::-1].copy(),
        label_N=(np.arange(count) < 10).astype(np.int64),
        clusters=tuple(Cluster(name=name, layer=1, num_units=size) for name, size in (("a", count - 10), ("b", 10))),
        parts=(),
    )
    fractions = cluster_fractions([(clustering, [0.5, 0.1])], architecture)
    gate, up, down = (slot.path for slot in architecture.layers[1].feed_forward)
    assert set(fractions) == {gate, up, down}
    found = fractions[gate]
    assert isinstance(found, RowFractions)
    assert found.fraction_F.tolist() == [0.5] * (count - 10) + [0.1] * 10
    columns = fractions[down]
    assert isinstance(columns, ColumnFractions)
    assert columns.fraction_G[columns.cluster_D].tolist() == found.fraction_F.tolist()


def test_a_wave_sheds_the_shares_of_clusters(tiny_model: LoadedModel, dense: Dense, grounds: Grounds) -> None:
    ground = grounds["neurons"]
    (decisions,) = decide(ground, ThresholdConfig(spread=0.02), target=0.1)
    fractions = fractions_of(ground, (decisions,))
    masks = shed_wave(
        tiny_model.model,
        masks=full_masks(tiny_model.model, tiny_model.architecture),
        statistics=dense.statistics,
        config=WavesConfig(shed=ShedConfig(fraction=0.1, cluster="biophase")),
        fractions=fractions,
    )
    expected = shed_clusters(ground.scores, ground.masks, fractions, target=0.1)
    assert all(torch.equal(masks[path], expected[path]) for path in masks)
    gate = ground.architecture.layers[0].feed_forward[0].path
    assert len(set((~masks[gate]).sum(dim=1).tolist())) > 1


def test_an_override_reaches_the_clustering_that_knows_it(grounds: Grounds) -> None:
    ground = grounds["neurons"]
    name = ground.clusterings[0].clusters[2].name
    (decisions,) = decide(ground, ThresholdConfig(overrides={name: 0.05}), target=0.3)
    assert {decision.name: decision.fraction for decision in decisions}[name] == 0.05


def test_a_trial_leaves_the_model_as_it_was_even_if_it_breaks_off(dense: Dense, grounds: Grounds) -> None:
    ground = grounds["neurons"]
    losses = loss_of(dense.loaded.model, ground, dense.healing_NT[:4].numpy())
    found = list(losses(ThresholdConfig(), 0.5))
    assert [count for count, _ in found] == [2, 4]
    half = losses(ThresholdConfig(), 0.5)
    next(half)
    half.close()
    with pytest.raises(RuntimeError, match="on purpose"), pruned(dense.loaded.model, ground.masks):
        raise RuntimeError("on purpose")
    assert list(losses(ThresholdConfig(), 0.5)) == found


def test_thresholds_are_judged_beside_the_even_share_at_the_same_size(dense: Dense, grounds: Grounds) -> None:
    even, ours = judge_thresholds(
        dense.loaded.model,
        grounds["neurons"],
        dense.heldout_NT[:8].numpy(),
        {"ours": ThresholdConfig(spread=0.1)},
        target=0.5,
        seed=0,
    )
    assert (even.name, ours.name, even.ratio) == (EVEN, "ours", None)
    assert ours.shed == pytest.approx(even.shed, abs=1e-3)
    assert ours.ratio is not None
    assert ours.ratio.value == pytest.approx(ours.perplexity / even.perplexity)
