"""What comes next follows from the results alone; a retry does steps again by changed settings, from clean ground."""

from __future__ import annotations

from typing import Any

import pytest

from birdbone.core import Measurement
from birdbone.pipeline.context import StepResult
from birdbone.pipeline.errors import BadRecipeError
from birdbone.pipeline.recipe import Recipe, change_recipe, resolve_recipe
from birdbone.pipeline.walk import walk
from birdbone.pipeline.worker import StepJob

KINDS = ("seed", "log_activations", "waves", "quantize", "export", "judge", "version")
RECIPE = resolve_recipe(
    {"name": "small", "steps": [{"kind": kind, **({"max_waves": 2} if kind == "waves" else {})} for kind in KINDS]}
)


def figure(label: str) -> Measurement:
    return Measurement(name="made_up", value=1, unit="1", method="for a test", artefact=f"b3:{label}")


def result_of(job: StepJob, **fields: Any) -> StepResult:
    notes = {"verdict": "good", "good_states": []} if job.kind == "waves" else {}
    return StepResult(artefacts={job.kind: job.label}, measurements=(figure(job.label),), notes=notes, **fields)


class Steps:
    """Steps that do nothing but say where to go, and remember what they were given."""

    def __init__(self, **endings: dict[str, Any]) -> None:
        self.endings = endings
        self.jobs: list[StepJob] = []
        self.recipes: list[Recipe] = []

    def __call__(self, job: StepJob, recipe: Recipe) -> StepResult:
        self.jobs.append(job)
        self.recipes.append(recipe)
        return result_of(job, **self.endings.get(job.label.replace("-", "_"), {}))

    @property
    def labels(self) -> list[str]:
        return [job.label for job in self.jobs]


def walked(**endings: dict[str, Any]) -> Steps:
    steps = Steps(**endings)
    walk(RECIPE, run_id="small-1", do=steps)
    return steps


def test_a_walk_without_a_way_back_does_each_step_once() -> None:
    steps = walked()
    assert steps.labels == ["seed", "log_activations", "wave-1", "wave-2", *KINDS[3:]]
    assert [job.position for job in steps.jobs] == list(range(8))


def test_a_way_back_without_changes_keeps_what_was_seen() -> None:
    steps = walked(judge={"go_back_to": "quantize"})
    assert steps.labels[-5:] == ["judge", "quantize-try2", "export-try2", "judge-try2", "version"]
    second = steps.jobs[steps.labels.index("quantize-try2")]
    assert {"judge", "quantize", "wave-1"} <= set(second.notes)
    assert second.artefacts["export"] == "export"


def test_a_retry_sees_nothing_of_the_steps_that_are_done_again_but_why() -> None:
    changes = {"waves.shed.fraction": 0.05, "waves.max_waves": 1}
    steps = walked(judge={"go_back_to": "waves", "changes": changes})
    assert steps.labels[6:] == [
        "judge", "wave-1-try2", "quantize-try2", "export-try2", "judge-try2", "version",
    ]  # fmt: skip
    again = steps.jobs[steps.labels.index("wave-1-try2")]
    assert list(again.notes) == ["seed", "log_activations", "judge"]
    assert again.artefacts == {"seed": "seed", "log_activations": "log_activations", "judge": "judge"}
    assert [row.artefact for row in again.figures] == ["b3:seed", "b3:log_activations", "b3:judge"]
    assert (again.round, again.history) == (0, ())
    assert [job.position for job in steps.jobs] == list(range(len(steps.jobs)))


def test_the_settings_of_a_retry_hold_from_then_on_and_those_before_stay() -> None:
    steps = walked(
        judge={"go_back_to": "waves", "changes": {"waves.max_waves": 1}},
        judge_try2={"go_back_to": "quantize", "changes": {"quantize.format.linears": "q5_0"}},
    )
    by_label = dict(zip(steps.labels, steps.recipes, strict=True))
    assert by_label["judge"] == RECIPE
    assert [by_label[label].step("waves").max_waves for label in ("judge", "wave-1-try2", "version")] == [2, 1, 1]
    assert [by_label[label].step("quantize").format.linears for label in ("quantize-try2", "quantize-try3")] == [
        "q4_0",
        "q5_0",
    ]
    assert {"judge", "judge-try2"} <= set(steps.jobs[-1].notes)


@pytest.mark.parametrize("num_known", range(12))
def test_a_walk_that_is_walked_again_with_its_results_comes_to_the_same_place(num_known: int) -> None:
    """A resume gives the stored results of the first steps, and does only the others."""
    endings = {"judge": {"go_back_to": "waves", "changes": {"waves.max_waves": 1}}}
    whole = walked(**endings)
    stored = {job.label: whole.endings.get(job.label, {}) for job in whole.jobs[:num_known]}
    again = Steps(**endings)

    def do(job: StepJob, recipe: Recipe) -> StepResult:
        if job.label not in stored:
            return again(job, recipe)
        return StepResult.model_validate(result_of(job, **stored[job.label]).model_dump(mode="json"))

    walk(RECIPE, run_id="small-1", do=do)
    assert (again.jobs, again.recipes) == (whole.jobs[num_known:], whole.recipes[num_known:])


def test_a_changed_recipe_is_checked_again() -> None:
    changed = change_recipe(RECIPE, {"waves.shed.fraction": 0.02})
    assert changed.step("waves").shed.fraction == 0.02
    assert change_recipe(changed, {"waves.shed.fraction": RECIPE.step("waves").shed.fraction}) == RECIPE
    for path, value in (("waves.shed.fraction", 2), ("waves.colour", 1), ("sow.depth", 1)):
        with pytest.raises(BadRecipeError):
            change_recipe(RECIPE, {path: value})
