"""What a model wrote counts as right when its test passes in the sandbox, and not when it says so."""

import pytest
from tests.evaluate.benchmarks.texts import character_tokenizer, write_all_items
from tests.evaluate.tiny import tiny_model

from birdbone.evaluate.benchmarks import Question
from birdbone.evaluate.benchmarks.code_tasks import score_humaneval, score_mbpp
from birdbone.evaluate.benchmarks.harness import ask
from birdbone.evaluate.benchmarks.local_items import read_items
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("items")
    write_all_items(folder)
    return folder


@pytest.mark.parametrize(
    ("completion", "score"),
    [
        ("    return w < 5\n", 1.0),
        ("    return True\n", 0.0),
        ("    raise SystemExit(0)\n", 0.0),
        ("    return w <\n", 0.0),
    ],
)
def test_a_completed_function_is_run_on_its_test(folder, completion, score):
    (item,) = read_items(folder, "humaneval")["humaneval"]["test"]
    assert score_humaneval(item, [completion]) == {"acc": score}


@pytest.mark.parametrize(("program", "score"), [("def add(n): return n + 11", 1.0), ("def add(n): return 11", 0.0)])
def test_a_program_is_run_on_its_assertions(folder, program, score):
    (item,) = read_items(folder, "mbpp")["mbpp"]["test"]
    assert score_mbpp(item, [program]) == {"acc": score}


def test_a_model_that_writes_noise_solves_nothing(folder):
    judge = TorchJudge(tiny_model("gpt_neox"), character_tokenizer())
    for name, shots in (("humaneval", 0), ("mbpp", 3)):
        scores, _, _ = ask(judge, Question(benchmark=name, num_fewshot=shots, limit=None), read_items(folder, name))
        assert [item.score for item in scores] == [0.0]
