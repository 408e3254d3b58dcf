"""A likely cause of damage, from where it shows. Never a proof. Shapes: N windows, P positions.

Where nothing but text can be asked, one kind of damage may look like another: noise in one layer, a dead head and rows
permuted inside a layer all spread over positions and tokens alike, and share one name here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from birdbone.evaluate.damage.rules import PairedReading
from birdbone.evaluate.damage.tokens import TokenComparison

HintKind = Literal["tokenizer", "positions", "few_tokens", "layer"]

_WORDS: dict[HintKind, str] = {
    "tokenizer": "another tokenizer",
    "positions": "wrong positions (rope), or wrong queries or keys",
    "few_tokens": "what serves few tokens: their rows of the vocabulary, or a head of an early layer",
    "layer": "noise, a dead head or permuted rows in a layer",
}
_UNTOUCHED = 1e-3
_RARER = 0.25
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A likely cause with what speaks for it."""

    kind: HintKind
    """`positions`: rope, or attention's scores. `layer`: noise, a dead head or permuted rows inside a layer."""
    evidence: str

    @property
    def words(self) -> str:
        """The cause in words."""
        return _WORDS[self.kind]


def hint_of_tokens(tokens: TokenComparison) -> Hint:
    """Return the hint where the two tokenizers differ."""
    return Hint(
        kind="tokenizer",
        evidence=(
            f"{tokens.num_other_ids} of {tokens.num_texts} texts are other ids, {tokens.num_other_text} come back "
            f"otherwise; {tokens.first_difference}"
        ),
    )


def hint_of_reading(reading: PairedReading) -> Hint | None:
    """Return where the divergence lies: None if there is none."""
    total = float(reading.kl_NP.mean())
    if total <= 0:
        return None
    first = float(reading.kl_NP[:, 0].mean())
    if first <= _UNTOUCHED * total:
        return Hint(
            kind="positions",
            evidence=(
                f"the first token of a window, which attends to itself alone, diverges by {first:.2g} nats, "
                f"all tokens by {total:.2g}"
            ),
        )
    share = share_of_half(reading.kl_NP, reading.ids_NP)
    # A few positions always hold much: what counts is how far the same figures, dealt out anew, fall short of it.
    dealt_NP = np.random.default_rng(_SEED).permutation(reading.kl_NP.ravel()).reshape(reading.kl_NP.shape)
    by_chance = share_of_half(dealt_NP, reading.ids_NP)
    return Hint(
        kind="few_tokens" if share <= _RARER * by_chance else "layer",
        evidence=(
            f"half of the divergence follows tokens that stand at {share:.1%} of the positions; "
            f"by chance that would be {by_chance:.1%}"
        ),
    )


def share_of_half(kl_NP: NDArray[np.float64], ids_NP: NDArray[np.int64]) -> float:
    """Return the share of positions whose tokens, those that diverge most on average first, hold half the divergence.

    0.5 where all diverge alike; of a divergence of 0, 1.
    """
    if kl_NP.sum() <= 0:
        return 1.0
    _, place_M, count_V = np.unique(ids_NP, return_inverse=True, return_counts=True)
    total_V = np.bincount(place_M.ravel(), weights=kl_NP.ravel())
    order_V = np.argsort(-total_V / count_V, kind="stable")
    num_needed = int(np.searchsorted(np.cumsum(total_V[order_V]), kl_NP.sum() / 2)) + 1
    return float(count_V[order_V][:num_needed].sum() / kl_NP.size)
