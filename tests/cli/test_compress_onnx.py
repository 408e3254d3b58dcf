"""ONNX at the command line: the file is what onnxruntime proved, and a file that is not is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from birdbone.core import digest_file
from birdbone.models import LoadedModel, save_model

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture
def low_model_folder(tiny_model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's first layer: a graph is long in the making, and longer with each layer."""
    model = tiny_model.model
    del model.model.layers[1:]
    model.config.num_hidden_layers = 1
    return save_model(model, tiny_model.tokenizer, tmp_path_factory.mktemp("low") / "model")


def test_a_model_is_written_as_it_computes_or_not_at_all(call: Any, folder: Path, low_model_folder: Path) -> None:
    out = folder / "light.onnx"
    result = call("compress", "onnx", str(low_model_folder), "--out", str(out), "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["size_bytes"], told["digest"]) == (out.stat().st_size, digest_file(out))
    assert 0 <= told["max_difference"] < 1e-3
    strict = call("compress", "onnx", str(low_model_folder), "--out", str(folder / "no.onnx"), "--tolerance", "1e-7")
    assert strict.exit_code == 1
    assert "models.onnx_mismatch" in strict.stderr
    assert [file.name for file in folder.iterdir()] == ["light.onnx"]
