"""Answers to made-up benchmarks, for rules to judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from birdbone.core import Measurement
from birdbone.evaluate.benchmarks import BenchmarkResult, ItemScore
from birdbone.evaluate.gates.evidence import AnswerPair


def result_of(scores: Sequence[float], *, name: str = "piqa", chance: float = 0.5) -> BenchmarkResult:
    """Return a benchmark with these scores."""
    items = tuple(
        ItemScore(id=f"item-{number}", score=float(score), chance=chance, answer="0")
        for number, score in enumerate(scores)
    )
    return BenchmarkResult(
        benchmark=name,
        artefact="b3:" + "a" * 64,
        metric="acc",
        num_fewshot=0,
        limit=None,
        harness="lm-eval",
        items_source="b3:" + "b" * 64,
        settings={"engine": "torch"},
        items=items,
    )


def pair_of(
    candidate: Sequence[float], baseline: Sequence[float], *, name: str = "piqa", chance: float = 0.5
) -> AnswerPair:
    """Return both models' answers to one benchmark."""
    return AnswerPair(
        candidate=result_of(candidate, name=name, chance=chance), baseline=result_of(baseline, name=name, chance=chance)
    )


def flipped(*, both: int, gained: int, lost: int, neither: int, **more: Any) -> AnswerPair:
    """Return answers of which so many are right with both models, with one of them, and with neither."""
    ours = [1] * both + [1] * gained + [0] * lost + [0] * neither
    theirs = [1] * both + [0] * gained + [1] * lost + [0] * neither
    return pair_of(ours, theirs, **more)


def measured(name: str, value: float, **fields: object) -> Measurement:
    """Return a figure."""
    return Measurement.model_validate(
        {"name": name, "value": value, "unit": "1", "method": "by hand", "artefact": "b3:0", **fields}
    )
