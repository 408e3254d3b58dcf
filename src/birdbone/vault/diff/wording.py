"""How the figures of a diff read, on the page and in the table that a terminal or Markdown shows."""

from __future__ import annotations

from typing import Any

from birdbone.vault.diff.tensors import TensorDiff

NONE = "—"
NOT_MEASURED = "not measured"


def count_words(count: int | None, total: int | None = None) -> str:
    """Return a count, with its share of `total` if that is given."""
    if count is None:
        return NONE
    return f"{count:,} ({percent_words(count / total)})" if total else f"{count:,}"


def number_words(value: float | None) -> str:
    """Return a number with four significant digits."""
    return NONE if value is None else f"{value:.4g}"


def percent_words(share: float | None) -> str:
    """Return a share in percent; what is not zero never reads as zero, and what is not all never as all."""
    if share is None:
        return NONE
    if 0 < share < 0.00005:
        return "< 0.01 %"
    if 0.99995 <= share < 1:
        return "> 99.99 %"
    return f"{100 * share:.2f} %"


def cosine_words(cosine: float | None) -> str:
    """Return a cosine or a Jaccard index with six places."""
    return NONE if cosine is None else f"{cosine:.6f}"


def shape_words(shape: tuple[int, ...]) -> str:
    """Return a shape."""
    return "×".join(map(str, shape)) or "scalar"


def arrow_words(before: str, after: str) -> str:
    """Return both, or one where they are the same."""
    return before if before == after else f"{before} → {after}"


def rank_words(tensor: TensorDiff) -> str:
    """Return the effective rank before and after."""
    if tensor.rank_before is None or tensor.rank_after is None:
        return NONE
    return f"{tensor.rank_before:.5g} → {tensor.rank_after:.5g}"


def rank_change_words(tensor: TensorDiff) -> str:
    """Return the change of the effective rank; of an estimate with its standard error."""
    if tensor.rank_change is None:
        return NONE
    change = "0" if tensor.rank_change == 0 else f"{tensor.rank_change:+.3g}".replace("-", "−")
    return change if tensor.rank_error_change is None else f"{change} ± {tensor.rank_error_change:.2g}"


def quantization_words(tensor: TensorDiff) -> str:
    """Return dtype and number of levels, before and after where they differ."""
    before = _grid_words(tensor.dtype_before, tensor.levels_before, tensor.row_levels_before)
    return arrow_words(before, _grid_words(tensor.dtype_after, tensor.levels_after, tensor.row_levels_after))


def size_words(size_bytes: int | None) -> str:
    """Return a size in bytes."""
    return NONE if size_bytes is None else f"{size_bytes:,} B"


def digest_words(digest: str) -> str:
    """Return the beginning of a digest, enough to name it."""
    return digest[:15]


def measured_words(row: dict[str, Any] | None) -> str:
    """Return the value of a measurement with its interval and unit."""
    if row is None:
        return NOT_MEASURED
    value, unit, low, high = (row.get(key) for key in ("value", "unit", "low", "high"))
    if not isinstance(value, int | float):
        return NONE
    interval = f" [{low:.6g}, {high:.6g}]" if isinstance(low, int | float) and isinstance(high, int | float) else ""
    return f"{value:.6g}{interval} {'' if unit in (None, '1') else unit}".strip()


def _grid_words(dtype: str, levels: int | None, row_levels: int | None) -> str:
    if levels is not None:
        return f"{dtype}, {levels} {'level' if levels == 1 else 'levels'}"
    return dtype if row_levels is None else f"{dtype}, {row_levels} levels a row"
