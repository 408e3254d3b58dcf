"""Results and records of models that were never asked: scores as a test wants them, kept as real ones are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from birdbone.evaluate.benchmarks import BenchmarkResult, ItemScore
from birdbone.evaluate.history import Environment, History, Record, Subject
from birdbone.evaluate.history.keeping import keep_asked

DAY = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)


def result_of(scores: Iterable[float], *, name: str = "piqa", chance: float = 0.5, **changed: Any) -> BenchmarkResult:
    """Return a result with these scores."""
    items = tuple(
        ItemScore(id=f"item-{number}", score=float(score), chance=chance, answer="0")
        for number, score in enumerate(scores)
    )
    fields: dict[str, Any] = {
        "benchmark": name,
        "artefact": "b3:" + "a" * 64,
        "metric": "acc",
        "num_fewshot": 0,
        "limit": None,
        "harness": f"lm-eval 0.4.13: {name} 1.0",
        "items_source": "b3:" + "c" * 64,
        "settings": {"engine": "torch", "dtype": "float32"},
        "items": items,
    }
    return BenchmarkResult(**(fields | changed))


def rights(num_right: int, num_items: int, **changed: Any) -> BenchmarkResult:
    """Return a result with so many right answers."""
    return result_of([1] * num_right + [0] * (num_items - num_right), **changed)


def environment_of(**changed: Any) -> Environment:
    """Return the environment of an invented machine."""
    fields: dict[str, Any] = {
        "birdbone": "0.1.0",
        "python": "3.11.9",
        "platform": "Linux 6.1 x86_64",
        "packages": {"lm-eval": "0.4.13", "torch": "2.13.0", "transformers": "5.20.0"},
        "cpu": "a CPU",
        "cores": 2,
        "threads": 1,
        "dtype": "float32",
    }
    return Environment(**(fields | changed))


def keep(history: History, result: BenchmarkResult, *, day: int = 0, model: str = "tiny", **names: Any) -> Record:
    """Keep a result as asked so many days after the first."""
    subject = Subject(model=model, artefact=result.artefact, **names)
    return keep_asked(
        history, result, subject=subject, environment=environment_of(), taken_at=DAY + dt.timedelta(days=day)
    )


def digest(letter: str) -> str:
    """Return a digest of one letter."""
    return "b3:" + letter * 64
