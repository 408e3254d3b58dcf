"""What a benchmark found: one score an item, kept so that two models can be compared item by item."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from birdbone.core import Strict


class ItemScore(Strict):
    """How one item went."""

    id: str
    """Digest of the item's content: the same item has the same id in every result."""
    score: float = Field(ge=0, le=1)
    """1 right, 0 wrong; between them where a task gives shares."""
    chance: float = Field(ge=0, le=1)
    """What a guess would score."""
    answer: str
    """What the model said: the number of the choice, or the text."""


class BenchmarkResult(Strict):
    """A benchmark asked of one model."""

    format: Literal["birdbone.benchmark/1"] = "birdbone.benchmark/1"
    """Generation of this record."""
    benchmark: str
    """Its name."""
    artefact: str
    """Digest of what was asked."""
    metric: str
    """Name of the score: lm-eval's, or what a task of a user's own scores."""
    num_fewshot: int
    """Examples in each prompt."""
    limit: int | None
    """Items of each task that were asked for; None for all."""
    harness: str
    """What asked: lm-eval's version and that of each of its tasks, or Birdbone's own code for a user's task."""
    items_source: str
    """Digest of the items' files, or the hub's names; of a user's task, its version."""
    settings: dict[str, str | int | float | bool]
    """Engine and number format; of a task that a model judged, which one."""
    items: tuple[ItemScore, ...]
    """One an item, in the task's order."""
    num_shortened: int = 0
    """Requests whose context lost its beginning because it did not fit the model."""

    @property
    def is_opinion(self) -> bool:
        """Whether a model graded the answers: nobody knows what it would give a guess."""
        return "judged_by" in self.settings

    @property
    def accuracy(self) -> float:
        """Mean score."""
        return sum(item.score for item in self.items) / len(self.items)

    @property
    def chance(self) -> float:
        """What guessing would score on these items."""
        return sum(item.chance for item in self.items) / len(self.items)
