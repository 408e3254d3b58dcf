"""Which elements of a delta stay: the largest (TIES), a random part (DARE), the larger the likelier (DELLA).

And by which factor those that stay make up for those that do not.
"""

from __future__ import annotations

import math
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from birdbone.vault.errors import UnmergeableError
from birdbone.vault.merging.blocks import (
    BLOCK,
    Array,
    Floats,
    Part,
    as_floats,
    blocks_of,
    flat,
    read_delta,
    read_finite,
    run,
)

Rescale = Literal["none", "l1", "density"]
"""How a delta makes up for what was dropped: not; to its L1 norm before (mergekit); by 1/density (the paper)."""

_SAMPLE = 1 << 14  # elements that the search for a threshold looks at first
_SAMPLE_MARGIN = 6.0  # standard deviations of the sample's rank; beyond them (1 in 10**9) the search starts again
_MIN_NORM = 1e-7  # mergekit's: below it a delta is not rescaled
_BITS = 32  # random bits an element


def draw_bits(generator: np.random.Generator, num_elements: int) -> NDArray[np.uint32]:
    """Return the random bits that DARE or DELLA would use for the next model: 32 an element, in C order.

    DARE keeps an element whose bits are below density · 2³²; DELLA one whose upper 24 bits are below p · 2²⁴.
    """
    stream = Stream.of(generator)
    bits = [stream.bits(part) for part in blocks_of(num_elements)]
    return np.concatenate([np.empty(0, np.uint32), *bits])


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Which elements of a delta stay, and the factor on them.

    With a mask: where it is true. Without: magnitudes above `threshold`, and those equal to it before element `end`.
    """

    mask: NDArray[np.bool_] | None = None
    threshold: float = -1.0
    end: int = 0
    factor: float = 1.0

    @property
    def is_all(self) -> bool:
        """Nothing is dropped."""
        return self.mask is None and self.threshold < 0

    def trim(self, delta: Floats, part: Part) -> None:
        """Set what does not stay to zero, in place; magnitudes are as good as the delta itself."""
        if self.is_all:
            return
        if self.mask is not None:
            np.multiply(delta, self.mask[part.slice], out=delta)
            return
        size = np.abs(delta)
        split = min(max(self.end - part.start, 0), len(delta))
        np.multiply(delta[:split], size[:split] >= np.float32(self.threshold), out=delta[:split])
        np.multiply(delta[split:], size[split:] > np.float32(self.threshold), out=delta[split:])


@dataclass(frozen=True, slots=True)
class Stream:
    """Random bits block by block: block b of a stream is the same whoever asks for it, and when."""

    entropy: tuple[int, ...]

    @classmethod
    def of(cls, generator: np.random.Generator) -> Stream:
        """Return the next stream that a generator seeds."""
        words = generator.integers(0, 1 << 32, size=4, dtype=np.uint32)
        return cls(tuple(int(word) for word in words))

    def bits(self, part: Part) -> NDArray[np.uint32]:
        """Return 32 random bits for each element of a block."""
        seed = np.random.SeedSequence(self.entropy, spawn_key=(part.number,))
        num = part.stop - part.start
        words = np.random.Generator(np.random.SFC64(seed)).integers(
            0, (1 << 64) - 1, size=-(-num // 2), dtype=np.uint64, endpoint=True
        )
        return words.astype("<u8", copy=False).view("<u4")[:num]


def keep_largest(base: Array, tensor: Array, *, density: float, pool: Executor | None) -> Kept:
    """Return the cut that keeps exactly k = max(1, ⌊density N⌋) elements of the delta."""
    num = base.size
    if density >= 1 or not num:
        return Kept()
    if density <= 0:
        return Kept(threshold=math.inf)
    start, source = flat(base), flat(tensor)
    num_kept = max(1, int(density * num))
    low, high = _bracket(start, source, num_kept=num_kept)
    found = _search(start, source, num_kept=num_kept, low=low, high=high, pool=pool)
    if found is None:  # the sample misled us
        found = _search(start, source, num_kept=num_kept, low=np.float32(0), high=np.float32(np.inf), pool=pool)
    assert found is not None
    return found


def _bracket(start: Array, source: Array, *, num_kept: int) -> tuple[np.float32, np.float32]:
    """Return magnitudes between which the threshold very likely lies, from a sample at equal steps."""
    step = len(start) // _SAMPLE
    if step < 2:
        return np.float32(0), np.float32(np.inf)
    sizes = np.sort(np.abs(as_floats(source[::step]) - as_floats(start[::step])))[::-1]
    share = num_kept / len(start)
    rank = share * len(sizes)
    margin = _SAMPLE_MARGIN * math.sqrt(len(sizes) * share * (1 - share)) + _SAMPLE_MARGIN
    above, below = math.floor(rank - margin), math.ceil(rank + margin)
    low = sizes[below] if below < len(sizes) else np.float32(0)
    return low, sizes[above] if above >= 0 else np.float32(np.inf)


def _search(
    start: Array, source: Array, *, num_kept: int, low: np.float32, high: np.float32, pool: Executor | None
) -> Kept | None:
    """Return the exact cut if it lies between `low` and `high`, else None."""

    def gather(part: Part) -> tuple[int, Floats]:
        size = _sizes(start, source, part)
        above = size > high
        between = size >= low
        between ^= above
        return int(np.count_nonzero(above)), np.compress(between, size)

    parts = blocks_of(len(start))
    gathered = run(gather, parts, pool)
    rank = num_kept - sum(count for count, _ in gathered)
    candidates = np.concatenate([sizes for _, sizes in gathered])
    if not 0 < rank <= len(candidates):
        return None
    candidates.partition(len(candidates) - rank)
    threshold = candidates[len(candidates) - rank]
    num_equal = rank - int(np.count_nonzero(candidates > threshold))
    for part, (_, sizes) in zip(parts, gathered, strict=True):
        here = int(np.count_nonzero(sizes == threshold))
        if num_equal <= here:
            places = np.flatnonzero(_sizes(start, source, part) == threshold)
            return Kept(threshold=float(threshold), end=part.start + int(places[num_equal - 1]) + 1)
        num_equal -= here
    raise AssertionError("fewer elements at the threshold than were counted")


def _sizes(start: Array, source: Array, part: Part) -> Floats:
    delta = read_delta(source, read_finite(start, part), part)
    return np.abs(delta, out=delta)


def keep_at_random(stream: Stream, num: int, *, density: float, pool: Executor | None) -> Kept:
    """Keep each of `num` elements with probability `density`."""
    if density >= 1:
        return Kept()
    mask = np.empty(num, np.bool_)
    limit = np.uint32(min(round(max(density, 0.0) * 2.0**_BITS), (1 << _BITS) - 1))

    def draw(part: Part) -> None:
        np.less(stream.bits(part), limit, out=mask[part.slice])

    run(draw, blocks_of(num), pool)
    return Kept(mask=mask)


def keep_at_random_by_rank(
    stream: Stream, base: Array, tensor: Array, *, density: float, epsilon: float, pool: Executor | None
) -> Kept:
    """Keep elements the likelier, the larger they are in their row: see `merge_della`.

    Raises:
        UnmergeableError: density ± ε is not within (0, 1).
    """
    if density >= 1 or not base.size:
        return Kept()
    if density <= 0:
        return Kept(mask=np.zeros(base.size, np.bool_))
    if not (density - epsilon > 0 and density + epsilon < 1):
        raise UnmergeableError(
            f"DELLA needs density ± epsilon within (0, 1); density {density:g} and epsilon {epsilon:g} came.",
            hint="Give a smaller epsilon, or a density nearer to 0.5.",
        )
    shape = base.shape if base.ndim > 1 else (1, base.size)
    start, source = base.reshape(shape), tensor.reshape(shape)
    chance = np.empty(shape, np.uint32)  # the bits first, then what they are compared with
    mask = np.empty(shape, np.bool_)
    flat = chance.reshape(-1)

    def draw(part: Part) -> None:
        flat[part.slice] = stream.bits(part)

    def compare(rows: Part) -> None:
        sizes = np.abs(as_floats(source[rows.slice]) - as_floats(start[rows.slice]))
        limit = _ranked_probability(sizes, density=density, epsilon=epsilon) * np.float32(2.0**24)
        np.less((chance[rows.slice] >> 8).astype(np.float32), limit, out=mask[rows.slice])

    run(draw, blocks_of(base.size), pool)
    row_size = base.size // shape[0]
    run(compare, blocks_of(shape[0], step=max(1, BLOCK // row_size)), pool)
    return Kept(mask=mask.reshape(-1))


def _ranked_probability(sizes: Floats, *, density: float, epsilon: float) -> Floats:
    """Return density - ε + 2ε · rank/(n - 1), rank 0 for the smallest along axis 1; rounded as mergekit rounds it."""
    num = sizes.shape[1]
    if num == 1:
        return np.full_like(sizes, density)
    rows = np.ascontiguousarray(np.moveaxis(sizes, 1, -1))
    # Magnitude above, place below: unique keys, so the fast unstable sort ranks equal magnitudes by their place.
    keys = (rows.view(np.uint32).astype(np.uint64) << 32) | np.arange(num, dtype=np.uint64)
    keys.sort(axis=-1)
    rank = np.empty(rows.shape, np.float32)
    places = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    np.put_along_axis(rank, places, np.arange(num, dtype=np.float32)[(None,) * (rank.ndim - 1)], axis=-1)
    rank /= np.float32(num - 1)
    rank *= np.float32(2)
    rank *= np.float32(epsilon)
    rank += np.float32(density - epsilon)
    return np.moveaxis(rank, -1, 1)


def rescaled(
    kept: Kept, base: Array, tensor: Array, *, density: float, rescale: Rescale, pool: Executor | None
) -> Kept:
    """Return the choice with the factor that makes up for what it drops."""
    if rescale == "none" or kept.is_all or density <= 0:
        return kept
    if rescale == "density":
        return Kept(mask=kept.mask, threshold=kept.threshold, end=kept.end, factor=1 / density)
    start, source = flat(base), flat(tensor)

    def norms(part: Part) -> tuple[float, float]:
        sizes = _sizes(start, source, part)
        before = float(sizes.sum())  # NumPy sums pairwise: good to 1e-7 within a block
        kept.trim(sizes, part)
        return before, float(sizes.sum())

    sums = run(norms, blocks_of(len(start)), pool)
    before, after = (sum(column) for column in zip(*sums, strict=True)) if sums else (0.0, 0.0)
    factor = before / after if before >= _MIN_NORM and after >= _MIN_NORM else 1.0
    return Kept(mask=kept.mask, threshold=kept.threshold, end=kept.end, factor=factor)
