"""Which step of a recipe comes next, and what it is given: a function of the recipe and the results so far alone.

So a walk that is cut off and walked again, with the results that it had, comes to the same place. A step may send the
walk back to an earlier one. If it changes settings as well, that is a retry: the steps from there on are done again by
the changed recipe, and nothing that they gave before is seen any more, but why they are done again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from birdbone.pipeline.catalogue import find_kind
from birdbone.pipeline.context import StepResult
from birdbone.pipeline.recipe import Recipe, change_recipe
from birdbone.pipeline.worker import StepJob

_ROUNDS = {"waves": "wave", "shed": "cut"}
"""What a round of a step is called, where it may have many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """A step, or a round of one, that is done."""

    label: str
    kind: str
    result: StepResult


def walk(recipe: Recipe, *, run_id: str, do: Callable[[StepJob, Recipe], StepResult]) -> None:
    """Do the steps of a recipe in order.

    Args:
        do: does one step, or one round of it, by the recipe that is in force.

    Raises:
        BadRecipeError: a step changed a setting to what it cannot be.
    """
    kinds: list[str] = [step.kind for step in recipe.steps]
    done: list[_Done] = []
    tries: Counter[str] = Counter()
    index = num_done = 0
    while index < len(kinds):
        kind = kinds[index]
        tries[kind] += 1
        rounds: list[StepResult] = []
        while find_kind(kind).has_next_round(recipe.steps[index], rounds):
            label = _label(kind, num_rounds=len(rounds), attempt=tries[kind])
            result = do(_job(run_id, label, kind, done, rounds, position=num_done), recipe)
            rounds.append(result)
            done.append(_Done(label=label, kind=kind, result=result))
            num_done += 1
        back = rounds[-1].go_back_to
        if back is not None and rounds[-1].changes:
            recipe, done = change_recipe(recipe, rounds[-1].changes), _without(done, kinds[kinds.index(back) :])
        index = kinds.index(back) if back is not None else index + 1


def _without(done: Sequence[_Done], kinds: Sequence[str]) -> list[_Done]:
    return [each for each in done if each.kind not in kinds or each.result.changes]


def _label(kind: str, *, num_rounds: int, attempt: int) -> str:
    label = f"{_ROUNDS[kind]}-{num_rounds + 1}" if kind in _ROUNDS else kind
    return label if attempt == 1 else f"{label}-try{attempt}"


def _job(
    run_id: str, label: str, kind: str, done: Sequence[_Done], rounds: Sequence[StepResult], *, position: int
) -> StepJob:
    artefacts: dict[str, str] = {}
    for each in done:
        artefacts |= each.result.artefacts
    return StepJob(
        run_id=run_id,
        label=label,
        kind=kind,
        position=position,
        round=len(rounds),
        artefacts=artefacts,
        history=tuple(rounds),
        notes={each.label: each.result.notes for each in done},
        figures=tuple(row for each in done for row in each.result.measurements),
    )
