"""What differs between two artefacts: by name from the manifests alone, and by value from the tensors' bytes.

Symbols: b before, a after, both flattened to float64. L2 = ||a - b||; cosine = <a, b> / (||a|| ||b||). Figures that are
not defined (a NaN in the tensor, a zero norm, a changed shape) are None, never a stand-in number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from birdbone.vault.elements import as_bits, as_float64, element_bytes, is_readable
from birdbone.vault.folder import Vault
from birdbone.vault.lookup import read_manifest
from birdbone.vault.objects import read_object
from birdbone.vault.records import Manifest, TensorEntry

_CHUNK_ELEMENTS = 1 << 16  # stays in a core's second-level cache as float64
_SIGNIFICANT_DIGITS = 9  # what is left alike on machines whose sums run in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class NameDiff:
    """Names that were added, removed, changed or left the same, each in order."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    same: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestDiff:
    """What differs by name: tensors (bytes, dtype or shape), other files, and the metadata of safetensors files."""

    tensors: NameDiff
    files: NameDiff
    metadata: NameDiff


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorDiff:
    """How one changed tensor differs. A count is of elements; None where the two cannot be compared."""

    name: str
    dtype_before: str
    dtype_after: str
    shape_before: tuple[int, ...]
    shape_after: tuple[int, ...]
    num_elements: int
    num_changed: int | None = None
    num_zeroed: int | None = None
    num_regrown: int | None = None
    num_zero_before: int | None = None
    num_zero_after: int | None = None
    l2: float | None = None
    l2_before: float | None = None
    cosine: float | None = None

    @property
    def sparsity_before(self) -> float | None:
        """Share of zeros before, 0 to 1."""
        return _share(self.num_zero_before, self.num_elements)

    @property
    def sparsity_after(self) -> float | None:
        """Share of zeros after, 0 to 1."""
        return _share(self.num_zero_after, self.num_elements)


@dataclass(slots=True)
class _Sums:
    changed: int = 0
    zeroed: int = 0
    regrown: int = 0
    zero_before: int = 0
    zero_after: int = 0
    difference: float = 0.0
    before: float = 0.0
    after: float = 0.0
    product: float = 0.0


def diff_manifests(before: Manifest, after: Manifest) -> ManifestDiff:
    """Return which tensors, files and metadata differ, by name; no object is read, so it takes milliseconds."""
    return ManifestDiff(
        tensors=_diff_names(_tensor_marks(before), _tensor_marks(after)),
        files=_diff_names(_file_marks(before), _file_marks(after)),
        metadata=_diff_names(_metadata_marks(before), _metadata_marks(after)),
    )


def diff_tensors(vault: Vault, before: str, after: str) -> list[TensorDiff]:
    """Return how each tensor that both have and that changed differs, by name.

    Args:
        before: a ref, a version or an artefact.
        after: likewise.

    A tensor that kept its digest is not read. Two tensors are in memory at once.

    Raises:
        CorruptObjectError, MissingObjectError: the store is damaged.
        UnknownNameError: there is no such thing.
    """
    old, new = read_manifest(vault, before), read_manifest(vault, after)
    old_tensors, new_tensors = old.tensors(), new.tensors()
    changed = diff_manifests(old, new).tensors.changed
    return [_diff_tensor(vault, name, old_tensors[name], new_tensors[name]) for name in changed]


def _diff_names(before: dict[str, Any], after: dict[str, Any]) -> NameDiff:
    shared = sorted(before.keys() & after.keys())
    return NameDiff(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(name for name in shared if before[name] != after[name]),
        same=tuple(name for name in shared if before[name] == after[name]),
    )


def _tensor_marks(manifest: Manifest) -> dict[str, tuple[Any, ...]]:
    return {name: (entry.digest, entry.dtype, entry.shape) for name, entry in manifest.tensors().items()}


def _file_marks(manifest: Manifest) -> dict[str, str]:
    return {file.path: file.digest for file in manifest.files if file.layout == "file"}


def _metadata_marks(manifest: Manifest) -> dict[str, str]:
    files = (file for file in manifest.files if file.layout == "safetensors")
    return {f"{file.path}::{key}": value for file in files for key, value in file.metadata.items()}


def _diff_tensor(vault: Vault, name: str, before: TensorEntry, after: TensorEntry) -> TensorDiff:
    frame: dict[str, Any] = {
        "name": name,
        "dtype_before": before.dtype,
        "dtype_after": after.dtype,
        "shape_before": before.shape,
        "shape_after": after.shape,
        "num_elements": math.prod(after.shape),
    }
    if before.shape != after.shape or not (is_readable(before.dtype) and is_readable(after.dtype)):
        return TensorDiff(**frame)
    sums = _Sums()
    for old, new in _chunks(vault, before, after):
        _add_chunk(sums, old, new, dtypes=(before.dtype, after.dtype))
    return TensorDiff(**frame, **_figures(sums))


def _chunks(vault: Vault, before: TensorEntry, after: TensorEntry) -> Iterator[tuple[memoryview, memoryview]]:
    old = memoryview(read_object(vault, "blobs", before.digest))
    new = memoryview(read_object(vault, "blobs", after.digest))
    old_step, new_step = (_CHUNK_ELEMENTS * element_bytes(entry.dtype) for entry in (before, after))
    for index in range(-(-len(old) // old_step)):
        yield (
            old[index * old_step : (index + 1) * old_step],
            new[index * new_step : (index + 1) * new_step],
        )


def _add_chunk(sums: _Sums, old: memoryview, new: memoryview, *, dtypes: tuple[str, str]) -> None:
    before, after = as_float64(old, dtypes[0]), as_float64(new, dtypes[1])
    was_zero, is_zero = before == 0, after == 0
    sums.zero_before += int(np.count_nonzero(was_zero))
    sums.zero_after += int(np.count_nonzero(is_zero))
    sums.zeroed += int(np.count_nonzero(is_zero & ~was_zero))
    sums.regrown += int(np.count_nonzero(was_zero & ~is_zero))
    sums.changed += _num_changed(old, new, before, after, dtypes=dtypes)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = after - before
        sums.difference += _inner(difference, difference)
        sums.before += _inner(before, before)
        sums.after += _inner(after, after)
        sums.product += _inner(before, after)


def _num_changed(
    old: memoryview, new: memoryview, before: np.ndarray, after: np.ndarray, *, dtypes: tuple[str, str]
) -> int:
    if dtypes[0] == dtypes[1]:
        return int(np.count_nonzero(as_bits(old, dtypes[0]) != as_bits(new, dtypes[1])))
    both_nan = np.isnan(before) & np.isnan(after)
    return int(np.count_nonzero((before != after) & ~both_nan))


def _inner(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.einsum("i,i->", left, right))  # not `dot`: a BLAS would start threads for it


def _figures(sums: _Sums) -> dict[str, Any]:
    norms = math.sqrt(sums.before) * math.sqrt(sums.after)
    return {
        "num_changed": sums.changed,
        "num_zeroed": sums.zeroed,
        "num_regrown": sums.regrown,
        "num_zero_before": sums.zero_before,
        "num_zero_after": sums.zero_after,
        "l2": rounded(math.sqrt(sums.difference)),
        "l2_before": rounded(math.sqrt(sums.before)),
        "cosine": rounded(sums.product / norms) if norms else None,
    }


def rounded(value: float) -> float | None:
    """Return `value` with nine significant digits, or None if it is not finite."""
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None


def _share(count: int | None, total: int) -> float | None:
    return None if count is None or not total else count / total
