"""How the answers to a task are asked for and scored: settings of each kind. Free of torch."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from birdbone.core import Settings
from birdbone.evaluate.custom.templates import places_of

Aspect = Literal["case", "spaces", "punctuation", "articles"]
"""What two texts may differ in and still be the same."""

PAIR_LABELS = ("A", "B")
"""What the two answers of a pair are called."""

_MAX_PATTERN = 1000


class Written(Settings):
    """What holds of every answer that the model writes."""

    until: tuple[str, ...] = ("\n",)
    """The answer ends before the first of these; empty: at the end-of-text token or `max_new_tokens`."""
    max_new_tokens: int = Field(default=64, ge=1, le=4096)
    """It ends here at the latest."""


class ExactScoring(Written):
    """The answer is the text of the column, or one of a list of texts."""

    kind: Literal["exact"]
    """The answer written out."""
    ignores: tuple[Aspect, ...] = ("case", "spaces", "punctuation")
    """What does not count; white space at both ends never does."""


class RegexScoring(Written):
    """A regular expression of Python's `re` is searched in the answer."""

    kind: Literal["regex"]
    """A pattern in the answer."""
    pattern: str = Field(min_length=1, max_length=_MAX_PATTERN)
    """Its first group is compared with the answer's column."""
    compares: bool = True
    """Whether it is; if not, a match is enough, and no column of answers is needed."""
    take: Literal["first", "last"] = "first"
    """Which of several matches."""
    ignores: tuple[Aspect, ...] = ("case", "spaces", "punctuation")
    """What does not count in the comparison."""
    cpu_seconds: int = Field(default=10, ge=1, le=600)
    """What the search in all answers may take; then it is ended, and nothing is scored."""

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        try:
            num_groups = re.compile(self.pattern).groups
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"{self.pattern!r} is no regular expression: {error}") from error
        if self.compares and num_groups == 0:
            raise ValueError(f"{self.pattern!r} has no group to compare: put (...) around the answer in it")
        return self


class NumericScoring(Written):
    """A number in the answer is that of the column."""

    kind: Literal["numeric"]
    """A number in the answer."""
    take: Literal["first", "last"] = "last"
    """Which of several numbers."""
    decimal: Literal["point", "comma"] = "point"
    """What divides whole from part; the other one divides thousands."""
    percent: Literal["hundredth", "ignored"] = "hundredth"
    """Whether 45 % is 0.45 or 45."""
    tolerance_absolute: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """How far from the right number the answer may be."""
    tolerance_relative: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    """The same as a share of the right number; the larger of both holds."""


class MultipleChoiceScoring(Settings):
    """The likeliest choice is the answer; nothing is written."""

    kind: Literal["multiple_choice"]
    """One of several choices."""
    choices: str | tuple[str, ...] = "choices"
    """Column with a list (JSON, or texts parted by `|`), or several columns with a choice each."""
    answer_as: Literal["auto", "text", "letter", "index", "index_from_1"] = "auto"
    """How the column of answers names a choice. `auto`: text, letter, or place from 0; two readings are an error."""
    asks: Literal["text", "letter"] = "text"
    """What is judged as the answer. The place `{choices}` in the prompt lists all, a letter and a line each."""
    normalised: Literal["raw", "per_token", "per_byte", "unconditional"] = "per_byte"
    """The log-likelihood of a choice, divided by its length, or less that after `unconditional_prompt`."""
    unconditional_prompt: str = "Answer:"
    """What a choice is as likely after as its words alone make it."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that hold choices."""
        return (self.choices,) if isinstance(self.choices, str) else self.choices

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        if not isinstance(self.choices, str) and len(set(self.choices)) < max(2, len(self.choices)):
            raise ValueError("`choices` names one column with a list, or two or more different ones")
        return self


class JudgedScoring(Written):
    """Another model gives a grade, by the likelihood of each."""

    kind: Literal["judged"]
    """Another model judges."""
    judge: str = Field(min_length=1)
    """The model that judges, of this machine or the hub; it is in memory beside the model that is judged."""
    rubric: str | None = None
    """What it is asked: a template with columns, `{prompt}` and `{response}`, or `{first}` and `{second}` of a pair."""
    scale: tuple[str, ...] = ("1", "2", "3", "4", "5")
    """The grades, from the worst to the best, at equal steps. Not used for pairs."""
    reference: str | None = Field(default=None, min_length=1)
    """Column with another answer: the judge then says which of the two is better, asked in both orders."""
    judge_chat: bool = False
    """Whether the rubric goes through the judge's chat template."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What the judge may say, from the worst to the best; of a pair, the names of both answers."""
        return PAIR_LABELS if self.reference is not None else self.scale

    @property
    def wanted_places(self) -> tuple[str, ...]:
        """Places that the rubric must have: where the answers stand."""
        return ("first", "second") if self.reference is not None else ("response",)

    @field_validator("scale")
    @classmethod
    def _is_scale(cls, scale: tuple[str, ...]) -> tuple[str, ...]:
        if len(scale) < 2 or len(set(scale)) < len(scale) or not all(grade.strip() == grade != "" for grade in scale):
            raise ValueError("a scale has two or more different grades, without white space at their ends")
        return scale

    @model_validator(mode="after")
    def _shows_answers(self) -> Self:
        missing = set(self.wanted_places) - set(places_of(self.rubric)) if self.rubric is not None else set()
        if missing:
            raise ValueError(f"the rubric lacks {', '.join(f'{{{name}}}' for name in sorted(missing))}")
        return self


Scoring = Annotated[
    ExactScoring | RegexScoring | NumericScoring | MultipleChoiceScoring | JudgedScoring, Field(discriminator="kind")
]
"""Any of them."""
