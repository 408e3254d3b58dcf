"""The arithmetic of merging: linear, SLERP, task arithmetic, TIES, DARE and DELLA, on arrays, without I/O.

Shapes: N elements of a tensor in C order, M models over a base. Symbols: θ₀ base, θₘ model, δₘ = θₘ - θ₀ its delta (the
"task vector"), wₘ its weight, λ the scale of the merged delta.

Arrays are float32, float16, or uint16 that hold the bits of bfloat16; all arrays of one merge have one shape and dtype,
and so has the result. Inside, everything is float32; sums over a tensor are float64. Results are rounded once, to the
nearest, ties to even. Conventions and defaults are those of mergekit 0.1.5 with its working dtype set to float32
(`density`, `weight`, `lambda` = `scale`, `normalize`, `rescale`, `epsilon`, `int8_mask` false); each function says
where it differs.

Theory of operation. A tensor is walked in blocks that fit a core's second-level cache. A block's result depends only on
the block (random bits too: each block has a stream of its own), and sums over blocks are added in the order of the
blocks, so a thread pool changes the speed and not one bit of the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from birdbone.vault.errors import UnmergeableError

Array = NDArray[Any]
Floats = NDArray[np.float32]
Consensus = Literal["sum", "count"]
"""How the sign of an element is elected: by the sum of the weighted deltas (TIES), or by the number of models."""
Rescale = Literal["none", "l1", "density"]
"""How a delta makes up for what was dropped: not; to its L1 norm before (mergekit); by 1/density (the paper)."""

_BLOCK = 1 << 16  # 256 KiB as float32: a handful of them stay in the second-level cache
_SAMPLE = 1 << 14  # elements that the search for a threshold looks at first
_SAMPLE_MARGIN = 6.0  # standard deviations of the sample's rank; beyond them (1 in 10**9) the search starts again
_NORM_ROW = 1 << 10  # float32 products summed before float64 takes over
_MIN_NORM = 1e-7  # mergekit's: below it a delta is not rescaled
_MIN_WEIGHT = 1e-8  # mergekit's: a sum of weights below it does not divide
_BITS = 32  # random bits an element

_Result = TypeVar("_Result")


def merge_linear(
    tensors: Sequence[Array], *, weights: Sequence[float], normalize: bool = True, pool: Executor | None = None
) -> Array:
    """Return Σ wₘ θₘ, divided by Σ wₘ if `normalize`.

    A model of weight 0 is not read, so weights 1 and 0 give the first model bit for bit.

    Raises:
        UnmergeableError: shapes, dtypes or numbers of weights differ, a value is not finite, the weights sum to 0.
    Source: Wortsman et al. 2022, arXiv:2203.05482.
    """
    _check_alike(tensors)
    _check_count(tensors, weights=weights)
    divisor = float(np.sum(np.asarray(weights, np.float32))) if normalize else 1.0
    if abs(divisor) < _MIN_WEIGHT:
        raise UnmergeableError(f"The weights {list(weights)} sum to 0, so nothing can be divided by their sum.")
    terms = [(tensor, weight) for tensor, weight in zip(tensors, weights, strict=True) if weight]
    return _weighted_sum(terms, divisor=divisor, like=tensors[0], pool=pool)


def merge_slerp(
    first: Array,
    second: Array,
    *,
    t: float,
    dot_threshold: float = 0.9995,
    min_norm: float = 1e-8,
    pool: Executor | None = None,
) -> Array:
    """Return the point at `t` (0 first, 1 second) on the great circle between two tensors, each taken as one vector.

    [sin((1-t)θ) first + sin(tθ) second] / sin θ, with θ the angle between them; linear, as mergekit does it, where
    |cos θ| > `dot_threshold`. Vectors are not brought to one length. A vector no longer than `min_norm` counts as of
    length 1 in the angle. t = 0 and t = 1 give the parents bit for bit.

    Raises:
        UnmergeableError: shapes or dtypes differ, or a value is not finite.
    Source: Shoemake 1985, doi:10.1145/325165.325242.
    """
    _check_alike([first, second])
    cosine = _cosine(first, second, min_norm=min_norm, pool=pool) if t not in (0, 1) else 1.0
    if abs(cosine) > dot_threshold:
        weights = (1.0 - t, t)
    else:
        angle = math.acos(cosine)
        weights = (math.sin((1.0 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle))
    terms = [(tensor, weight) for tensor, weight in zip((first, second), weights, strict=True) if weight]
    return _weighted_sum(terms, divisor=1.0, like=first, pool=pool)


def merge_task_arithmetic(
    base: Array,
    tensors: Sequence[Array],
    *,
    weights: Sequence[float],
    normalize: bool = False,
    scale: float = 1.0,
    pool: Executor | None = None,
) -> Array:
    """Return θ₀ + λ Σ wₘ δₘ, the sum divided by Σ wₘ if `normalize`.

    Raises:
        UnmergeableError: shapes, dtypes or numbers of weights differ, or a value is not finite.
    Source: Ilharco et al. 2023, arXiv:2212.04089, section 2.
    """
    return _merge_over_base(base, tensors, weights=weights, keep=_keep_all, normalize=normalize, scale=scale, pool=pool)


def merge_ties(
    base: Array,
    tensors: Sequence[Array],
    *,
    weights: Sequence[float],
    densities: Sequence[float],
    consensus: Consensus = "sum",
    normalize: bool = True,
    rescale: Rescale = "none",
    scale: float = 1.0,
    pool: Executor | None = None,
) -> Array:
    """Return θ₀ + λ times the mean of the largest deltas, over those models that agree with the elected sign.

    Of each delta exactly k = max(1, ⌊density · N⌋) elements stay (none for density 0, all from 1 on): those of the
    largest magnitude; among equal magnitudes at the threshold, those that come first in C order. mergekit keeps as
    many, but leaves the choice among equal ones to `torch.argsort` without `stable`, so it is not specified there. An
    element that is 0 after trimming has no say and no share. If the deltas cancel, + is elected.

    Raises:
        UnmergeableError: shapes, dtypes or numbers of weights differ, or a value is not finite.
    Source: Yadav et al. 2023, arXiv:2306.01708, algorithm 1. Symbols: k = density, λ = scale. Differs: a weight for
    each model (the paper has 1), which also counts in the election and in the mean.
    Cost: the threshold is found by sampling and one pass (Floyd & Rivest 1975, doi:10.1145/360680.360691), not a sort.
    """
    _check_count(tensors, weights=weights, densities=densities)

    def keep(model: int) -> _Kept:
        cut = _find_cut(base, tensors[model], density=densities[model], pool=pool)
        return _rescaled(cut, base, tensors[model], density=densities[model], rescale=rescale, pool=pool)

    return _merge_over_base(
        base, tensors, weights=weights, keep=keep, consensus=consensus, normalize=normalize, scale=scale, pool=pool
    )


def merge_dare(
    base: Array,
    tensors: Sequence[Array],
    *,
    generator: np.random.Generator,
    weights: Sequence[float],
    densities: Sequence[float],
    consensus: Consensus | None = "sum",
    normalize: bool = False,
    rescale: Rescale = "l1",
    scale: float = 1.0,
    pool: Executor | None = None,
) -> Array:
    """Return θ₀ + λ Σ wₘ δₘ with each element of each delta kept with probability `density`, and the rest made up for.

    With `consensus` this is mergekit's `dare_ties`, without it `dare_linear`. From density 1 on nothing is dropped.
    With `rescale="density"` the result's expectation (no consensus, no `normalize`) is that of task arithmetic.

    Args:
        generator: gives one seed a model, in their order, whatever the densities; see `draw_bits`.

    Raises:
        UnmergeableError: shapes, dtypes or numbers of weights differ, or a value is not finite.
    Source: Yu et al. 2024, arXiv:2311.03099, eq. 2-4. Symbols: 1 - p = density. Differs: the paper rescales by
    1/(1 - p), which is `rescale="density"`; the default is mergekit's, to the delta's L1 norm before the drop.
    """
    _check_count(tensors, weights=weights, densities=densities)
    streams = [_Stream.of(generator) for _ in tensors]

    def keep(model: int) -> _Kept:
        mask = _draw_mask(streams[model], base.size, density=densities[model], pool=pool)
        return _rescaled(mask, base, tensors[model], density=densities[model], rescale=rescale, pool=pool)

    return _merge_over_base(
        base, tensors, weights=weights, keep=keep, consensus=consensus, normalize=normalize, scale=scale, pool=pool
    )


def merge_della(
    base: Array,
    tensors: Sequence[Array],
    *,
    generator: np.random.Generator,
    weights: Sequence[float],
    densities: Sequence[float],
    epsilons: Sequence[float],
    consensus: Consensus | None = "sum",
    normalize: bool = True,
    rescale: Rescale = "l1",
    scale: float = 1.0,
    pool: Executor | None = None,
) -> Array:
    """Return the merge of deltas whose elements are kept the more likely, the larger they are in their row.

    The probability grows linearly with the rank in the row, from density - ε (smallest) to density + ε (largest). Equal
    magnitudes rank in C order (not specified in mergekit). Rows lie along axis 1, as in mergekit, or along the only
    axis; a row of one element is kept with probability `density`. From density 1 on nothing is dropped, at 0 all of
    it. With `consensus` this is mergekit's `della`, without it (and without `normalize`) its `della_linear`.

    Args:
        generator: gives one seed a model, in their order, whatever the densities; see `draw_bits`.

    Raises:
        UnmergeableError: shapes, dtypes or numbers of settings differ, a value is not finite, density ± ε is not
            within (0, 1).
    Source: Deep et al. 2024, arXiv:2406.11617, section 3.1 (MAGPRUNE). Symbols: 1 - p = density. Differs: the paper
    divides each element by its own probability; here a delta is rescaled as a whole, as in mergekit.
    """
    _check_count(tensors, weights=weights, densities=densities, epsilons=epsilons)
    streams = [_Stream.of(generator) for _ in tensors]

    def keep(model: int) -> _Kept:
        mask = _draw_ranked_mask(
            streams[model], base, tensors[model], density=densities[model], epsilon=epsilons[model], pool=pool
        )
        return _rescaled(mask, base, tensors[model], density=densities[model], rescale=rescale, pool=pool)

    return _merge_over_base(
        base, tensors, weights=weights, keep=keep, consensus=consensus, normalize=normalize, scale=scale, pool=pool
    )


def draw_bits(generator: np.random.Generator, num_elements: int) -> NDArray[np.uint32]:
    """Return the random bits that DARE or DELLA would use for the next model: 32 an element, in C order.

    DARE keeps an element whose bits are below density · 2³²; DELLA one whose upper 24 bits are below p · 2²⁴.
    """
    stream = _Stream.of(generator)
    bits = [stream.bits(part) for part in _blocks(num_elements)]
    return np.concatenate([np.empty(0, np.uint32), *bits])


@dataclass(frozen=True, slots=True)
class _Part:
    """A block: its number and the elements from `start` to `stop`."""

    number: int
    start: int
    stop: int

    @property
    def slice(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """Which elements of a delta stay, and the factor on them.

    With a mask: where it is true. Without: magnitudes above `threshold`, and those equal to it before element `end`.
    """

    mask: NDArray[np.bool_] | None = None
    threshold: float = -1.0
    end: int = 0
    factor: float = 1.0

    @property
    def is_all(self) -> bool:
        return self.mask is None and self.threshold < 0

    def trim(self, delta: Floats, part: _Part, *, size: Floats) -> None:
        """Set what does not stay to zero, in place; `size` is room for the magnitudes."""
        if self.is_all:
            return
        if self.mask is not None:
            np.multiply(delta, self.mask[part.slice], out=delta)
            return
        np.abs(delta, out=size)
        split = min(max(self.end - part.start, 0), len(delta))
        np.multiply(delta[:split], size[:split] >= np.float32(self.threshold), out=delta[:split])
        np.multiply(delta[split:], size[split:] > np.float32(self.threshold), out=delta[split:])


@dataclass(frozen=True, slots=True)
class _Stream:
    """Random bits block by block: block b of a stream is the same whoever asks for it, and when."""

    entropy: tuple[int, ...]

    @classmethod
    def of(cls, generator: np.random.Generator) -> _Stream:
        words = generator.integers(0, 1 << 32, size=4, dtype=np.uint32)
        return cls(tuple(int(word) for word in words))

    def bits(self, part: _Part) -> NDArray[np.uint32]:
        seed = np.random.SeedSequence(self.entropy, spawn_key=(part.number,))
        num = part.stop - part.start
        words = np.random.Generator(np.random.SFC64(seed)).integers(
            0, (1 << 64) - 1, size=-(-num // 2), dtype=np.uint64, endpoint=True
        )
        return words.astype("<u8", copy=False).view("<u4")[:num]


def _merge_over_base(
    base: Array,
    tensors: Sequence[Array],
    *,
    weights: Sequence[float],
    keep: Callable[[int], _Kept],
    consensus: Consensus | None = None,
    normalize: bool,
    scale: float,
    pool: Executor | None,
) -> Array:
    _check_alike([base, *tensors])
    _check_count(tensors, weights=weights)
    kept = [keep(model) for model in range(len(tensors))]
    sources, start = [_flat(tensor) for tensor in tensors], _flat(base)
    result = np.empty_like(start)
    weights_M = np.asarray(weights, np.float32)

    def merge(part: _Part) -> None:
        origin = _read_finite(start, part)
        deltas = [_delta(source, origin, part) for source in sources]
        for delta, choice, weight in zip(deltas, kept, weights_M, strict=True):
            _weigh(delta, choice, part, weight=weight)
        mixed = _mix(deltas, weights_M, consensus=consensus, normalize=normalize)
        if scale != 1:
            mixed *= np.float32(scale)
        mixed += origin
        _write(mixed, result, part)

    _run(merge, _blocks(start.size), pool)
    return result.reshape(base.shape)


def _keep_all(_model: int) -> _Kept:
    return _Kept()


def _weigh(delta: Floats, kept: _Kept, part: _Part, *, weight: np.float32) -> None:
    kept.trim(delta, part, size=np.empty_like(delta))
    if kept.factor != 1:
        delta *= np.float32(kept.factor)
    if weight != 1:
        delta *= weight


def _mix(deltas: list[Floats], weights_M: Floats, *, consensus: Consensus | None, normalize: bool) -> Floats:
    if consensus is not None:
        return _mix_agreeing(deltas, weights_M, consensus=consensus, normalize=normalize)
    mixed = _sum_in_order(deltas)
    divisor = np.float32(np.sum(weights_M))
    if normalize and abs(divisor) >= _MIN_WEIGHT:
        mixed /= divisor
    return mixed


def _mix_agreeing(deltas: list[Floats], weights_M: Floats, *, consensus: Consensus, normalize: bool) -> Floats:
    votes = _sum_in_order(deltas if consensus == "sum" else [np.sign(delta) for delta in deltas])
    # The elected sign, ±1. A vote of -0 only comes about where every delta is 0, and then the sign is idle.
    sign = np.copysign(np.float32(1), votes, out=votes)
    mixed, divisor, room = np.zeros_like(sign), np.zeros_like(sign), np.empty_like(sign)
    for delta, weight in zip(deltas, weights_M, strict=True):
        delta *= sign
        agrees = delta > 0
        mixed += np.multiply(delta, agrees, out=room)
        if normalize:
            divisor += np.multiply(agrees, weight, out=room)
    mixed *= sign
    if normalize:
        divisor += divisor == 0
        mixed /= divisor
    return mixed


def _sum_in_order(terms: Sequence[Floats]) -> Floats:
    total = terms[0].copy()
    for term in terms[1:]:
        total += term
    return total


def _weighted_sum(terms: Sequence[tuple[Array, float]], *, divisor: float, like: Array, pool: Executor | None) -> Array:
    sources = [(_flat(tensor), np.float32(weight)) for tensor, weight in terms]
    result = np.empty_like(_flat(like))

    def add(part: _Part) -> None:
        products = [_read_finite(source, part) * weight for source, weight in sources]
        total = products[0] if len(products) == 1 else _sum_in_order(products)
        if divisor != 1:
            total /= np.float32(divisor)
        _write(total, result, part)

    _run(add, _blocks(result.size), pool)
    return result.reshape(like.shape)


def _cosine(first: Array, second: Array, *, min_norm: float, pool: Executor | None) -> float:
    x, y = _flat(first), _flat(second)

    def products(part: _Part) -> tuple[float, float, float]:
        one, two = _read_finite(x, part), _read_finite(y, part)
        return _inner(one, one), _inner(two, two), _inner(one, two)

    sums = _run(products, _blocks(x.size), pool)
    squares_x, squares_y, dot = (sum(column) for column in zip(*sums, strict=True)) if sums else (0.0, 0.0, 0.0)
    norms = [norm if (norm := math.sqrt(square)) > min_norm else 1.0 for square in (squares_x, squares_y)]
    return min(1.0, max(-1.0, dot / norms[0] / norms[1]))


def _inner(left: Floats, right: Floats) -> float:
    rows = len(left) // _NORM_ROW
    whole = rows * _NORM_ROW
    # einsum and not `dot`: a BLAS would start threads for it, and sum in another order on each machine
    body = np.einsum("ij,ij->i", left[:whole].reshape(rows, _NORM_ROW), right[:whole].reshape(rows, _NORM_ROW))
    rest = np.einsum("i,i->", left[whole:], right[whole:])
    total = float(body.sum(dtype=np.float64)) + float(rest)
    if not math.isfinite(total):
        raise UnmergeableError("A tensor's values are so large that the square of its norm is beyond float32.")
    return total


def _find_cut(base: Array, tensor: Array, *, density: float, pool: Executor | None) -> _Kept:
    """Return the cut that keeps exactly k = max(1, ⌊density N⌋) elements of the delta."""
    num = base.size
    if density >= 1 or not num:
        return _Kept()
    if density <= 0:
        return _Kept(threshold=math.inf)
    start, source = _flat(base), _flat(tensor)
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
    sizes = np.sort(np.abs(_as_floats(source[::step]) - _as_floats(start[::step])))[::-1]
    share = num_kept / len(start)
    rank = share * len(sizes)
    margin = _SAMPLE_MARGIN * math.sqrt(len(sizes) * share * (1 - share)) + _SAMPLE_MARGIN
    above, below = math.floor(rank - margin), math.ceil(rank + margin)
    low = sizes[below] if below < len(sizes) else np.float32(0)
    return low, sizes[above] if above >= 0 else np.float32(np.inf)


def _search(
    start: Array, source: Array, *, num_kept: int, low: np.float32, high: np.float32, pool: Executor | None
) -> _Kept | None:
    """Return the exact cut if it lies between `low` and `high`, else None."""

    def gather(part: _Part) -> tuple[int, Floats]:
        size = _sizes(start, source, part)
        above = size > high
        between = size >= low
        between ^= above
        return int(np.count_nonzero(above)), np.compress(between, size)

    parts = _blocks(len(start))
    gathered = _run(gather, parts, pool)
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
            return _Kept(threshold=float(threshold), end=part.start + int(places[num_equal - 1]) + 1)
        num_equal -= here
    raise AssertionError("fewer elements at the threshold than were counted")


def _sizes(start: Array, source: Array, part: _Part) -> Floats:
    delta = _delta(source, _read_finite(start, part), part)
    return np.abs(delta, out=delta)


def _draw_mask(stream: _Stream, num: int, *, density: float, pool: Executor | None) -> _Kept:
    if density >= 1:
        return _Kept()
    mask = np.empty(num, np.bool_)
    limit = np.uint32(min(round(max(density, 0.0) * 2.0**_BITS), (1 << _BITS) - 1))

    def draw(part: _Part) -> None:
        np.less(stream.bits(part), limit, out=mask[part.slice])

    _run(draw, _blocks(num), pool)
    return _Kept(mask=mask)


def _draw_ranked_mask(
    stream: _Stream, base: Array, tensor: Array, *, density: float, epsilon: float, pool: Executor | None
) -> _Kept:
    if density >= 1 or not base.size:
        return _Kept()
    if density <= 0:
        return _Kept(mask=np.zeros(base.size, np.bool_))
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

    def draw(part: _Part) -> None:
        flat[part.slice] = stream.bits(part)

    def compare(rows: _Part) -> None:
        sizes = np.abs(_as_floats(source[rows.slice]) - _as_floats(start[rows.slice]))
        limit = _ranked_probability(sizes, density=density, epsilon=epsilon) * np.float32(2.0**24)
        np.less((chance[rows.slice] >> 8).astype(np.float32), limit, out=mask[rows.slice])

    _run(draw, _blocks(base.size), pool)
    row_size = base.size // shape[0]
    _run(compare, _blocks(shape[0], step=max(1, _BLOCK // row_size)), pool)
    return _Kept(mask=mask.reshape(-1))


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


def _rescaled(
    kept: _Kept, base: Array, tensor: Array, *, density: float, rescale: Rescale, pool: Executor | None
) -> _Kept:
    if rescale == "none" or kept.is_all or density <= 0:
        return kept
    if rescale == "density":
        return _Kept(mask=kept.mask, threshold=kept.threshold, end=kept.end, factor=1 / density)
    start, source = _flat(base), _flat(tensor)

    def norms(part: _Part) -> tuple[float, float]:
        delta = _delta(source, _read_finite(start, part), part)
        before = _l1(delta)
        kept.trim(delta, part, size=np.empty_like(delta))
        return before, _l1(delta)

    sums = _run(norms, _blocks(len(start)), pool)
    before, after = (sum(column) for column in zip(*sums, strict=True)) if sums else (0.0, 0.0)
    factor = before / after if before >= _MIN_NORM and after >= _MIN_NORM else 1.0
    return _Kept(mask=kept.mask, threshold=kept.threshold, end=kept.end, factor=factor)


def _l1(delta: Floats) -> float:
    return float(np.abs(delta).sum())  # NumPy sums pairwise: good to 1e-7 within a block


def _blocks(num: int, *, step: int = _BLOCK) -> list[_Part]:
    return [_Part(number, start, min(start + step, num)) for number, start in enumerate(range(0, num, step))]


def _run(work: Callable[[_Part], _Result], parts: Iterable[_Part], pool: Executor | None) -> list[_Result]:
    parts = list(parts)
    if pool is None or len(parts) < 2:
        return [work(part) for part in parts]
    return list(pool.map(work, parts))


def _flat(tensor: Array) -> Array:
    return np.ascontiguousarray(tensor).reshape(-1)


def _delta(source: Array, origin: Floats, part: _Part) -> Floats:
    values = _read_finite(source, part)
    return np.subtract(values, origin, out=None if source.dtype == np.float32 else values)


def _read_finite(source: Array, part: _Part) -> Floats:
    values = _as_floats(source[part.slice])
    if not np.isfinite(values).all():
        raise UnmergeableError("A tensor has values that are not finite (NaN or infinite); they cannot be merged.")
    return values


def _as_floats(values: Array) -> Floats:
    """Return `values` as float32: itself if it is that already."""
    if values.dtype == np.uint16:
        return np.left_shift(values, 16, dtype=np.uint32).view(np.float32)
    return values.astype(np.float32, copy=False)


def _write(values: Floats, target: Array, part: _Part) -> None:
    if target.dtype == np.uint16:
        bits = values.view(np.uint32)
        rounded = bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))  # half of the last place, ties to even
        target[part.slice] = rounded >> 16
        is_finite = bool(((target[part.slice] & 0x7F80) != 0x7F80).all()) and bool(np.isfinite(values).all())
    else:
        with np.errstate(over="ignore"):
            target[part.slice] = values
        is_finite = bool(np.isfinite(target[part.slice]).all())
    if not is_finite:
        raise UnmergeableError("The merged tensor has values beyond the range of its dtype.")


def _check_alike(tensors: Sequence[Array]) -> None:
    if not tensors:
        raise UnmergeableError("There is nothing to merge: no tensor came.")
    if tensors[0].dtype not in (np.float32, np.float16, np.uint16):
        raise UnmergeableError(
            f"Tensors of {tensors[0].dtype} cannot be merged: float32, float16 and bfloat16 (bits as uint16) can."
        )
    for tensor in tensors[1:]:
        if (tensor.shape, tensor.dtype) != (tensors[0].shape, tensors[0].dtype):
            raise UnmergeableError(
                f"Tensors of one merge must be alike; {tensors[0].dtype} {tensors[0].shape} and "
                f"{tensor.dtype} {tensor.shape} came."
            )


def _check_count(tensors: Sequence[Array], **settings: Sequence[float]) -> None:
    if not tensors:
        raise UnmergeableError("There is nothing to merge: no tensor came.")
    for name, values in settings.items():
        if len(values) != len(tensors):
            raise UnmergeableError(f"{len(tensors)} models came, but {len(values)} {name}.")
        if not all(math.isfinite(value) for value in values):
            raise UnmergeableError(f"The {name} must be finite; {list(values)} came.")
