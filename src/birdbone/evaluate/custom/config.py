"""Settings of a task of one's own, as its YAML file holds them. Free of torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from birdbone.core import Settings
from birdbone.evaluate.custom.generation import Grammar, MutatedItems
from birdbone.evaluate.custom.scoring import MultipleChoiceScoring, Scoring
from birdbone.evaluate.custom.templates import places_of


class Fewshot(Settings):
    """Finished examples that stand before each item."""

    count: int = Field(ge=1, le=64)
    """How many. An item is never an example of itself: the next row takes its place."""
    source: str | None = Field(default=None, min_length=1)
    """File of examples with the columns of the items, relative to the task's file; unset: the first items."""
    separator: str = "\n\n"
    """Between two examples; a conversation needs none."""


class TaskSettings(Settings):
    """A benchmark of one's own."""

    format: Literal["birdbone.task/1"] = "birdbone.task/1"
    """Generation of this file."""
    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")
    """Name in tables and measurements; not that of a benchmark that Birdbone has."""
    description: str = ""
    """One sentence for people."""
    items: str | None = Field(default=None, min_length=1)
    """File of items, .jsonl or .csv, relative to this one."""
    generate: Annotated[Grammar | MutatedItems, Field(discriminator="kind")] | None = None
    """Instead of `items`: how items are made."""
    prompt: str = Field(min_length=1)
    """Template of the prompt: `{column}` stands for the item's value, `{{` and `}}` for braces."""
    answer: str = Field(default="answer", min_length=1)
    """Column of the right answer."""
    delimiter: str = " "
    """Between a prompt and its answer, where no chat template puts one."""
    system: str = ""
    """Text before all else: the system's message of a conversation, or a first paragraph."""
    chat: bool = False
    """Whether the prompt goes through the model's chat template, as a message of the user."""
    fewshot: Fewshot | None = None
    """Examples in the prompt."""
    scoring: Scoring
    """How an answer is asked for and scored."""

    @field_validator("prompt")
    @classmethod
    def _is_template(cls, text: str) -> str:
        if not places_of(text):
            raise ValueError("the prompt has no {column}, so all items would be asked the same")
        return text

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.items is None) == (self.generate is None):
            raise ValueError("give either `items` or `generate`")
        return self

    @model_validator(mode="after")
    def _can_be_balanced(self) -> Self:
        if not isinstance(self.generate, Grammar) or self.generate.balance == "none":
            return self
        if not isinstance(self.scoring, MultipleChoiceScoring):
            raise ValueError(f"`balance: {self.generate.balance}` needs multiple choice; say `balance: none`")
        if self.scoring.answer_as not in ("auto", "text"):
            raise ValueError("a balanced grammar gives the right choice as its text: say `answer_as: text`")
        return self
