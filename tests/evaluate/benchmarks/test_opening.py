"""A result belongs to the very weights that were asked."""

import json

import torch
from safetensors.torch import save_file

from birdbone.evaluate.benchmarks.opening import find_candidate


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
