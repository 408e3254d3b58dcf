"""A fresh store, and a remote of each kind."""

import pytest

from birdbone.vault import open_vault

from .stores import memory_url


@pytest.fixture
def vault(tmp_path):
    return open_vault(tmp_path / "store")


@pytest.fixture(params=["folder", "file", "memory"])
def url(request, tmp_path):
    path = tmp_path / "far"
    return {"folder": str(path), "file": path.as_uri(), "memory": memory_url()}[request.param]
