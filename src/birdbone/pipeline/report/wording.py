"""How a figure reads: digits, unit and interval in words, the same on the page and in the terminal."""

from __future__ import annotations

import datetime as dt
import math

from birdbone.core import Measurement
from birdbone.core.database import in_utc

NOT_MEASURED = "not measured"

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_CHANGES = frozenset({"perplexity_ratio", "engine_ratio"})
_SHORT_DIGEST = 10


def figure_words(figure: Measurement | None) -> str:
    """Return value and unit, such as `91.7 MB` or `103.2 tokens/s`; `not measured` where there is none."""
    return NOT_MEASURED if figure is None else number_words(figure, figure.value)


def interval_words(figure: Measurement | None) -> str:
    """Return the 95 % interval in the words of its figure, such as `51.8 to 55.6 tokens/s`; empty where it has none."""
    if figure is None or figure.low is None or figure.high is None:
        return ""
    low, high = number_words(figure, figure.low), number_words(figure, figure.high)
    digits, _, unit = low.partition(" ")
    return f"{digits} to {high}" if high.endswith(f" {unit}") else f"{low} to {high}"


def number_words(figure: Measurement, value: float) -> str:
    """Return `value` (the figure's own, or an end of its interval) with the unit of `figure`."""
    match figure.unit:
        case "byte":
            return _bytes_words(value)
        case "byte/token":
            return f"{_bytes_words(value)}/token"
        case "token/s":
            return f"{value:,.1f} tokens/s" if abs(value) < 1000 else f"{value:,.0f} tokens/s"
        case "s":
            return f"{1000 * value:.1f} ms" if abs(value) < 1 else f"{value:.2f} s"
        case "FLOP" | "FLOP/token" | "FLOP/s":
            return f"{_prefixed(value, 'FLOP')}{figure.unit.removeprefix('FLOP')}"
        case "byte/s":
            return f"{_bytes_words(value)}/s"
        case "weight":
            return f"{value:,.0f} weights"
        case "s/token":
            return f"{1000 * value:.2f} ms/token"
        case "bit/weight":
            return f"{value:.2f} bits/weight"
        case "1":
            return _plain_words(figure.name, value)
        case unit:
            return f"{value:.5g} {unit}"


def change_words(change: Measurement | None) -> str:
    """Return a ratio as what it says of the change: `x 0.338` or, for a perplexity, `+2.54 %`; empty for None.

    A rate and a size are told as a factor, a perplexity as a rise, as people speak of them.
    """
    if change is None:
        return ""
    return _rise(change.value) if change.name in _CHANGES else _factor(change.value)


def change_interval_words(change: Measurement | None) -> str:
    """Return the interval of a change in the words of `change_words`; empty where it has none."""
    if change is None or change.low is None or change.high is None:
        return ""
    say = _rise if change.name in _CHANGES else _factor
    return f"{say(change.low)} to {say(change.high).removeprefix('× ')}"


def nats_words(nats: float | None) -> str:
    """Return a change of log perplexity as the rise that it is, such as `+2.54 %`; `not measured` for None."""
    return NOT_MEASURED if nats is None else _rise(math.exp(min(nats, 700.0)))


def digest_words(digest: str) -> str:
    """Return the beginning of a digest, long enough to tell it from others."""
    algorithm, colon, digits = digest.partition(":")
    return f"{algorithm}:{digits[:_SHORT_DIGEST]}" if colon else digest[:_SHORT_DIGEST]


def author_words(author: str) -> str:
    """Return BibTeX's authors as people read them."""
    return "; ".join(name.strip("{} ") for name in author.split(" and "))


def duration_words(seconds: float) -> str:
    """Return a duration as people say it: `0.4 s`, `48 s`, `3 min 05 s`, `2 h 07 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def time_words(moment: dt.datetime | None) -> str:
    """Return a moment to the second in UTC; a moment without a zone is in UTC already (SQLite keeps none)."""
    if moment is None:
        return ""
    return in_utc(moment).strftime("%Y-%m-%d %H:%M:%S UTC")


def _bytes_words(value: float) -> str:
    return _prefixed(value, "B")


def _prefixed(value: float, unit: str) -> str:
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            digits = f"{value / size:.4g}" if abs(value) < 1000 * size else f"{value / size:,.0f}"
            return f"{digits} {prefix}{unit}"
    return f"{value:.0f} {unit}"


def _plain_words(name: str, value: float) -> str:
    if name in ("share_gone", "sparsity", "stored_zeros"):
        return f"{100 * value:.2f} %"
    if name.partition(".")[0].endswith("_share"):
        return f"{100 * value:.1f} %"
    if name.endswith(("_ratio", "_speedup")):
        return f"{value:.4f}"
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:,.0f}"


def _rise(ratio: float) -> str:
    words = f"{100 * (ratio - 1):+.2f} %".replace("-", "−")
    return "0.00 %" if words[1:] == "0.00 %" else words


def _factor(ratio: float) -> str:
    return f"× {ratio:.3f}"


STRUCTURE_KINDS = {
    "layer": "layer",
    "attention": "attention block",
    "feed_forward": "feed-forward block",
    "kv_group": "KV group",
    "query_head": "query head",
    "neuron": "neuron",
}


def kind_words(kind: str) -> str:
    """Return a kind of structure as a person says it."""
    return STRUCTURE_KINDS.get(kind, kind)
