"""One table of features for all units, and its principal components. Shapes: N units, K features, C components."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.clusters.activations import ActivationSums, add_sums, collect_activations
from birdbone.compress.clusters.function import coactivation_rows, function_figures
from birdbone.compress.clusters.structure import draw_projections, norm_figures, project_directions
from birdbone.compress.clusters.units import chosen_layers, num_units, unit_parts
from birdbone.compress.config import FeatureConfig, UnitKind
from birdbone.models import Architecture, LayerLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTable:
    """What is known of each unit.

    Attributes:
        layer_N: the layer of each unit.
        index_N: its place in the layer.
        names: of the figures that a person can read.
        values_NK: these figures.
        blocks: by name, the features of all units that a block adds to the clustering, each column as it is.
        coactivation_NP: rows whose inner products are correlations over tokens.
        num_tokens: tokens behind the figures, the windows' first ones left out.
    """

    units: UnitKind
    layer_N: NDArray[np.int64]
    index_N: NDArray[np.int64]
    names: tuple[str, ...]
    values_NK: NDArray[np.float64]
    blocks: Mapping[str, NDArray[np.float64]] = field(repr=False)
    coactivation_NP: NDArray[np.float64] = field(repr=False)
    num_tokens: int

    def rows(self, is_chosen_N: NDArray[np.bool_]) -> FeatureTable:
        """Return the table of some of the units."""
        return FeatureTable(
            units=self.units,
            layer_N=self.layer_N[is_chosen_N],
            index_N=self.index_N[is_chosen_N],
            names=self.names,
            values_NK=self.values_NK[is_chosen_N],
            blocks={name: block_NK[is_chosen_N] for name, block_NK in self.blocks.items()},
            coactivation_NP=self.coactivation_NP[is_chosen_N],
            num_tokens=self.num_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The table of the whole text, and those of its two halves."""

    whole: FeatureTable
    halves: tuple[FeatureTable, FeatureTable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Principal components of the blocks: where units lie, and how much of the variance that shows."""

    points_NC: NDArray[np.float64]
    variance_share_C: NDArray[np.float64]


def read_features(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    *,
    units: UnitKind,
    config: FeatureConfig,
    class_V: Int[Tensor, " V"],
    seed: int,
    layers: Sequence[int] = (),
    batch_size: int = 4,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Features:
    """Return the features of all units of the chosen layers, from one pass over the text and from the weights.

    Args:
        windows_NT: calibration tokens. The model is left unchanged.
        class_V: class of each token of the vocabulary, from `classify_vocabulary`.
        seed: of the sketch's signs and of the projections.
        layers: indices; all layers for none.
        progress: called with windows done and windows in all.

    Raises:
        UnknownLayerError: an index that the model does not have.
        NoCalibrationDataError, NonFiniteStatisticsError: the text, or what the model makes of it.
    """
    chosen = chosen_layers(architecture, layers)
    generator = torch.Generator().manual_seed(seed)
    first, second = collect_activations(
        model,
        architecture,
        windows_NT,
        units=units,
        layers=chosen,
        class_V=class_V,
        num_buckets=config.num_buckets,
        generator=generator,
        batch_size=batch_size,
        progress=progress,
    )
    weights = _read_weights(model, architecture, chosen, units, config, generator)
    whole = {index: add_sums(first[index], second[index]) for index in first}
    tables = [_make_table(units, chosen, sums, weights, config) for sums in (whole, first, second)]
    return Features(whole=tables[0], halves=(tables[1], tables[2]))


def find_components(table: FeatureTable, config: FeatureConfig) -> Components:
    """Return the principal components of all blocks together.

    Every block is centred and scaled to the same total variance, so that one with many columns weighs no more than one
    with few (as in multiple factor analysis; there by the largest singular value). Signs are fixed: the largest entry
    of each component's axis is positive.
    """
    blocks = [_scaled(block_NK) for block_NK in table.blocks.values()]
    values_NK = np.concatenate(blocks, axis=1)
    variance_K, axes_KK = np.linalg.eigh(values_NK.T @ values_NK / len(values_NK))
    variance_K, axes_KK = np.maximum(variance_K[::-1], 0), axes_KK[:, ::-1]
    share_K = variance_K / max(variance_K.sum(), 1e-300)
    enough = int(np.searchsorted(np.cumsum(share_K), config.variance_kept - 1e-12)) + 1
    count = min(max(2, enough), config.num_components, len(share_K))
    axes_KC = axes_KK[:, :count]
    signs_C = np.sign(axes_KC[np.abs(axes_KC).argmax(axis=0), np.arange(count)])
    return Components(points_NC=values_NK @ axes_KC * signs_C, variance_share_C=share_K[:count])


@dataclass(frozen=True, slots=True)
class _LayerWeights:
    """Figures of one layer's weights: those to read, and those of direction."""

    norms: dict[str, Tensor]
    directions: dict[str, Tensor]


def _read_weights(
    model: PreTrainedModel,
    architecture: Architecture,
    layers: Sequence[LayerLayout],
    units: UnitKind,
    config: FeatureConfig,
    generator: torch.Generator,
) -> dict[int, _LayerWeights]:
    if "structure" not in config.blocks:
        return {layer.index: _LayerWeights({}, {}) for layer in layers}
    parts = {layer.index: unit_parts(layer, architecture, units) for layer in layers}
    projections = draw_projections(
        parts[layers[0].index],
        hidden_size=architecture.hidden_size,
        num_directions=config.num_directions,
        generator=generator,
    )
    counts = {layer.index: num_units(layer, architecture, units) for layer in layers}
    return {
        index: _LayerWeights(
            norm_figures(model, found, num_units=counts[index]),
            project_directions(model, found, num_units=counts[index], projections=projections),
        )
        for index, found in parts.items()
    }


def _make_table(
    units: UnitKind,
    layers: Sequence[LayerLayout],
    sums: Mapping[int, ActivationSums],
    weights: Mapping[int, _LayerWeights],
    config: FeatureConfig,
) -> FeatureTable:
    functions = {layer.index: function_figures(sums[layer.index]) for layer in layers}
    function = _stack([functions[layer.index] for layer in layers])
    norms = _stack([weights[layer.index].norms for layer in layers])
    directions = _stack([weights[layer.index].directions for layer in layers])
    counts = [sums[layer.index].power_4U.shape[1] for layer in layers]
    coactivation_NP = np.concatenate([coactivation_rows(sums[layer.index]).numpy() for layer in layers])
    blocks = {"function": _standard(function), "structure": _standard(norms), "directions": directions}
    blocks |= {"coactivation": coactivation_NP}
    kept = {*config.blocks, *(("directions",) if "structure" in config.blocks else ())}
    return FeatureTable(
        units=units,
        layer_N=np.repeat([layer.index for layer in layers], counts),
        index_N=np.concatenate([np.arange(count) for count in counts]),
        names=(*functions[layers[0].index], *weights[layers[0].index].norms),
        values_NK=np.concatenate([function, norms.reshape(len(function), -1)], axis=1),
        blocks={name: block_NK for name, block_NK in blocks.items() if name in kept},
        coactivation_NP=coactivation_NP,
        num_tokens=sums[layers[0].index].num_tokens,
    )


def _stack(figures: Sequence[Mapping[str, Tensor]]) -> NDArray[np.float64]:
    """Return the figures of all layers below one another, a column a name."""
    rows = [np.stack([value_U.numpy() for value_U in layer.values()], axis=1) for layer in figures if layer]
    return np.concatenate(rows) if rows else np.empty((0, 0))


def _standard(values_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns of mean 0 and variance 1; a column that does not vary is 0."""
    if not values_NK.size:
        return values_NK
    centred_NK = values_NK - values_NK.mean(axis=0)
    spread_K = centred_NK.std(axis=0)
    standard_NK: NDArray[np.float64] = np.where(spread_K > 1e-12, centred_NK / np.maximum(spread_K, 1e-12), 0.0)
    return standard_NK


def _scaled(block_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a block centred, with a total variance of 1; one that does not vary is 0."""
    centred_NK = block_NK - block_NK.mean(axis=0)
    total = float(np.sqrt(centred_NK.var(axis=0).sum()))
    scaled_NK: NDArray[np.float64] = centred_NK / total if total > 1e-12 else centred_NK * 0
    return scaled_NK
