"""The worked example is whole, and can be asked."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.evaluate.custom import CustomQuestion, read_task
from birdbone.evaluate.custom.numeric import find_numbers

FOLDER = Path(__file__).parents[3] / "examples" / "custom_benchmark"


def test_every_task_of_the_example_loads():
    tasks = {path.stem: read_task(path) for path in FOLDER.glob("*.yaml")}
    assert {name: len(task.items) for name, task in tasks.items()} == {"birds": 20, "sums": 40}
    assert Counter(item.right for item in tasks["birds"].items) == {0: 5, 1: 5, 2: 5, 3: 5}
    for item in tasks["sums"].items:
        numbers = find_numbers(item.prompt, tasks["sums"].settings.scoring)
        assert Fraction(item.answers[0]) == sum(numbers)


@pytest.mark.parametrize("name", ["birds", "sums"])
def test_the_example_is_asked_of_a_model(tiny_model, name):
    question = CustomQuestion(task=read_task(FOLDER / f"{name}.yaml"), limit=4)
    result = question.ask(TorchJudge(tiny_model.model, tiny_model.tokenizer), artefact="b3:" + "a" * 64)
    assert len(result.items) == 4
    assert result.chance == (0.25 if name == "birds" else 0)
