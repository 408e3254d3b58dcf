"""The arithmetic of merging: linear, SLERP, task arithmetic, TIES, DARE and DELLA, on arrays, without I/O.

Shapes: N elements of a tensor in C order, M models over a base. Symbols: θ₀ base, θₘ model, δₘ = θₘ - θ₀ its delta (the
"task vector"), wₘ its weight, λ the scale of the merged delta.

Arrays are float32, float16, or uint16 that hold the bits of bfloat16; all arrays of one merge have one shape and dtype,
and so has the result. Inside, everything is float32; sums over a tensor are float64. Results are rounded once, to the
nearest, ties to even. Conventions and defaults are those of mergekit 0.1.5 with its working dtype set to float32
(`density`, `weight`, `lambda` = `scale`, `normalize`, `rescale`, `epsilon`, `int8_mask` false); each function says
where it differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Literal

import numpy as np

from birdbone.vault.errors import UnmergeableError
from birdbone.vault.merging.blocks import Array, Floats, Part, blocks_of, flat, read_delta, read_finite, run, write
from birdbone.vault.merging.keeping import (
    Kept,
    Rescale,
    Stream,
    keep_at_random,
    keep_at_random_by_rank,
    keep_largest,
    rescaled,
)

Consensus = Literal["sum", "count"]
"""How the sign of an element is elected: by the sum of the weighted deltas (TIES), or by the number of models."""

_NORM_ROW = 1 << 10  # float32 products summed before float64 takes over
_MIN_WEIGHT = 1e-8  # mergekit's: a sum of weights below it does not divide


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
    length 1 in the angle; where both are, there is no angle, and the result is linear (mergekit takes a right angle: it
    differs by less than `min_norm`, but makes a tensor longer that is merged with itself). t = 0 and t = 1 give the
    parents bit for bit.

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

    def keep(model: int) -> Kept:
        cut = keep_largest(base, tensors[model], density=densities[model], pool=pool)
        return rescaled(cut, base, tensors[model], density=densities[model], rescale=rescale, pool=pool)

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
    streams = [Stream.of(generator) for _ in tensors]

    def keep(model: int) -> Kept:
        mask = keep_at_random(streams[model], base.size, density=densities[model], pool=pool)
        return rescaled(mask, base, tensors[model], density=densities[model], rescale=rescale, pool=pool)

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
    streams = [Stream.of(generator) for _ in tensors]

    def keep(model: int) -> Kept:
        mask = keep_at_random_by_rank(
            streams[model], base, tensors[model], density=densities[model], epsilon=epsilons[model], pool=pool
        )
        return rescaled(mask, base, tensors[model], density=densities[model], rescale=rescale, pool=pool)

    return _merge_over_base(
        base, tensors, weights=weights, keep=keep, consensus=consensus, normalize=normalize, scale=scale, pool=pool
    )


def _merge_over_base(
    base: Array,
    tensors: Sequence[Array],
    *,
    weights: Sequence[float],
    keep: Callable[[int], Kept],
    consensus: Consensus | None = None,
    normalize: bool,
    scale: float,
    pool: Executor | None,
) -> Array:
    _check_alike([base, *tensors])
    _check_count(tensors, weights=weights)
    kept = [keep(model) for model in range(len(tensors))]
    sources, start = [flat(tensor) for tensor in tensors], flat(base)
    result = np.empty_like(start)
    weights_M = np.asarray(weights, np.float32)

    def merge(part: Part) -> None:
        origin = read_finite(start, part)
        deltas = [read_delta(source, origin, part) for source in sources]
        for delta, choice, weight in zip(deltas, kept, weights_M, strict=True):
            _weigh(delta, choice, part, weight=weight)
        mixed = _mix(deltas, weights_M, consensus=consensus, normalize=normalize)
        if scale != 1:
            mixed *= np.float32(scale)
        mixed += origin
        write(mixed, result, part)

    run(merge, blocks_of(start.size), pool)
    return result.reshape(base.shape)


def _keep_all(_model: int) -> Kept:
    return Kept()


def _weigh(delta: Floats, kept: Kept, part: Part, *, weight: np.float32) -> None:
    kept.trim(delta, part)
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
    for delta in deltas:
        delta *= sign
    agreeing = [np.multiply(delta > 0, weight) for delta, weight in zip(deltas, weights_M, strict=True) if normalize]
    mixed = _sum_in_order([np.maximum(delta, 0, out=delta) for delta in deltas])
    mixed *= sign
    if normalize:
        divisor = _sum_in_order(agreeing)
        divisor += divisor == 0
        mixed /= divisor
    return mixed


def _sum_in_order(terms: Sequence[Floats]) -> Floats:
    total = terms[0] + terms[1] if len(terms) > 1 else terms[0].copy()
    for term in terms[2:]:
        total += term
    return total


def _weighted_sum(terms: Sequence[tuple[Array, float]], *, divisor: float, like: Array, pool: Executor | None) -> Array:
    sources = [(flat(tensor), np.float32(weight)) for tensor, weight in terms]
    result = np.empty_like(flat(like))

    def add(part: Part) -> None:
        products = [read_finite(source, part) * weight for source, weight in sources]
        total = products[0] if len(products) == 1 else _sum_in_order(products)
        if divisor != 1:
            total /= np.float32(divisor)
        write(total, result, part)

    run(add, blocks_of(result.size), pool)
    return result.reshape(like.shape)


def _cosine(first: Array, second: Array, *, min_norm: float, pool: Executor | None) -> float:
    x, y = flat(first), flat(second)

    def products(part: Part) -> tuple[float, float, float]:
        one, two = read_finite(x, part), read_finite(y, part)
        return _inner(one, one), _inner(two, two), _inner(one, two)

    sums = run(products, blocks_of(x.size), pool)
    squares_x, squares_y, dot = (sum(column) for column in zip(*sums, strict=True)) if sums else (0.0, 0.0, 0.0)
    if max(squares_x, squares_y) <= min_norm**2:
        return 1.0
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
