"""A result belongs to the very weights that were asked."""

import json

import pytest
import torch
from safetensors.torch import save_file
from tests.evaluate.services import completions, service

from birdbone.evaluate.benchmarks.opening import Service, find_candidate, open_judge
from birdbone.evaluate.errors import BadSettingError


def test_two_odd_files_in_one_folder_are_two_candidates(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    for name, value in (("one", 1.0), ("two", 2.0)):
        save_file({"w": torch.full((2,), value)}, tmp_path / f"{name}.safetensors")
    one, two = (find_candidate(str(tmp_path / f"{name}.safetensors"), dtype="float32") for name in ("one", "two"))
    assert one.artefact != two.artefact
    again = find_candidate(str(tmp_path / "one.safetensors"), dtype="float32")
    assert again == one
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    assert find_candidate(str(tmp_path / "one.safetensors"), dtype="float32").artefact != one.artefact


def test_a_folder_is_all_of_its_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    before = find_candidate(str(tmp_path), dtype="float32")
    save_file({"w": torch.zeros(2)}, tmp_path / "model.safetensors")
    assert find_candidate(str(tmp_path), dtype="float32").artefact != before.artefact


def test_what_a_candidate_says_of_its_judge_is_what_the_judge_says(tiny_model_folder):
    candidate = find_candidate(str(tiny_model_folder), dtype="float32")
    with open_judge(candidate, num_threads=1) as judge:
        assert candidate.settings == judge.settings
        with service(completions(judge)) as url:
            behind = Service(url=f"{url}/", model="tiny", tokenizer=str(tiny_model_folder), num_ctx=64)
            with open_judge(behind, num_threads=1) as there:
                assert behind.settings == there.settings
                assert there.encode("A bird") == judge.encode("A bird")


def test_llama_cpp_is_not_asked_to_run_a_folder(tiny_model_folder):
    with pytest.raises(BadSettingError, match=r"runs a \.gguf"):
        find_candidate(str(tiny_model_folder), engine="llama.cpp")
