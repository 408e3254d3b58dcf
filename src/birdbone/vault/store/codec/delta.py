"""One block of elements as a change of another: what was shed, what grew back, and how the survivors differ.

Symbols: P the elements of the block that lies below (after a low-rank update, if there is one), C those of this one,
both as bits. An element counts as zero if all bits but its sign are. Sections, in this order:

- shed: one flag for each nonzero of P, set where C is zero; then what sign the zeros have: none, P's, or one flag each
- grown: one flag for each zero of P, set where C differs; then the planes of C there
- survivors, nonzero in both: C xor P; nothing, planes of all, or one flag each and planes of those that differ

Each is left out where it says nothing, so a wave of pruning costs little more than the entropy of its mask.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from birdbone.vault.store.codec.planes import Cursor, Elements, bits, planes

Flags = NDArray[np.bool_]
_Item = TypeVar("_Item", bound=np.generic)

_NONE, _PARENT, _FLAGS = 0, 1, 2
_DENSE = 1
_DENSE_FROM = 0.35  # of the survivors differ: from there on flags cost more than the zeros that they save
_SHED, _GROWN = 1, 2


def encode_delta(below: Elements, above: Elements) -> list[bytes]:
    """Return the parts that make `above` from `below`; both have shape (n,) and one unsigned dtype."""
    differs = below != above
    was_alive = is_nonzero(below)
    became_zero = differs & (above == 0)
    num_shed = int(np.count_nonzero(became_zero))
    if num_shed == np.count_nonzero(differs) and num_shed == np.count_nonzero(became_zero & was_alive):
        # the common case: weights were shed, and nothing else happened
        shed = [] if not num_shed else [*bits(_among(became_zero, was_alive)), bytes([_NONE])]
        return [bytes([_SHED * bool(num_shed)]), *shed, bytes([_NONE])]
    return _encode_any(below, above, differs, was_alive)


def decode_delta(cursor: Cursor, below: Elements) -> Elements:
    """Return the block that `encode_delta` was given as `above`.

    Raises:
        ValueError: the sections do not fit the block.
    """
    (has,) = cursor.take(1)
    found = below.copy()
    alive = is_nonzero(below)
    num_alive = int(np.count_nonzero(alive))
    survives = alive
    if has & _SHED:
        shed = _spread(cursor.bits(num_alive), alive)
        _set_zeros(cursor, found, shed)
        survives = alive & ~shed
    if has & _GROWN:
        grown = np.zeros(len(below), np.bool_)
        grown[~alive] = cursor.bits(len(below) - num_alive)
        found[grown] = cursor.planes(int(np.count_nonzero(grown)), below.dtype.itemsize)
    _read_survivors(cursor, found, survives)
    return found


def _encode_any(below: Elements, above: Elements, differs: Flags, was_alive: Flags) -> list[bytes]:
    is_alive = is_nonzero(above)
    shed, grown = was_alive > is_alive, differs > was_alive
    has_shed, has_grown = bool(shed.any()), bool(grown.any())
    parts = [bytes([_SHED * has_shed | _GROWN * has_grown])]
    if has_shed:
        parts += bits(_among(shed, was_alive)) + _signs(below, above, shed)
    if has_grown:
        parts += bits(grown[~was_alive]) + planes(above[grown])
    survives = was_alive & is_alive
    return parts + _survivors(below ^ above, differs & survives, survives)


def is_nonzero(elements: Elements) -> Flags:
    """Return where any bit but the sign is set."""
    flags: Flags = (elements << np.uint8(1)) != 0
    return flags


def _among(values: NDArray[_Item], chosen: Flags) -> NDArray[_Item]:
    """Return `values[chosen]`, without a copy where all are chosen."""
    return values if chosen.all() else values[chosen]


def _spread(flags: Flags, alive: Flags) -> Flags:
    """Return the flags of the nonzeros as flags of all elements."""
    if len(flags) == len(alive):
        return flags
    spread = np.zeros(len(alive), np.bool_)
    spread[alive] = flags
    return spread


def _signs(below: Elements, above: Elements, shed: Flags) -> list[bytes]:
    is_negative = shed & (above != 0)
    if not is_negative.any():
        return [bytes([_NONE])]
    was_negative = shed & (below >= _sign_of(below))
    if np.array_equal(is_negative, was_negative):
        return [bytes([_PARENT])]
    return [bytes([_FLAGS]), *bits(is_negative[shed])]


def _set_zeros(cursor: Cursor, found: Elements, shed: Flags) -> None:
    """Shed elements in place; arithmetic over all of them is quicker than choosing some by flags."""
    (form,) = cursor.take(1)
    sign = _sign_of(found)
    if form == _NONE:
        np.multiply(found, ~shed, out=found)
    elif form == _PARENT:
        np.bitwise_and(found, np.where(shed, sign, ~sign | sign), out=found)
    else:
        found[shed] = np.multiply(cursor.bits(int(np.count_nonzero(shed))), sign, dtype=found.dtype)


def _sign_of(elements: Elements) -> np.unsignedinteger:
    return elements.dtype.type(1 << (8 * elements.dtype.itemsize - 1))  # type: ignore[no-any-return]


def _survivors(change: Elements, differs: Flags, survives: Flags) -> list[bytes]:
    num_differing = int(np.count_nonzero(differs))
    if num_differing == 0:
        return [bytes([_NONE])]
    if num_differing > _DENSE_FROM * np.count_nonzero(survives):
        return [bytes([_DENSE]), *planes(_among(change, survives))]
    return [bytes([_FLAGS]), *bits(_among(differs, survives)), *planes(change[differs])]


def _read_survivors(cursor: Cursor, found: Elements, survives: Flags) -> None:
    (form,) = cursor.take(1)
    if form == _NONE:
        return
    count, width = int(np.count_nonzero(survives)), found.dtype.itemsize
    if form == _DENSE:
        change = cursor.planes(count, width)
    else:
        differs = cursor.bits(count)
        change = np.zeros(count, found.dtype)
        change[differs] = cursor.planes(int(np.count_nonzero(differs)), width)
    if count == len(found):
        found ^= change
    else:
        found[survives] ^= change
