"""How many directions a matrix really uses: the entropy effective rank, exact for small matrices, else estimated.

Symbols: A the matrix, turned so that it has m >= n; G = A^T A; s_i its singular values; N = sum s_i; p_i = s_i / N.
    erank(A) = exp(-sum p_i log p_i) = exp(log N - (sum s_i log s_i) / N), between 1 and n.
Source: Roy, Vetterli 2007, "The effective rank: a measure of effective dimensionality" (EUSIPCO), definition 1.

Exact: the s_i are the roots of the eigenvalues of G in float64. An s_i under 1e-8 of the largest drowns in rounding and
is left out; it would change no digit that is given.

Estimated: both sums are traces of functions of G, so of f(G) with f(x) = sqrt(x) and sqrt(x) log sqrt(x).
    tr f(G) = tr(Q^T f(G) Q) + E[z^T P f(G) P z], P = I - Q Q^T,
with Q four directions of the largest singular values, which hold most of the variance, and z random signs. Each term is
an integral that Lanczos turns into a quadrature; Gauss's rule and Radau's with a node at 0 err to opposite sides for
sqrt, so their mean is taken. The signs come from a fixed seed: two matrices of one shape see the same z, and most of
the noise leaves their difference. The error is that of the jackknife over z, with half the gap of the two rules.
Sources: Meyer, Musco, Musco, Woodruff 2021, "Hutch++", arXiv:2010.09649, algorithm 1 (Q from power iteration instead of
one product); Ubaru, Chen, Saad 2017, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature", SIAM J. Matrix
Anal. Appl. 38, algorithm 1; Golub, Meurant 2010, "Matrices, moments and quadrature", section 6.2 (Radau's rule).

Every product is cut into pieces that the linear algebra library does in the thread that asks. So a pool over tensors
keeps its cores, and no figure depends on how many threads there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Basis = Literal["measured", "estimated"]
Rows = NDArray[np.float64]
"""One row a starting vector, or one a starting vector and a step."""

MAX_EXACT_SIDE = 192
"""Up to this n the rank is exact: 2 ms in one thread. From 200 on, OpenBLAS starts threads for eigenvalues."""

_NUM_TOP = 4  # outliers among singular values are few; each costs as much as a probe
_NUM_PROBES = 6
_NUM_STEPS = 8  # of weights of trained decoders the level is then within 1 %, and a change as exact as with more steps
_NUM_POWER_STEPS = 1
_MAX_PRODUCT = 200_000  # multiplications of one piece; OpenBLAS starts threads at 64^3 = 262,144
_BLOCK_ELEMENTS = 1 << 17  # of A, as float32 in a core's second-level cache while both products go over it
_TILE = 64
_SEED = 2007
_SIGNIFICANT_DIGITS = {"measured": 6, "estimated": 4}  # what float64, or float32, leaves alike on most machines

_DECIMALS_OF_CHANGE = {"measured": 4, "estimated": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectralSums:
    """N and sum s_i log s_i of A over its largest element: what the top directions give, and what each probe tells.

    `low` is by Radau's rule, `high` by Gauss's. A row is (N, sum s_i log s_i); exact sums have no probes.
    """

    basis: Basis
    top_low: NDArray[np.float64]
    top_high: NDArray[np.float64]
    probes_low: NDArray[np.float64]
    probes_high: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankChange:
    """Effective ranks, and the standard errors of `before`, `after` and `after - before`; None where they are exact."""

    before: float
    after: float
    change: float
    """`after - before`, from unrounded ranks."""
    basis: Basis
    error_before: float | None
    error_after: float | None
    error_change: float | None


def spectral_sums(a_MN: NDArray[np.float32], *, max_exact_side: int = MAX_EXACT_SIDE) -> SpectralSums | None:
    """Return the sums that the effective rank is made of.

    Args:
        a_MN: a matrix. Not changed.
        max_exact_side: matrices whose shorter side is longer are estimated. More costs time as the cube of the side.

    Returns:
        The sums; None for a single row or column, for zeros only, and if a value is not finite.
    """
    tall = a_MN if a_MN.shape[0] >= a_MN.shape[1] else a_MN.T
    if tall.shape[1] < 2:
        return None
    peak = float(max(tall.max(), -tall.min()))
    if not math.isfinite(peak) or peak == 0:
        return None
    return _exact_sums(tall, peak) if tall.shape[1] <= max_exact_side else _estimated_sums(tall, peak)


def compare_ranks(before: SpectralSums, after: SpectralSums) -> RankChange:
    """Return both effective ranks and their errors; the matrices have one shape, so they saw the same probes."""
    old, new = _effective_rank(before), _effective_rank(after)
    is_exact = before.basis == "measured"
    return RankChange(
        before=_rounded(old, before.basis),
        after=_rounded(new, after.basis),
        change=round(new - old, _DECIMALS_OF_CHANGE[before.basis]) + 0.0,  # and no -0.0
        basis=before.basis,
        error_before=None if is_exact else _error(_left_out(before), _gap(before)),
        error_after=None if is_exact else _error(_left_out(after), _gap(after)),
        error_change=None if is_exact else _error(_left_out(after) - _left_out(before), _gap(after) - _gap(before)),
    )


def _effective_rank(sums: SpectralSums) -> float:
    return 0.5 * float(_of_low(sums).mean() + _of_high(sums).mean())


def _of_low(sums: SpectralSums) -> NDArray[np.float64]:
    return _erank(sums.top_low + _mean(sums.probes_low))


def _of_high(sums: SpectralSums) -> NDArray[np.float64]:
    return _erank(sums.top_high + _mean(sums.probes_high))


def _gap(sums: SpectralSums) -> float:
    return float((_of_high(sums) - _of_low(sums)).mean())


def _left_out(sums: SpectralSums) -> NDArray[np.float64]:
    """Return the estimate without each probe in turn."""
    others = len(sums.probes_low) - 1
    low, high = ((rows.sum(axis=0) - rows) / others for rows in (sums.probes_low, sums.probes_high))
    return 0.5 * (_erank(sums.top_low + low) + _erank(sums.top_high + high))


def _mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows.mean(axis=0, keepdims=True)) if len(rows) else np.zeros((1, 2))


def _erank(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    nuclear, log_moment = sums[..., 0], sums[..., 1]
    return np.asarray(np.exp(np.log(nuclear) - log_moment / nuclear))


def _error(left_out: NDArray[np.float64], gap: float) -> float:
    """Source of the first term: Efron, Stein 1981, "The jackknife estimate of variance", Ann. Statist. 9, eq. 1.2."""
    jackknife = float(np.sum((left_out - left_out.mean()) ** 2)) * (len(left_out) - 1) / len(left_out)
    return float(f"{math.sqrt(jackknife + (gap / 2) ** 2):.2g}")


def _rounded(value: float, basis: Basis) -> float:
    return float(f"{max(value, 1.0):.{_SIGNIFICANT_DIGITS[basis]}g}")  # noise may take an estimate below the least rank


def _exact_sums(tall: NDArray[np.float32], peak: float) -> SpectralSums:
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(_gram(tall, peak)), 0, None))
    singular = singular[singular > 1e-8 * singular[-1]]
    sums = np.array([singular.sum(), np.sum(singular * np.log(singular))])
    none = np.zeros((0, 2))
    return SpectralSums(basis="measured", top_low=sums, top_high=sums, probes_low=none, probes_high=none)


def _gram(tall: NDArray[np.float32], peak: float) -> NDArray[np.float64]:
    """Return G of A / peak, from products of 64 rows and columns."""
    num_rows, side = tall.shape
    gram = np.zeros((side, side))
    for start in range(0, num_rows, _TILE * _TILE):
        part = tall[start : start + _TILE * _TILE]
        tiles = np.zeros((-(-len(part) // _TILE), _TILE, side))
        tiles.reshape(-1, side)[: len(part)] = part / np.float64(peak)
        for left in range(0, side, _TILE):
            across = tiles[:, :, left : left + _TILE].transpose(0, 2, 1)
            for right in range(left, side, _TILE):
                product = (across @ tiles[:, :, right : right + _TILE]).sum(axis=0)
                gram[left : left + _TILE, right : right + _TILE] += product
    return np.asarray(np.triu(gram) + np.triu(gram, 1).T)


def _estimated_sums(tall: NDArray[np.float32], peak: float) -> SpectralSums:
    side = tall.shape[1]
    top = _top_directions(tall, peak)
    signs = _signs(_NUM_PROBES, side)
    rest = signs - np.einsum("pk,kd->pd", np.einsum("pd,kd->pk", signs, top), top)
    diagonal, beside, squares = _lanczos(tall, np.concatenate([top, rest]), peak)
    low, high = _integrals(*_radau(diagonal, beside), squares), _integrals(*_gauss(diagonal, beside), squares)
    return SpectralSums(
        basis="estimated",
        top_low=low[:_NUM_TOP].sum(axis=0),
        top_high=high[:_NUM_TOP].sum(axis=0),
        probes_low=low[_NUM_TOP:],
        probes_high=high[_NUM_TOP:],
    )


def _top_directions(tall: NDArray[np.float32], peak: float) -> Rows:
    rows = _orthonormal(_signs(_NUM_PROBES + _NUM_TOP, tall.shape[1])[_NUM_PROBES:])
    for _ in range(_NUM_POWER_STEPS):
        rows = _orthonormal(_apply_gram(tall, rows, peak))
    return rows


def _orthonormal(rows: Rows) -> Rows:
    """Return the rows made orthonormal one after another; a row that lies in the others' span becomes zero."""
    kept = np.zeros_like(rows)
    for index, row in enumerate(rows):
        size = math.sqrt(float(row @ row))
        for _ in range(2):
            row = row - np.einsum("k,kd->d", np.einsum("kd,d->k", kept, row), kept)
        length = math.sqrt(float(np.einsum("d,d->", row, row)))
        kept[index] = row / length if length > 1e-5 * size else 0.0
    return kept


