"""Tasks of one's own, made ready to be asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from birdbone.cli.errors import UsageError
from birdbone.cli.evaluate.choices import one_of
from birdbone.evaluate.benchmarks.opening import Dtype, find_candidate, open_judge
from birdbone.evaluate.custom import CustomQuestion, CustomTask, Grader, read_task
from birdbone.evaluate.custom.scoring import JudgedScoring


def read_questions(
    paths: Sequence[Path], *, limit: int | None, dtype: str, num_threads: int
) -> tuple[CustomQuestion, ...]:
    """Return the tasks of files, ready to be asked; a model that judges is found, but not opened yet.

    Raises:
        UsageError: two tasks have one name, or there is no such format.
        YamlError, EvaluateError: a task cannot be read or asked.
        ModelError: there is no such judge.
    """
    questions = tuple(
        CustomQuestion(task=task, limit=limit, grader=_grader(task, dtype, num_threads))
        for task in map(read_task, paths)
    )
    names = [question.name for question in questions]
    if len(set(names)) < len(names):
        raise UsageError(f"--task names tasks of one name: {', '.join(names)}.")
    return questions


def _grader(task: CustomTask, dtype: str, num_threads: int) -> Grader | None:
    scoring = task.settings.scoring
    if not isinstance(scoring, JudgedScoring):
        return None
    candidate = find_candidate(scoring.judge, dtype=one_of(dtype, Dtype, "--dtype"))
    return Grader(
        name=candidate.name,
        artefact=candidate.artefact,
        settings=candidate.settings,
        open=lambda: open_judge(candidate, num_threads=num_threads),
    )
