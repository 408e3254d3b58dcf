"""Putting back only the mask of a tensor: which positions are zero, or what stood where a zero is now.

Symbols, element by element over one tensor: o the old state, b the state right after what is undone, t the tip.
Compared by bits, so a NaN equals the same NaN; a zero of either sign is zero.

- `values`: where o is not zero and b is (a position that was zeroed), t becomes o. "Give back what was pruned."
- `zeros`: where o is zero and b is not (a position that grew), t becomes o. "Prune again what has grown."

A position of that kind at which t is neither b nor o was changed later: a conflict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from birdbone.vault.folder import Vault
from birdbone.vault.formats.elements import as_bits, as_float64, is_readable
from birdbone.vault.records import TensorEntry
from birdbone.vault.store.objects import read_object

OnlyMask = Literal["values", "zeros"]
Conflicts = Literal["refuse", "keep", "take"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskReturn:
    """One tensor with part of its positions put back."""

    content: bytes
    num_returned: int
    num_conflicts: int


def can_return_mask(old: TensorEntry | None, base: TensorEntry | None, tip: TensorEntry | None) -> bool:
    """Return whether the three states of a tensor can be compared position by position."""
    entries = [entry for entry in (old, base, tip) if entry is not None]
    is_alike = len({(entry.dtype, entry.shape) for entry in entries}) == 1
    return len(entries) == 3 and is_alike and is_readable(entries[0].dtype)


def return_mask(
    vault: Vault, old: TensorEntry, base: TensorEntry, tip: TensorEntry, *, only: OnlyMask, take: bool
) -> MaskReturn:
    """Return the tip's tensor with the positions that `only` means put back, as the head of this module defines.

    Args:
        take: whether positions in conflict are put back as well.

    Four copies of the tensor are in memory at once.
    """
    raw_old, raw_base, raw_tip = (read_object(vault, "blobs", entry.digest) for entry in (old, base, tip))
    bits_old, bits_base, bits_tip = (as_bits(memoryview(raw), tip.dtype) for raw in (raw_old, raw_base, raw_tip))
    old_zero, base_zero = _is_zero(raw_old, tip.dtype), _is_zero(raw_base, tip.dtype)
    meant = ~old_zero & base_zero if only == "values" else old_zero & ~base_zero
    meant &= bits_tip != bits_old
    in_conflict = meant & (bits_tip != bits_base)
    returned = meant if take else meant & ~in_conflict
    return MaskReturn(
        content=np.where(returned, bits_old, bits_tip).astype(bits_tip.dtype).tobytes(),
        num_returned=int(np.count_nonzero(returned)),
        num_conflicts=int(np.count_nonzero(in_conflict)),
    )


def _is_zero(raw: bytes, dtype: str) -> NDArray[np.bool_]:
    return np.asarray(as_float64(memoryview(raw), dtype) == 0)
