"""The tiny trained model as an F32 GGUF file, written once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdbone.models import load_model
from birdbone.models.gguf import GgufType, write_gguf


@pytest.fixture(scope="session")
def tiny_gguf(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read it, do not write to it: all tests of this folder share it."""
    loaded = load_model(str(tiny_model_folder))
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(
        path,
        model_config=loaded.model.config,
        state_tensors=loaded.model.state_dict(),
        tokenizer=loaded.tokenizer,
        default_type=GgufType.F32,
    )
    return path
