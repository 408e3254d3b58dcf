"""What weights may not look like beside the dense model's: signs of an injury, not of pruning.

Shapes: F out_features, D in_features. Weights are read, nothing is run; what is dead on a text is `dead_neurons`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import IntegrityConfig
from birdbone.models import Architecture, LayerLayout

FindingKind = Literal["not_finite", "zeroed_rows", "rank_loss", "norm_change", "turned_rows", "permuted_rows", "dead"]
_TURNED = 0.5  # cosine of a row with its dense self under which it points elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityFinding:
    """One sign of an injury."""

    layer: int
    path: str
    kind: FindingKind
    value: float
    """Share of rows, share of the dense rank, or factor of the size, as the kind says."""
    limit: float
    detail: str


def check_integrity(
    changed: PreTrainedModel, dense: PreTrainedModel, architecture: Architecture, config: IntegrityConfig
) -> tuple[IntegrityFinding, ...]:
    """Return what is wrong with the weights of each layer, lowest layer first; nothing for an unchanged model."""
    return tuple(finding for layer in architecture.layers for finding in _check_layer(changed, dense, layer, config))


@torch.no_grad()
def dead_neurons(
    model: PreTrainedModel, architecture: Architecture, windows_NT: Int[Tensor, "N T"], *, batch_size: int = 2
) -> dict[str, Bool[Tensor, " D"]]:
    """Return, for each linear that reads a feed-forward layer's neurons, which of them are zero on every token."""
    is_alive: dict[str, Tensor] = {}

    def watch(path: str, inputs: tuple[Tensor, ...]) -> None:
        alive_D = (inputs[0] != 0).flatten(0, -2).any(dim=0)
        is_alive[path] = alive_D | is_alive.get(path, torch.zeros_like(alive_D))

    paths = [slot.path for layer in architecture.layers for slot in layer.feed_forward if slot.role == "down"]
    handles = [
        model.get_submodule(path).register_forward_pre_hook(lambda _module, inputs, path=path: watch(path, inputs))
        for path in paths
    ]
    try:
        for start in range(0, len(windows_NT), batch_size):
            model.base_model(input_ids=windows_NT[start : start + batch_size], use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return {path: ~alive_D for path, alive_D in is_alive.items()}


@torch.no_grad()
def weight_changes(
    changed: PreTrainedModel, dense: PreTrainedModel, architecture: Architecture
) -> dict[str, NDArray[np.float64]]:
    """Return how far the weights of each kind went from the dense ones, layer by layer: evidence for `rank_layers`.

    A change is the squared norm of the difference over that of the dense weights; a layer without that kind has 0.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for layer in architecture.layers:
        paths = {slot.role: slot.path for slot in layer.linears} | {
            f"{role} norm": p for role, p in layer.norms.items()
        }
        for kind, path in paths.items():
            ours, theirs = _weights(changed, path), _weights(dense, path)
            change = float((ours - theirs).square().sum() / theirs.square().sum().clamp_min(1e-30))
            found.setdefault(kind, np.zeros(architecture.num_layers))[layer.index] = change
    return found


def effective_rank(w_FD: Float[Tensor, "F D"]) -> float:
    """Return the participation ratio of the squared singular values: 1 to min(F, D), without a decomposition.

    Source: Gao et al. 2017, doi:10.1101/214262, eq. 4: (sum of eigenvalues)^2 / sum of their squares, here of W W^T.
    """
    w = w_FD.float()
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    trace, square = float(gram.diagonal().sum()), float(gram.square().sum())
    return trace**2 / square if square > 0 else 0.0


def _check_layer(
    changed: PreTrainedModel, dense: PreTrainedModel, layer: LayerLayout, config: IntegrityConfig
) -> Iterator[IntegrityFinding]:
    for slot in layer.linears:
        ours, theirs = _weights(changed, slot.path), _weights(dense, slot.path)
        for kind, value, limit, detail in _check_linear(ours, theirs, config):
            yield _finding(layer, slot.path, kind, value=value, limit=limit, detail=detail)
    for path in layer.norms.values():
        ours, theirs = _weights(changed, path), _weights(dense, path)
        for kind, value, limit, detail in _check_size(ours, theirs, config):
            yield _finding(layer, path, kind, value=value, limit=limit, detail=detail)


def _weights(model: PreTrainedModel, path: str) -> Tensor:
    weight: Tensor = model.get_parameter(f"{path}.weight")
    return weight.detach().float()


_Sign = tuple[FindingKind, float, float, str]


def _check_linear(w_FD: Tensor, dense_FD: Tensor, config: IntegrityConfig) -> Iterator[_Sign]:
    yield from _check_size(w_FD, dense_FD, config)
    if not bool(w_FD.isfinite().all()):
        return
    is_zeroed_F = (w_FD == 0).all(dim=1) & (dense_FD != 0).any(dim=1)
    zeroed = float(is_zeroed_F.float().mean())
    if zeroed > config.zero_share:
        yield "zeroed_rows", zeroed, config.zero_share, f"{int(is_zeroed_F.sum())} rows are zero"
    rank_share = effective_rank(w_FD) / max(effective_rank(dense_FD), 1e-12)
    if rank_share < config.rank_share:
        yield "rank_loss", rank_share, config.rank_share, f"effective rank {effective_rank(w_FD):.1f}"
    yield from _check_rows(w_FD[~is_zeroed_F], dense_FD, (~is_zeroed_F).nonzero()[:, 0], config)


def _check_size(ours: Tensor, theirs: Tensor, config: IntegrityConfig) -> Iterator[_Sign]:
    if not bool(ours.isfinite().all()):
        share = float((~ours.isfinite()).float().mean())
        yield "not_finite", share, 0.0, f"{int((~ours.isfinite()).sum())} weights are not finite"
        return
    factor = float(ours.norm() / theirs.norm().clamp_min(1e-30))
    if not 1 / config.norm_factor <= factor <= config.norm_factor:
        yield "norm_change", factor, config.norm_factor, f"{factor:.3g} times as large as it was"


def _check_rows(rows_RD: Tensor, dense_FD: Tensor, places_R: Tensor, config: IntegrityConfig) -> Iterator[_Sign]:
    """Look at rows that point elsewhere: those that point where another row did have changed places."""
    own_R = torch.cosine_similarity(rows_RD, dense_FD[places_R], dim=1)
    is_turned_R = own_R < _TURNED
    num_rows = len(dense_FD)
    if float(is_turned_R.sum()) <= config.turned_share * num_rows:
        return
    turned_SD = torch.nn.functional.normalize(rows_RD[is_turned_R], dim=1)
    nearest_S = (turned_SD @ torch.nn.functional.normalize(dense_FD, dim=1).T).amax(dim=1)
    num_moved = int((nearest_S > 1 - _TURNED / 2).sum())
    share = float(is_turned_R.sum()) / num_rows
    if num_moved > 0.5 * len(nearest_S):
        yield "permuted_rows", share, config.turned_share, f"{num_moved} rows stand where others stood"
    else:
        yield "turned_rows", share, config.turned_share, f"{int(is_turned_R.sum())} rows point elsewhere"


def _finding(
    layer: LayerLayout, path: str, kind: FindingKind, *, value: float, limit: float, detail: str
) -> IntegrityFinding:
    return IntegrityFinding(layer=layer.index, path=path, kind=kind, value=value, limit=limit, detail=detail)


def dead_findings(
    changed: Mapping[str, Bool[Tensor, " D"]],
    dense: Mapping[str, Bool[Tensor, " D"]],
    architecture: Architecture,
    config: IntegrityConfig,
) -> tuple[IntegrityFinding, ...]:
    """Return the layers in which more neurons died than are allowed; `dead_neurons` gives both sides."""
    layer_of = {slot.path: layer for layer in architecture.layers for slot in layer.feed_forward}
    found = []
    for path, is_dead_D in changed.items():
        num_died = int((is_dead_D & ~dense[path]).sum())
        share = num_died / len(is_dead_D)
        if share > config.zero_share:
            detail = f"{num_died} neurons are zero on every token"
            found.append(_finding(layer_of[path], path, "dead", value=share, limit=config.zero_share, detail=detail))
    return tuple(found)
