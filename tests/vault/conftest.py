"""A fresh store."""

import pytest

from birdbone.vault import open_vault


@pytest.fixture
def vault(tmp_path):
    return open_vault(tmp_path / "store")
