"""Every kind of step that a recipe may name can be done."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import get_args

import pytest

import birdbone.pipeline.steps
from birdbone.core import Strict
from birdbone.pipeline.catalogue import CATALOGUE, find_kind, load_step, settings_types
from birdbone.pipeline.context import StepResult
from birdbone.pipeline.errors import UnknownStepError
from birdbone.pipeline.recipe import ShedStep, StepSettings, WavesStep

KINDS = [get_args(cls.model_fields["kind"].annotation)[0] for cls in get_args(get_args(StepSettings)[0])]


def wave(verdict: str) -> StepResult:
    return StepResult(notes={"verdict": verdict})


def test_the_catalogue_has_the_kinds_of_the_recipe_in_its_order() -> None:
    assert list(CATALOGUE) == KINDS
    assert len(KINDS) == 9


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_a_function_and_settings_that_say_what_it_does(kind: str) -> None:
    function = load_step(kind)
    assert function.__name__ == "run"
    assert function.__doc__
    settings = settings_types()[kind]
    assert issubclass(settings, Strict)
    assert settings.__doc__
    assert settings(kind=kind).kind == kind


def test_each_step_module_belongs_to_a_kind_or_serves_those_that_do() -> None:
    folder = Path(birdbone.pipeline.steps.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    steps = {name for name in modules if hasattr(importlib.import_module(f"birdbone.pipeline.steps.{name}"), "run")}
    assert steps == {kind.module for kind in CATALOGUE.values()}


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownStepError, match="seed, shed, log_activations, waves"):
        find_kind("sow")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("shed", "waves")])
def test_a_step_is_done_once(kind: str) -> None:
    has_next = find_kind(kind).has_next_round
    assert has_next(None, [])
    assert not has_next(None, [StepResult()])


@pytest.mark.parametrize(
    ("verdicts", "is_due"),
    [([], True), (["good"], True), (["good", "probation"], True), (["good", "undone"], False), (["good"] * 3, False)],
)
def test_waves_go_on_until_they_are_undone_or_enough(verdicts: list[str], is_due: bool) -> None:
    settings = WavesStep(kind="waves", max_waves=3)
    assert find_kind("waves").has_next_round(settings, [wave(verdict) for verdict in verdicts]) is is_due


@pytest.mark.parametrize(
    ("verdicts", "is_due"), [([], True), (["good"], True), (["undone"], False), (["good", "good"], False)]
)
def test_cuts_go_on_until_one_is_undone_or_all_are_made(verdicts: list[str], is_due: bool) -> None:
    settings = ShedStep.model_validate({"kind": "shed", "schedule": {"num_waves": 2}})
    assert find_kind("shed").has_next_round(settings, [wave(verdict) for verdict in verdicts]) is is_due
