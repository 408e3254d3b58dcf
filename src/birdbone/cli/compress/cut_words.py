"""How `compress shed` tells what it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich.table import Table

from birdbone.cli.compress.cutting import Told
from birdbone.cli.output import new_table
from birdbone.compress.growth import parse_structure
from birdbone.compress.shedding.effect import Weights
from birdbone.core import Measurement


def as_json(told: Told) -> dict[str, Any]:
    """Return everything as plain data."""
    return {
        "model": told.model,
        "pattern": told.pattern.model_dump(mode="json"),
        "structures": list(told.structures),
        "share": told.effect.share,
        "sparsity": told.sparsity,
        "effect": told.effect.model_dump(mode="json"),
        "perplexity_ratio": None if told.ratio is None else told.ratio.model_dump(mode="json"),
        "out": None if told.out is None else str(told.out),
    }


def table(told: Told) -> Table:
    """Return before and after; what was not measured says so."""
    before, after = told.effect.before, told.effect.after
    rows = [(words, f"{old:,}", f"{new:,}", _change(old, new)) for words, old, new in _counts(before, after)]
    old_ppl, new_ppl = told.effect.perplexity_before, told.effect.perplexity_after
    if old_ppl is None or new_ppl is None:
        rows.append(("perplexity", "not measured", "not measured", ""))
    else:
        change = _change(old_ppl, new_ppl) + ("" if told.ratio is None else f" {_interval(told.ratio)}")
        rows.append(("perplexity", f"{old_ppl:.3f}", f"{new_ppl:.3f}", change))
    return new_table(("figure", "before", "after", "change"), rows, title=f"{told.model}: {told.pattern.kind}")


def lines(told: Told) -> list[str]:
    """Return what went, and where the model lies."""
    kinds = Counter(parse_structure(name).kind for name in told.structures)
    counts = [f"{count:,} {kind}" for kind, count in kinds.items()]
    said = [f"gone: {', '.join(counts)}"] if counts else []
    if told.sparsity is not None:
        said.append(f"zeros: {told.sparsity:.1%} of the linears; zeros alone make no file smaller")
    return [*said, f"written: {told.out}" if told.out is not None else "nothing was written (dry run)"]


def _counts(before: Weights, after: Weights) -> Iterator[tuple[str, int, int]]:
    names = {
        "num_parameters": "parameters",
        "decoder_parameters": "parameters of the decoder",
        "f16_bytes": "bytes in F16",
        "bytes_read_per_token": "bytes read a token, F16",
        "flops_per_token": "FLOPs a token",
        "num_layers": "layers",
        "num_attention_blocks": "attention blocks",
        "num_feed_forward_blocks": "feed-forward blocks",
    }
    for field, words in names.items():
        yield words, getattr(before, field), getattr(after, field)


def _interval(ratio: Measurement) -> str:
    if ratio.low is None or ratio.high is None:
        return ""
    return f"[{100 * (ratio.low - 1):+.1f} %, {100 * (ratio.high - 1):+.1f} %]"


def _change(before: float, after: float) -> str:
    return "" if before == after else f"{100 * (after / before - 1):+.1f} %"
