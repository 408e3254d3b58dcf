"""Runners choose the tokens that the model chooses without them, in both engines."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.evaluate.checks.judges import CONTEXT, whole_judge, write_judge
from tests.evaluate.tiny import VOCAB, tiny_model

from birdbone.evaluate.cost.runners import LlamaCppRunner, TorchRunner, open_runner, prompt_ids


@torch.no_grad()
def greedy(model: torch.nn.Module, ids: list[int], count: int) -> list[int]:
    ids = list(ids)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[-count:]


@pytest.mark.parametrize("family", ["llama", "mistral", "opt"])
def test_torch_chooses_what_the_model_chooses_without_a_cache(family: str) -> None:
    model = tiny_model(family)
    runner = TorchRunner(model)
    wanted = greedy(model, prompt_ids(20, VOCAB), 4)
    found = []
    runner.ready(20)
    for _ in range(4):
        found.append(runner._token)
        runner.decode(1)
    assert found == wanted
    runner.prefill(20)  # begins again from an empty cache
    assert runner._token == wanted[0]


def test_llama_cpp_chooses_what_it_chooses_by_itself(tmp_path: Path) -> None:
    write_judge(whole_judge(), tmp_path / "tiny.gguf")
    opened = open_runner(str(tmp_path / "tiny.gguf"), "llama.cpp", dtype="float32", num_threads=1, num_ctx=CONTEXT)
    with opened as runner:
        assert isinstance(runner, LlamaCppRunner)
        prompt = prompt_ids(6, runner.engine.vocab_size)
        wanted = runner.engine.generate_greedy(prompt, 5)
        for _ in range(2):  # the second time the engine still holds the prompt
            runner.ready(6)
            runner.decode(4)
            assert runner._ids == [*prompt, *wanted]
            runner.prefill(3)


def test_ids_are_the_same_each_time_and_within_the_vocabulary() -> None:
    ids = prompt_ids(50, VOCAB)
    assert ids == prompt_ids(50, VOCAB)
    assert set(ids) <= set(range(VOCAB))
    assert len(set(ids)) == 50
