"""Everything that differs between two versions, gathered once: what the terminal, the page and the bundle all tell."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from birdbone.vault.diff.effective_rank import MAX_EXACT_SIDE
from birdbone.vault.diff.files import FileDiff, diff_files
from birdbone.vault.diff.groups import (
    ChangeTotals,
    LayerDiff,
    LayerGrid,
    RoleDiff,
    group_by_layer,
    group_by_role,
    layer_grids,
    sum_tensors,
)
from birdbone.vault.diff.names import ManifestDiff, diff_manifests
from birdbone.vault.diff.roles import role_of
from birdbone.vault.diff.tensors import TensorDiff, diff_tensors
from birdbone.vault.errors import UnknownNameError
from birdbone.vault.folder import Vault
from birdbone.vault.records import Manifest, Version
from birdbone.vault.refs.lookup import read_manifest, read_version, resolve, resolve_artefact

_TENSOR_PROPERTIES = ("sparsity_before", "sparsity_after", "relative_l2", "mask_jaccard", "bits_before",
                      "bits_after", "is_requantized")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two: its artefact, its manifest, and the version that it was named by, if it was."""

    artefact: str
    version: Version | None
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementPair:
    """A figure by name, as the two versions recorded it; None where a version has none."""

    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs between two versions, in every way that the vault knows."""

    before: Side
    after: Side
    names: ManifestDiff
    tensors: tuple[TensorDiff, ...]
    """Changed tensors, by name."""
    totals: ChangeTotals | None
    """Of all changed tensors; None if none changed."""
    layers: tuple[LayerDiff, ...]
    """The largest relative change first."""
    roles: tuple[RoleDiff, ...]
    grids: tuple[LayerGrid, ...]
    files: tuple[FileDiff, ...]
    measurements: tuple[MeasurementPair, ...]

    @property
    def is_empty(self) -> bool:
        """Whether both sides are the same artefact."""
        return self.before.artefact == self.after.artefact


def compare_versions(
    vault: Vault,
    before: str,
    after: str,
    *,
    has_ranks: bool = True,
    max_exact_side: int = MAX_EXACT_SIDE,
    num_threads: int | None = None,
) -> Comparison:
    """Return everything that differs between two versions.

    Args:
        before: a ref, a version or an artefact; of a version the measurements are compared as well.
        after: likewise.
        has_ranks: as in `diff_tensors`, with the two that follow.
        max_exact_side: likewise.
        num_threads: likewise.

    Raises:
        UnknownNameError, AmbiguousNameError: a side is not known.
        CorruptObjectError, MissingObjectError: the store is damaged.
    """
    old, new = _read_side(vault, before), _read_side(vault, after)
    names = diff_manifests(old.manifest, new.manifest)
    tensors = diff_tensors(
        vault,
        old.artefact,
        new.artefact,
        has_ranks=has_ranks,
        max_exact_side=max_exact_side,
        num_threads=num_threads,
    )
    return Comparison(
        before=old,
        after=new,
        names=names,
        tensors=tuple(tensors),
        totals=sum_tensors(tensors),
        layers=tuple(group_by_layer(tensors)),
        roles=tuple(group_by_role(tensors)),
        grids=tuple(layer_grids(tensors, names.tensors)),
        files=tuple(diff_files(vault, old.manifest, new.manifest)),
        measurements=tuple(_paired_measurements(old.version, new.version)),
    )


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as plain JSON values; no clock and no path of this machine is in it."""
    return {
        "format": "birdbone.diff/2",
        "before": _side_json(comparison.before),
        "after": _side_json(comparison.after),
        "names": dataclasses.asdict(comparison.names),
        "measurements": [dataclasses.asdict(pair) for pair in comparison.measurements],
        "totals": None if comparison.totals is None else _totals_json(comparison.totals),
        "roles": [_totals_json(role) for role in comparison.roles],
        "layers": [_totals_json(layer) for layer in comparison.layers],
        "tensors": [_tensor_json(tensor) for tensor in comparison.tensors],
        "files": [dataclasses.asdict(file) for file in comparison.files],
    }


def _read_side(vault: Vault, name: str) -> Side:
    try:
        version = read_version(vault, resolve(vault, name))
    except UnknownNameError:
        version = None
    artefact = version.artefact if version else resolve_artefact(vault, name)
    return Side(artefact=artefact, version=version, manifest=read_manifest(vault, artefact))


def _paired_measurements(before: Version | None, after: Version | None) -> Sequence[MeasurementPair]:
    old, new = _by_name(before), _by_name(after)
    return [
        MeasurementPair(name=name, before=old.get(name), after=new.get(name))
        for name in sorted(old.keys() | new.keys())
    ]


def _by_name(version: Version | None) -> dict[str, Any]:
    rows = version.measurements if version else ()
    return {str(row["name"]): dict(row) for row in rows if "name" in row}


def _side_json(side: Side) -> dict[str, Any]:
    version = {"version": side.version.id, **side.version.model_dump(mode="json")} if side.version else {}
    return {"artefact": side.artefact, "kind": side.manifest.kind, "size_bytes": side.manifest.size_bytes, **version}


def _totals_json(totals: ChangeTotals) -> dict[str, Any]:
    return {**dataclasses.asdict(totals), "share_changed": totals.share_changed}


def _tensor_json(tensor: TensorDiff) -> dict[str, Any]:
    derived = {name: getattr(tensor, name) for name in _TENSOR_PROPERTIES}
    return {**dataclasses.asdict(tensor), **derived, "role": role_of(tensor.name)}
