"""A model with its texts, and what is measured of one changed copy of it: the verdict, the naive rule, the truth."""

from __future__ import annotations

import copy
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from damage_cases import DAMAGES, HARMLESS, Codec, renumber_vocabulary, shift_ids, shuffle_merges, shuffled_order
from llama2c import BEGIN, Vocabulary, read_model
from torch import Tensor, nn

from birdbone.data import load_corpus, token_windows
from birdbone.evaluate.damage import DamageVerdict, Tolerance
from birdbone.evaluate.damage.detection import Extent, find_damage
from birdbone.evaluate.damage.sides import Side, side_of
from birdbone.models import load_model

DAMAGE_KINDS = (*DAMAGES, "wrong tokenizer")
HARMLESS_KINDS = (*HARMLESS, "batches", "renumbered vocabulary")
HARMLESS_SHARE = 0.5
"""Share of the tolerance below which a true effect is harmless."""

_SURE = 4.0
_WINDOW, _TRUTH_WINDOWS = 128, 16
_STORIES_SETS = 8
TRUTH = Extent(window=_WINDOW, num_windows=_TRUTH_WINDOWS)
"""How much of the separate text is read at once."""


@dataclass(slots=True)
class Ground:
    """A baseline with the texts of tests and of the truth, which have nothing in common."""

    name: str
    model: nn.Module
    codec: Codec
    tests: list[list[str]]
    truths: list[list[str]]
    extent: Extent
    ids: tuple[int, int]
    """Ordinary ids, from and to."""
    other_merges: Callable[[np.random.Generator], tuple[Codec, str]]
    batch_size: int
    known: dict[bytes, Tensor] = field(default_factory=dict)
    """The baseline's logits of each window."""

    def remember(self) -> None:
        """Run the baseline over the windows that most cases need."""
        for sets, extent in ((self.tests, self.extent), (self.truths[:8], TRUTH)):
            for texts in sets:
                self.known |= logits_of(self.model, self.windows(texts, extent), self.batch_size)

    def windows(self, texts: Sequence[str], extent: Extent) -> np.ndarray:
        """Return the windows that the detector will read."""
        return token_windows(texts, self.codec.encode, window=extent.window, count=extent.num_windows)

    def side(self, model: nn.Module, codec: Codec, known: dict[bytes, Tensor]) -> tuple[Side, dict[bytes, Tensor]]:
        """Return a side that computes the logits of a window once, and what it will have been asked."""
        asked: dict[bytes, Tensor] = {}

        @torch.no_grad()
        def logits(window_T: np.ndarray) -> list[Tensor]:
            ids = window_T.tobytes()
            if ids not in known:
                known[ids] = model(torch.from_numpy(window_T)[None]).logits[0]
            asked[ids] = known[ids]
            return [asked[ids]]

        side = Side(
            logits=logits,
            encode=codec.encode,
            decode=codec.decode,
            prefix_token=codec.prefix_token,
            vocab_size=self.model.config.vocab_size,
        )
        return side, asked


def stories(weights: Path, vocabulary: Path, text: Path, *, num_truths: int) -> Ground:
    """Return a model of llama2.c with stories like those that it was trained on."""
    model = read_model(weights)
    pieces = Vocabulary.read(vocabulary, model.config.vocab_size)
    codec = Codec(encode=pieces.encode, decode=pieces.decode, prefix_token=BEGIN)
    documents = [story.strip() for story in text.read_text(encoding="utf-8").split("<|endoftext|>")[:-1]]
    extent = Extent(window=_WINDOW, num_windows=32)

    def other_merges(draw: np.random.Generator) -> tuple[Codec, str]:
        order, share = shuffled_order(len(pieces.scores) - 259, draw)
        scores = [*pieces.scores[:259], *(pieces.scores[259 + place] for place in order)]
        other = Vocabulary(pieces.pieces, scores)
        changed = Codec(encode=other.encode, decode=other.decode, prefix_token=BEGIN)
        return changed, f"{share:.2g} of the merges elsewhere"

    tests, truths = _divide(documents, codec, extent, _STORIES_SETS, num_truths)
    return Ground(
        name="stories260K",
        model=model,
        codec=codec,
        tests=tests,
        truths=truths,
        extent=extent,
        ids=(259, model.config.vocab_size),
        other_merges=other_merges,
        batch_size=extent.num_windows,
    )


def starter(*, num_truths: int) -> Ground:
    """Return the starter model with text of the bundled corpus; a quarter of the tokens, as each pass is slow."""
    loaded = load_model("starter")
    side = side_of(loaded)
    codec = Codec(encode=side.encode, decode=side.decode, prefix_token=side.prefix_token)
    extent = Extent(window=_WINDOW, num_windows=16)
    tests, truths = _divide(load_corpus().heldout, codec, extent, 1, num_truths)
    return Ground(
        name="starter",
        model=loaded.model,
        codec=codec,
        tests=tests,
        truths=truths,
        extent=extent,
        ids=(300, loaded.architecture.vocab_size),
        other_merges=lambda draw: shuffle_merges(loaded.tokenizer.backend_tokenizer, side.prefix_token, draw),
        batch_size=2,
    )


@torch.no_grad()
def logits_of(model: nn.Module, windows_NT: np.ndarray, batch_size: int) -> dict[bytes, Tensor]:
    """Return the logits of each window's positions that have a next token, by the bytes of their ids."""
    found = {}
    for begin in range(0, len(windows_NT), batch_size):
        ids_BP = np.ascontiguousarray(windows_NT[begin : begin + batch_size, :-1])
        for ids_P, logits_PV in zip(ids_BP, model(torch.from_numpy(ids_BP)).logits, strict=True):
            found[ids_P.tobytes()] = logits_PV
    return found


