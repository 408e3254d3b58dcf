"""How each changed tensor differs by value, from the bytes of both sides.

Symbols: b before, a after, both flattened to float64. L2 = |a - b|; relative L2 = |a - b| / |b|; cosine =
<a, b> / (|a| |b|). The mask of a tensor is the set of its elements that are not zero; the Jaccard index of two masks is
|both| / |either| (Jaccard 1901), 1 where no mask changed. Figures that are not defined (a NaN in the tensor, a zero
norm, a changed shape) are None, never a stand-in number.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdbone.vault.diff.effective_rank import MAX_EXACT_SIDE, Basis, compare_ranks, spectral_sums
from birdbone.vault.diff.levels import count_levels, count_row_levels
from birdbone.vault.diff.names import diff_manifests
from birdbone.vault.diff.sums import ElementSums, cosine, sum_elements
from birdbone.vault.folder import Vault
from birdbone.vault.formats.elements import as_float32, is_float, is_readable
from birdbone.vault.formats.safetensors import DTYPE_BITS
from birdbone.vault.records import TensorEntry
from birdbone.vault.refs.lookup import read_manifest
from birdbone.vault.store.objects import read_object

_SIGNIFICANT_DIGITS = 9  # what is left alike on machines whose sums run in another order
_MAX_THREADS = 8  # each holds two tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorDiff:
    """How one changed tensor differs. A count is of elements; None where the two cannot be compared."""

    name: str
    dtype_before: str
    dtype_after: str
    shape_before: tuple[int, ...]
    shape_after: tuple[int, ...]
    num_elements: int
    """Of the tensor after."""
    num_changed: int | None = None
    """Elements whose bits differ; whose value differs, if the dtype does."""
    num_zeroed: int | None = None
    num_regrown: int | None = None
    num_zero_before: int | None = None
    num_zero_after: int | None = None
    l2: float | None = None
    l2_before: float | None = None
    """|b|."""
    l2_after: float | None = None
    """|a|."""
    cosine: float | None = None
    rank_before: float | None = None
    """Entropy effective rank of the tensor as a matrix: its first dimension by all others. Floating dtypes only."""
    rank_after: float | None = None
    rank_change: float | None = None
    """`rank_after - rank_before`, from unrounded ranks."""
    rank_basis: Basis | None = None
    """`measured`, or `estimated` for large matrices (`birdbone.vault.diff.effective_rank`)."""
    rank_error_before: float | None = None
    """Standard error of the estimate."""
    rank_error_after: float | None = None
    rank_error_change: float | None = None
    """Standard error of `rank_after - rank_before`: smaller than both, since the noise is shared."""
    levels_before: int | None = None
    """Distinct values, where so few that they tell of rounding (`birdbone.vault.diff.levels`)."""
    levels_after: int | None = None
    row_levels_before: int | None = None
    """The most distinct values in a row, likewise."""
    row_levels_after: int | None = None

    @property
    def sparsity_before(self) -> float | None:
        """Share of zeros before, 0 to 1."""
        return _share(self.num_zero_before, self.num_elements)

    @property
    def sparsity_after(self) -> float | None:
        """Share of zeros after, 0 to 1."""
        return _share(self.num_zero_after, self.num_elements)

    @property
    def relative_l2(self) -> float | None:
        """|a - b| / |b|."""
        return None if self.l2 is None or not self.l2_before else rounded(self.l2 / self.l2_before)

    @property
    def mask_jaccard(self) -> float | None:
        """Jaccard index of the masks, 0 to 1; None if neither has an element."""
        return jaccard(self.num_elements, self.num_zero_before, self.num_zero_after, self.num_zeroed)

    @property
    def bits_before(self) -> int:
        """Bits of an element before."""
        return DTYPE_BITS[self.dtype_before]

    @property
    def bits_after(self) -> int:
        """Bits of an element after."""
        return DTYPE_BITS[self.dtype_after]

    @property
    def is_requantized(self) -> bool:
        """Whether the dtype or the number of levels changed."""
        before = (self.dtype_before, self.levels_before, self.row_levels_before)
        return before != (self.dtype_after, self.levels_after, self.row_levels_after)


def diff_tensors(
    vault: Vault,
    before: str,
    after: str,
    *,
    has_ranks: bool = True,
    max_exact_side: int = MAX_EXACT_SIDE,
    num_threads: int | None = None,
) -> list[TensorDiff]:
    """Return how each tensor that both have and that changed differs, by name.

    Args:
        before: a ref, a version or an artefact.
        after: likewise.
        has_ranks: whether effective ranks are computed: about two thirds of the time.
        max_exact_side: matrices whose shorter side is longer have their rank estimated. Exact ranks of a side of 1,000
            take a tenth of a second each, and the library's own threads.
        num_threads: None for one a core that this process may use, at most 8. No figure depends on it.

    A tensor that kept its digest is not read. Each thread holds two tensors at once.

    Raises:
        CorruptObjectError, MissingObjectError: the store is damaged.
        UnknownNameError: there is no such thing.
    """
    old, new = read_manifest(vault, before), read_manifest(vault, after)
    old_tensors, new_tensors = old.tensors(), new.tensors()
    changed = diff_manifests(old, new).tensors.changed
    pairs = [(name, old_tensors[name], new_tensors[name]) for name in changed]
    pairs.sort(key=lambda pair: -pair[2].size_bytes)  # the largest first, so that no thread ends long after the others

    def diff(pair: tuple[str, TensorEntry, TensorEntry]) -> TensorDiff:
        return _diff_tensor(vault, *pair, has_ranks=has_ranks, max_exact_side=max_exact_side)

    with ThreadPoolExecutor(num_threads or _num_threads()) as pool:
        found = list(pool.map(diff, pairs))
    return sorted(found, key=lambda tensor: tensor.name)


def _num_threads() -> int:
    return min(_MAX_THREADS, len(os.sched_getaffinity(0)))


def _diff_tensor(
    vault: Vault, name: str, before: TensorEntry, after: TensorEntry, *, has_ranks: bool, max_exact_side: int
) -> TensorDiff:
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
    old, new = (memoryview(read_object(vault, "blobs", entry.digest)) for entry in (before, after))
    sums = sum_elements(old, new, dtypes=(before.dtype, after.dtype))
    figures = {**_figures(sums), **_levels("before", old, before), **_levels("after", new, after)}
    if has_ranks and is_float(before.dtype) and is_float(after.dtype) and _is_finite(sums):
        figures |= _ranks(_matrix(old, before), _matrix(new, after), max_exact_side=max_exact_side)
    return TensorDiff(**frame, **figures)


def _figures(sums: ElementSums) -> dict[str, Any]:
    found = cosine(sums.squares_before, sums.squares_after, sums.product)
    return {
        "num_changed": sums.changed,
        "num_zeroed": sums.zeroed,
        "num_regrown": sums.regrown,
        "num_zero_before": sums.zero_before,
        "num_zero_after": sums.zero_after,
        "l2": rounded(math.sqrt(sums.squares_difference)),
        "l2_before": rounded(math.sqrt(sums.squares_before)),
        "l2_after": rounded(math.sqrt(sums.squares_after)),
        "cosine": None if found is None else rounded(found),
    }


def _levels(side: str, raw: memoryview, entry: TensorEntry) -> dict[str, Any]:
    return {
        f"levels_{side}": count_levels(raw, entry.dtype),
        f"row_levels_{side}": count_row_levels(raw, entry.dtype, entry.shape),
    }


def _ranks(before: NDArray[np.float32], after: NDArray[np.float32], *, max_exact_side: int) -> dict[str, Any]:
    old = spectral_sums(before, max_exact_side=max_exact_side)
    new = spectral_sums(after, max_exact_side=max_exact_side)
    if old is None or new is None:
        return {}
    change = compare_ranks(old, new)
    return {
        "rank_before": change.before,
        "rank_after": change.after,
        "rank_change": change.change,
        "rank_basis": change.basis,
        "rank_error_before": change.error_before,
        "rank_error_after": change.error_after,
        "rank_error_change": change.error_change,
    }


def _matrix(raw: memoryview, entry: TensorEntry) -> NDArray[np.float32]:
    rows = entry.shape[0] if len(entry.shape) > 1 else 1
    return as_float32(raw, entry.dtype).reshape(rows, math.prod(entry.shape[1:]) if len(entry.shape) > 1 else -1)


def _is_finite(sums: ElementSums) -> bool:
    return math.isfinite(sums.squares_before) and math.isfinite(sums.squares_after)


def jaccard(
    num_elements: int, num_zero_before: int | None, num_zero_after: int | None, num_zeroed: int | None
) -> float | None:
    """Return |both| / |either| of the elements that are not zero before and after; None if there is none."""
    if num_zero_before is None or num_zero_after is None or num_zeroed is None:
        return None
    zero_in_both = num_zero_after - num_zeroed
    either = num_elements - zero_in_both
    both = num_elements - num_zero_before - num_zero_after + zero_in_both
    return rounded(both / either) if either else None


def rounded(value: float) -> float | None:
    """Return `value` with nine significant digits, or None if it is not finite."""
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None


def _share(count: int | None, total: int) -> float | None:
    return None if count is None or not total else count / total
