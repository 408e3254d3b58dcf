"""One tiny trained model for all rooms (`tiny_llama.py`).

It is trained once a session, whatever the number of test processes, and saved as a Hugging Face folder. Every test that
asks for `tiny_model` gets a copy of its own, loaded from there. Torch waits for the first test that needs it: pytest
reads this file before it starts its processes, and the vault's tests do without.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from birdbone.models import LoadedModel

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")  # on a busy machine everything is slow: timing never decides a test


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny model. Read it, do not write to it: all tests share it."""
    from tests.tiny_llama import train_model, train_tokenizer

    from birdbone.models import save_model

    base = tmp_path_factory.getbasetemp()
    # Under xdist each worker has a folder of its own below the session's.
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "tiny-llama"
    with _locked(shared / "tiny-llama.lock"):
        if not (folder / "config.json").is_file():
            tokenizer = train_tokenizer()
            save_model(train_model(tokenizer), tokenizer, folder)
    return folder


@pytest.fixture
def tiny_model(tiny_model_folder: Path) -> LoadedModel:
    """A fresh copy of the tiny model with its tokenizer and architecture."""
    from birdbone.models import load_model

    return load_model(str(tiny_model_folder))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
