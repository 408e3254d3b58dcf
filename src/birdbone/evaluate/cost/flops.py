"""The arithmetic of a causal transformer in closed form, and the cache that it reads. Plain numbers, free of torch.

Symbols: N new tokens, C tokens in the cache before them, K keys that a layer looks at, H heads, D head dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What the arithmetic of a model depends on."""

    num_weights: int
    """Tied weights count once."""
    linear_weights: int
    """Of all linears that every token runs through; biases and the head left out."""
    head_weights: int
    """Of the output head, which runs for the last token only."""
    num_heads: int
    num_kv_heads: int
    head_dim: int
    windows: tuple[int | None, ...]
    """For each layer, the tokens that a query sees, itself included; None for all before it."""
    context_length: int
    weight_counts: dict[str, int]
    """Values of each stored tensor; tied ones are there once."""
    lookup_rows: dict[str, int]
    """For each table that is only looked up, its number of rows."""


def forward_flops(shape: ModelShape, num_new: int, *, num_cached: int = 0) -> int:
    """Return the FLOPs of one pass over `num_new` tokens, with the head at the last of them.

    A multiplication and an addition count as two. Matrix products alone are counted, as torch's counter does: each
    weight of a linear once a token, and in attention `q k` and `p v` over every key that the layer is given. What a
    mask hides is not taken off, since the products are computed all the same.

    Args:
        shape: of the model.
        num_new: N, at least 1.
        num_cached: C.

    Source: Hoffmann et al. 2022, arXiv:2203.15556, appendix F. Differs: forward only, the embedding is looked up and
    not multiplied, softmax is left out, the head runs for one token.
    """
    linears = 2 * num_new * shape.linear_weights + 2 * shape.head_weights
    keys = sum(keys_seen(window, num_new, num_cached) for window in shape.windows)
    return linears + 4 * num_new * keys * shape.num_heads * shape.head_dim


def keys_seen(window: int | None, num_new: int, num_cached: int) -> int:
    """Return K, the keys that a layer is given: a sliding window keeps the last `window - 1` tokens of those before."""
    return num_new + (num_cached if window is None else min(num_cached, window - 1))


def cache_bytes(shape: ModelShape, num_cached: int, *, bytes_per_value: int) -> int:
    """Return the bytes of keys and values that decoding one token reads after `num_cached` tokens."""
    keys = sum(keys_seen(window, 1, num_cached) for window in shape.windows)
    return 2 * keys * shape.num_kv_heads * shape.head_dim * bytes_per_value
