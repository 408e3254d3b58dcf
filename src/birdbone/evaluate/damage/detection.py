"""The detector: two models, some texts, at most so many tokens, one verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from birdbone.data import token_windows
from birdbone.evaluate.damage.hints import Hint, hint_of_reading, hint_of_tokens
from birdbone.evaluate.damage.reading import read_pair, text_nll
from birdbone.evaluate.damage.rules import PairedReading, RuleFinding, WindowRule, judge_reading, judge_windows
from birdbone.evaluate.damage.sides import Side
from birdbone.evaluate.damage.tokens import TokenComparison, compare_tokens, cut_pieces
from birdbone.evaluate.damage.tolerance import Tolerance
from birdbone.evaluate.damage.verdict import DamageVerdict, outcome_of
from birdbone.evaluate.perplexity import Progress

_PIECE_SHARE = 0.9  # of a window's characters, as a piece ends with a word and may hold more tokens than the mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is read: 8,192 tokens unless something else is said."""

    window: int = 256
    """Tokens that a model sees at once. Damage that shows only further on, such as wrong rope scaling, is not seen."""
    num_windows: int = 32
    """Windows; the intervals rest on their number."""
    seed: int = 0
    """Seed of the resampling behind the intervals."""

    @classmethod
    def within(cls, context_length: int, *, seed: int = 0) -> Extent:
        """Return the usual extent, in shorter windows for a model of a shorter context."""
        usual = cls()
        window = min(usual.window, context_length)
        return cls(window=window, num_windows=usual.num_tokens // window, seed=seed)

    @property
    def num_tokens(self) -> int:
        """Tokens of the baseline that are read."""
        return self.window * self.num_windows


def find_damage(
    baseline: Side,
    candidate: Side,
    texts: Iterable[str],
    *,
    tolerance: Tolerance | None = None,
    extent: Extent | None = None,
    progress: Progress | None = None,
) -> DamageVerdict:
    """Return whether the candidate is damaged, from one pass of both over the same text.

    Where both read all of the text as the same ids, their predictions are compared at each position; else the loss of
    each on the same pieces of text.

    Args:
        baseline: what the candidate should be as good as.
        candidate: the changed model.
        texts: documents that neither was tuned on; no more of them are read than `extent` needs.
        tolerance: what the change may cost; None is that of what should be the same model.
        extent: how much is read; None is the usual.
        progress: called after each window or piece.

    Raises:
        TooLittleTextError: the texts have too few tokens.
        TooFewWindowsError: under `MIN_WINDOWS` windows or pieces.
        BadWindowsError: the windows are longer than a context, or ids lie outside a vocabulary.
        NonFiniteLogitsError: a likelihood is NaN or infinite.
    """
    tolerance, extent = tolerance or Tolerance(), extent or Extent()
    used = _used(texts, baseline, extent.num_tokens)
    tokens = compare_tokens(baseline, candidate, used)
    is_paired = tokens.has_same_ids and baseline.vocab_size == candidate.vocab_size
    judge = _by_positions if is_paired else _by_text
    read = judge(baseline, candidate, used, tolerance=tolerance, extent=extent, progress=progress)
    findings = (*read.findings, _round_trip(tokens))
    outcome = outcome_of(findings)
    return DamageVerdict(
        outcome=outcome,
        findings=findings,
        hint=None if outcome == "harmless" else _hint(tokens, read.reading),
        tokens=tokens,
        same_top1=None if read.reading is None else float(read.reading.same_NP.mean()),
        num_tokens=read.num_tokens,
        num_windows=read.num_windows,
        tolerance=tolerance,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What was read and found, in one of the two ways."""

    findings: tuple[RuleFinding, ...]
    reading: PairedReading | None
    num_tokens: int
    num_windows: int


def _by_positions(
    baseline: Side,
    candidate: Side,
    texts: Sequence[str],
    *,
    tolerance: Tolerance,
    extent: Extent,
    progress: Progress | None,
) -> _Read:
    windows_NT = token_windows(texts, baseline.encode, window=extent.window, count=extent.num_windows)
    reading = read_pair(baseline.logits, candidate.logits, windows_NT, progress=progress)
    findings = judge_reading(reading, tolerance, seed=extent.seed)
    return _Read(findings=findings, reading=reading, num_tokens=windows_NT.size, num_windows=len(windows_NT))


def _by_text(
    baseline: Side,
    candidate: Side,
    texts: Sequence[str],
    *,
    tolerance: Tolerance,
    extent: Extent,
    progress: Progress | None,
) -> _Read:
    pieces = _pieces(texts, baseline, extent)
    num_tokens = sum(len(baseline.encode(piece)) for piece in pieces)
    bytes_per_token = sum(len(piece.encode()) for piece in pieces) / max(1, num_tokens)
    rises = []
    for number, piece in enumerate(pieces):
        rise = _nll(candidate, piece, extent.window) - _nll(baseline, piece, extent.window)
        rises.append(bytes_per_token * rise / len(piece.encode()))
        if progress is not None:
            progress(number + 1, len(pieces))
    rule = WindowRule(
        rule="text_loss",
        words="rise of the loss on the same text, for as many bytes as a token of the baseline has,",
        values_N=np.array(rises),
        limit=tolerance.nats,
        unit="nat/token",
        must_be_shown=True,
    )
    findings = judge_windows([rule], level=tolerance.level, seed=extent.seed)
    return _Read(findings=findings, reading=None, num_tokens=num_tokens, num_windows=len(pieces))


def _hint(tokens: TokenComparison, reading: PairedReading | None) -> Hint | None:
    if tokens.first_difference:
        return hint_of_tokens(tokens)
    return None if reading is None else hint_of_reading(reading)


def _used(texts: Iterable[str], baseline: Side, num_tokens: int) -> list[str]:
    """Return the first texts that have so many tokens together."""
    used: list[str] = []
    total = 0
    for text in texts:
        if total >= num_tokens:
            break
        used.append(text)
        total += len(baseline.encode(text))
    return used


def _pieces(texts: Sequence[str], baseline: Side, extent: Extent) -> list[str]:
    """Return pieces of about a window each, with no more tokens together than the extent."""
    characters_per_token = sum(map(len, texts)) / max(1, sum(len(baseline.encode(text)) for text in texts))
    num_characters = max(1, int(_PIECE_SHARE * extent.window * characters_per_token))
    pieces: list[str] = []
    total = 0
    for piece in cut_pieces(texts, num_characters=num_characters):
        total += len(baseline.encode(piece))
        if total > extent.num_tokens:
            break
        pieces.append(piece)
    return pieces


def _nll(side: Side, piece: str, window: int) -> float:
    return text_nll(side.logits, side.encode(piece), prefix_token=side.prefix_token, window=window)


def _round_trip(tokens: TokenComparison) -> RuleFinding:
    share = tokens.num_other_text / max(1, tokens.num_texts)
    return RuleFinding(
        rule="round_trip",
        outcome="above" if tokens.num_other_text else "within",
        value=share,
        limit=0.0,
        unit="1",
        low=None,
        high=None,
        reason=f"{tokens.num_other_text} of {tokens.num_texts} texts come back otherwise than the baseline gives them",
    )