@torch.no_grad()
def measure(ground: Ground, kind: str, number: int, *, seed: int, tolerance: Tolerance) -> dict[str, Any]:
    """Return one case as plain data; the same seed makes the same case."""
    begun = time.perf_counter()
    draw = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
    model, codec = copy.deepcopy(ground.model), ground.codec
    label, order = "", None
    if kind in DAMAGES or kind in HARMLESS:
        label = (DAMAGES | HARMLESS)[kind](model, draw)
    elif kind == "wrong tokenizer":
        low, high = ground.ids
        codec, label = shift_ids(codec, draw, low=low, high=high) if number % 2 else ground.other_merges(draw)
    elif kind == "renumbered vocabulary":
        codec, label = renumber_vocabulary(model, codec, draw)
    else:
        order = draw.permutation(ground.extent.num_windows)
        label = "windows in another order and company"
    batch_size = ground.batch_size if order is None else int(draw.integers(1, max(2, ground.batch_size)))

    def judged(texts: Sequence[str], extent: Extent) -> tuple[DamageVerdict, float]:
        known: dict[bytes, Tensor] = {}
        if codec is ground.codec:
            windows_NT = ground.windows(texts, extent)
            if order is not None:
                windows_NT = windows_NT[order[order < len(windows_NT)]]
            known = logits_of(model, windows_NT, batch_size)
        candidate, by_candidate = ground.side(model, codec, known)
        baseline, by_baseline = ground.side(ground.model, ground.codec, ground.known)
        found = find_damage(baseline, candidate, texts, tolerance=tolerance, extent=extent)
        return found, _naive_ratio(found, (by_candidate, by_baseline))

    texts = ground.tests[number % len(ground.tests)]
    verdict, naive_ratio = judged(texts, ground.extent)
    assert verdict.num_tokens <= ground.extent.num_tokens
    row = {
        "ground": ground.name,
        "kind": kind,
        "number": number,
        "label": label,
        "outcome": verdict.outcome,
        "num_tokens": verdict.num_tokens,
        "decisive": [finding.rule for finding in verdict.decisive],
        "figures": {each.rule: [each.value, each.low, each.high] for each in verdict.findings},
        "hint": verdict.hint.kind if verdict.hint else None,
        "naive_ratio": naive_ratio,
    }
    row |= _truth(ground, lambda texts: judged(texts, TRUTH)[0], tolerance)
    row["seconds"] = round(time.perf_counter() - begun, 2)
    return row


def _truth(ground: Ground, judged: Callable[[Sequence[str]], DamageVerdict], tolerance: Tolerance) -> dict[str, Any]:
    """Return the effect in nats a token on separate text: the larger of divergence and loss, or the loss on the text.

    Sets of text are read until the effect lies four standard errors from both bounds, or there are no more of them.
    """
    seen: list[np.ndarray] = []
    num_tokens = 0
    for texts in ground.truths:
        verdict = judged(texts)
        found = {each.rule: each for each in verdict.findings}
        # A tokenizer may differ on one set and not on the next, so both ways of reading give two figures.
        chosen = [found.get(rule, found.get("text_loss")) for rule in ("divergence", "loss")]
        # Both ends lie 2.33 standard errors off for the level of 1 %.
        seen.append(np.array([[each.value, (each.high - each.low) / 4.66] for each in chosen]))
        num_tokens += verdict.num_tokens
        means = np.mean([each[:, 0] for each in seen], axis=0)
        errors = np.sqrt(np.mean([each[:, 1] ** 2 for each in seen], axis=0) / len(seen))
        effect, error = float(means.max()), float(errors[means.argmax()])
        bounds = (tolerance.nats, HARMLESS_SHARE * tolerance.nats)
        if all(abs(effect - bound) > _SURE * error for bound in bounds):
            break
    return {"effect": effect, "effect_error": error, "effect_tokens": num_tokens}


def _naive_ratio(verdict: DamageVerdict, read: Sequence[dict[bytes, Tensor]]) -> float:
    """Return the ratio of perplexities, each a token of the model's own, as who looks at nothing else takes it.

    Args:
        verdict: tells the ratio where both read the same tokens.
        read: the logits of what was read as text, by the candidate and by the baseline.
    """
    losses = [each.value for each in verdict.findings if each.rule == "loss"]
    if losses:
        return float(np.exp(losses[0]))
    means = []
    for logits_of_stretch in read:
        nll = []
        for ids, logits_PV in logits_of_stretch.items():
            targets_P = torch.from_numpy(np.frombuffer(ids, np.int64)[1:].copy())
            nll.append(-logits_PV[:-1].log_softmax(-1).gather(1, targets_P[:, None]))
        means.append(float(torch.cat(nll).mean()))
    return float(np.exp(means[0] - means[1]))


def _divide(
    texts: Sequence[str], codec: Codec, extent: Extent, num_tests: int, num_truths: int
) -> tuple[list[list[str]], list[list[str]]]:
    """Return the texts in order as sets for tests and for the truth, each of at least as many tokens as are read."""
    wanted = [extent.num_tokens] * num_tests + [TRUTH.num_tokens] * num_truths
    sets: list[list[str]] = [[]]
    total = 0
    for text in texts:
        if len(sets) > len(wanted):
            break
        sets[-1].append(text)
        total += len(codec.encode(text))
        if total >= wanted[len(sets) - 1]:
            sets.append([])
            total = 0
    assert len(sets) > len(wanted), f"the text has {len(sets) - 1} sets of tokens; {len(wanted)} are needed"
    return sets[:num_tests], sets[num_tests : len(wanted)]