def _signs(count: int, side: int) -> Rows:
    """Return rows of +-1 from raw bits, whose stream NumPy promises to keep."""
    words = np.random.PCG64(_SEED).random_raw(-(-count * side // 64))
    bits = np.unpackbits(words.astype("<u8").view(np.uint8))[: count * side]
    return np.asarray(2.0 * bits.reshape(count, side) - 1.0)


def _lanczos(tall: NDArray[np.float32], start: Rows, peak: float) -> tuple[Rows, Rows, NDArray[np.float64]]:
    """Return the diagonals, what stands beside them, and the squared lengths of the starting vectors.

    Each step is made orthogonal to all before it; once is enough, since what is left is at least 1e-6 of the largest
    diagonal or counts as nothing. A start whose space is used up goes on with zeros: a node at 0 of weight 0.
    """
    squares = np.einsum("pd,pd->p", start, start)
    spaces = np.zeros((len(start), _NUM_STEPS, start.shape[1]))
    diagonal, beside = np.zeros((len(start), _NUM_STEPS)), np.zeros((len(start), _NUM_STEPS))
    current = start / np.sqrt(np.where(squares > 0, squares, 1.0))[:, None]
    for step in range(_NUM_STEPS):
        spaces[:, step] = current
        image = _apply_gram(tall, current, peak)
        diagonal[:, step] = np.einsum("pd,pd->p", image, current)
        known = spaces[:, : step + 1]
        image -= np.einsum("pkd,pk->pd", known, np.einsum("pkd,pd->pk", known, image))
        length = np.sqrt(np.einsum("pd,pd->p", image, image))
        beside[:, step] = np.where(length > 1e-6 * diagonal.max(axis=1), length, 0.0)
        current = image * np.divide(1.0, length, out=np.zeros_like(length), where=beside[:, step] > 0)[:, None]
    return diagonal, beside, squares


def _gauss(diagonal: Rows, beside: Rows) -> tuple[Rows, Rows]:
    """Return nodes and weights, one row a starting vector."""
    nodes, vectors = np.linalg.eigh(_tridiagonal(diagonal, beside))
    return nodes, np.asarray(vectors[:, 0, :] ** 2)


def _radau(diagonal: Rows, beside: Rows) -> tuple[Rows, Rows]:
    """Return nodes and weights of the rule that also has a node at 0."""
    nodes, vectors = np.linalg.eigh(_tridiagonal(diagonal, beside))
    floor = 1e-12 * nodes[:, -1:] + np.finfo(np.float64).tiny
    corner = beside[:, -1] ** 2 * np.sum(vectors[:, -1, :] ** 2 / np.maximum(nodes, floor), axis=1)
    return _gauss(np.concatenate([diagonal, corner[:, None]], axis=1), beside)


def _tridiagonal(diagonal: Rows, beside: Rows) -> NDArray[np.float64]:
    size = diagonal.shape[1]
    index = np.arange(size)
    matrices = np.zeros((len(diagonal), size, size))
    matrices[:, index, index] = diagonal
    matrices[:, index[:-1], index[1:]] = matrices[:, index[1:], index[:-1]] = beside[:, : size - 1]
    return matrices


def _integrals(nodes: Rows, weights: Rows, squares: NDArray[np.float64]) -> NDArray[np.float64]:
    singular = np.sqrt(np.clip(nodes, 0, None))
    logarithms = np.log(np.where(singular > 0, singular, 1.0))
    sums = [np.sum(weights * singular, axis=1), np.sum(weights * singular * logarithms, axis=1)]
    return np.asarray(np.stack(sums, axis=1) * squares[:, None])


def _apply_gram(tall: NDArray[np.float32], vectors: Rows, peak: float) -> Rows:
    """Return G v of A / peak for each row v; one pass over A."""
    v_NP = np.ascontiguousarray(vectors.T, dtype=np.float32)
    total_NP = np.zeros(v_NP.shape)
    for tiles in _pieces(tall, num_vectors=len(vectors)):
        total_NP += (tiles.transpose(0, 2, 1) @ (tiles @ v_NP)).sum(axis=0)
    return np.ascontiguousarray(total_NP.T) / peak**2


def _pieces(tall: NDArray[np.float32], *, num_vectors: int) -> Iterator[NDArray[np.float32]]:
    """Yield the rows of A as stacks of equal pieces, each small enough for one thread, without a copy."""
    num_rows, side = tall.shape
    rows = max(1, _MAX_PRODUCT // (side * num_vectors))
    at_once = rows * max(1, _BLOCK_ELEMENTS // (side * rows))
    whole = num_rows // rows * rows
    for start in range(0, whole, at_once):
        yield tall[start : min(start + at_once, whole)].reshape(-1, rows, side)
    if whole < num_rows:
        yield tall[whole:][None]
