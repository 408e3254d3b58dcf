"""A task of one's own, asked of a judge: the same result as of a benchmark that Birdbone has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, assert_never

from birdbone.evaluate.benchmarks.judge import Judge, Progress
from birdbone.evaluate.benchmarks.results import BenchmarkResult, ItemScore
from birdbone.evaluate.custom.exact import is_same
from birdbone.evaluate.custom.grading import Grader, grade_all
from birdbone.evaluate.custom.items import Item
from birdbone.evaluate.custom.likelihoods import score_choices
from birdbone.evaluate.custom.numeric import find_numbers, is_close
from birdbone.evaluate.custom.patterns import search_all
from birdbone.evaluate.custom.prompts import Fitting, prompt_tokens
from birdbone.evaluate.custom.scoring import (
    ExactScoring,
    JudgedScoring,
    MultipleChoiceScoring,
    NumericScoring,
    RegexScoring,
    Written,
)
from birdbone.evaluate.custom.task import GENERATION, CustomTask
from birdbone.evaluate.errors import BadTaskError, TooFewItemsError
from birdbone.evaluate.statistics import MIN_WINDOWS


@dataclass(frozen=True, kw_only=True)
class CustomQuestion:
    """A task as it is asked: of so many items, with the model that judges, if one does.

    Raises when it is made:
        BadTaskError: a judged task has no judge.
        TooFewItemsError: a judged task asks fewer items than an interval of grades needs.
    """

    task: CustomTask
    limit: int | None = None
    """Ask only the first so many items."""
    grader: Grader | None = None
    """The model that judges."""

    def __post_init__(self) -> None:
        """Refuse what could not be told in the end."""
        if not isinstance(self.task.settings.scoring, JudgedScoring):
            return
        if self.grader is None:
            raise BadTaskError(f"{self.name} is judged by a model, and none was given.")
        if len(self.items) < MIN_WINDOWS:
            raise TooFewItemsError(
                f"{self.name} asks {len(self.items)} items; grades have an interval from {MIN_WINDOWS} on.",
                num_items=len(self.items),
                needed=MIN_WINDOWS,
            )

    @property
    def name(self) -> str:
        """That of the task."""
        return self.task.name

    @property
    def items(self) -> tuple[Item, ...]:
        """What is asked."""
        return self.task.items[: self.limit]

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What its answers depend on, beside the model and its engine."""
        asked = {"benchmark": self.name, "custom": self.task.version, "limit": self.limit}
        if self.grader is None:
            return asked
        return {**asked, "judged_by": self.grader.artefact, "judged_in": dict(self.grader.settings)}

    def ask(self, judge: Judge, *, artefact: str, progress: Progress | None = None) -> BenchmarkResult:
        """Return the result on a model.

        Args:
            judge: asks the model.
            artefact: digest of the model.
            progress: told of requests answered; a judged task begins anew when the answers are judged.

        Raises:
            SlowPatternError: a regular expression came to no end.
            BadRequestError, NoChatTemplateError, BadTaskError: as the module of each kind of scoring says.
        """
        fitting = Fitting(judge.max_tokens)
        scores = self._scores(judge, fitting, progress)
        settings = self.task.settings
        return BenchmarkResult(
            benchmark=self.name,
            artefact=artefact,
            metric=_metric(settings.scoring, self.grader),
            num_fewshot=settings.fewshot.count if settings.fewshot is not None else 0,
            limit=self.limit,
            harness=f"birdbone custom task, generation {GENERATION}",
            items_source=self.task.version,
            settings={**judge.settings, **self._judged_by(artefact)},
            items=tuple(scores),
            num_shortened=fitting.num_shortened,
        )

    def _judged_by(self, artefact: str) -> dict[str, str | bool]:
        if self.grader is None:
            return {}
        return {
            "judged_by": self.grader.name,
            "judged_by_artefact": self.grader.artefact,
            "judged_itself": self.grader.artefact == artefact,
        }

    def _scores(self, judge: Judge, fitting: Fitting, progress: Progress | None) -> list[ItemScore]:
        scoring = self.task.settings.scoring
        if isinstance(scoring, MultipleChoiceScoring):
            return score_choices(judge, self.task, self.items, scoring, fitting=fitting, progress=progress)
        texts = self._written(judge, scoring, fitting, progress)
        match scoring:
            case ExactScoring():
                values = [
                    float(is_same(text, item.answers, scoring.ignores))
                    for item, text in zip(self.items, texts, strict=True)
                ]
            case RegexScoring():
                values = _match_all(self.items, texts, scoring)
            case NumericScoring():
                values = [_number_score(item, text, scoring) for item, text in zip(self.items, texts, strict=True)]
            case JudgedScoring():
                values = self._graded(scoring, texts, fitting, progress)
            case _:
                assert_never(scoring)
        return [
            ItemScore(id=item.id, score=value, chance=0.0, answer=text)
            for item, text, value in zip(self.items, texts, values, strict=True)
        ]

    def _written(self, judge: Judge, scoring: Written, fitting: Fitting, progress: Progress | None) -> list[str]:
        max_new_tokens = min(scoring.max_new_tokens, judge.max_tokens // 2)  # the question needs its half
        prompts = [
            fitting.prompt(prompt_tokens(judge, self.task.settings, item), max_new_tokens) for item in self.items
        ]
        return judge.generate(prompts, stops=scoring.until, max_new_tokens=max_new_tokens, progress=progress)

    def _graded(
        self, scoring: JudgedScoring, texts: Sequence[str], fitting: Fitting, progress: Progress | None
    ) -> list[float]:
        assert self.grader is not None, "checked when the question was made"
        with self.grader.open() as grader:
            own = Fitting(grader.max_tokens)
            values = grade_all(grader, scoring, self.items, texts, fitting=own, progress=progress)
        fitting.num_shortened += own.num_shortened
        return values


def _match_all(items: Sequence[Item], texts: Sequence[str], scoring: RegexScoring) -> list[float]:
    found = search_all(scoring.pattern, texts, take=scoring.take, cpu_seconds=scoring.cpu_seconds)
    if not scoring.compares:
        return [float(groups is not None) for groups in found]
    return [
        float(groups is not None and is_same(groups[1] or "", item.answers, scoring.ignores))
        for item, groups in zip(items, found, strict=True)
    ]


def _number_score(item: Item, text: str, scoring: NumericScoring) -> float:
    numbers = find_numbers(text, scoring)
    if not numbers:
        return 0.0
    value = numbers[0 if scoring.take == "first" else -1]
    rights = [find_numbers(answer, scoring)[0] for answer in item.answers]
    return float(any(is_close(value, right, scoring) for right in rights))


def _metric(
    scoring: ExactScoring | RegexScoring | NumericScoring | MultipleChoiceScoring | JudgedScoring,
    grader: Grader | None,
) -> str:
    match scoring:
        case ExactScoring():
            return "exact match"
        case RegexScoring(compares=compares):
            return "regular expression, compared" if compares else "regular expression, matched"
        case NumericScoring():
            return "right number"
        case MultipleChoiceScoring(normalised=normalised):
            return f"likeliest choice, {normalised.replace('_', ' ')}"
        case JudgedScoring(reference=reference):
            assert grader is not None, "checked when the question was made"
            what = "grade" if reference is None else "preference over a reference, both orders,"
            return f"{what} by a model: {grader.name} {grader.artefact[:15]}"
        case _:
            assert_never(scoring)
