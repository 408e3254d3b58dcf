"""A fresh store, and what an import must leave alone when it is refused."""

import pytest

from birdbone.vault import open_vault


@pytest.fixture
def vault(tmp_path):
    return open_vault(tmp_path / "store")


@pytest.fixture
def refuses(vault):
    """Expect an error with a code and a hint, and an empty store after it."""

    def refuse(error, call, *, match):
        with pytest.raises(error, match=match) as caught:
            call()
        assert type(caught.value) is error
        assert caught.value.code.startswith("vault.")
        assert caught.value.hint
        assert not [path for path in (vault.objects / "artefacts").rglob("*") if path.is_file()]
        return caught.value

    return refuse
