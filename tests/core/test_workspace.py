from pathlib import Path

import pytest

from birdbone.core import find_workspace, make_workspace
from birdbone.core.errors import BadConfigError, WorkspaceError


def test_a_workspace_is_found_from_any_folder_below_it(tmp_path: Path) -> None:
    made, is_new = make_workspace(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert is_new
    assert find_workspace(below).folder == made.folder == tmp_path / ".birdbone"
    assert not make_workspace(tmp_path)[1]


def test_the_nearest_workspace_wins(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    make_workspace(tmp_path)
    make_workspace(inner)
    assert find_workspace(inner).folder == inner / ".birdbone"


def test_no_workspace_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError) as caught:
        find_workspace(tmp_path)
    assert (caught.value.code, caught.value.kind) == ("core.workspace_missing", "not_found")
    assert "birdbone init" in caught.value.hint


def test_state_lies_in_the_workspace_unless_a_url_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, _ = make_workspace(tmp_path)
    assert workspace.database_url == f"sqlite:///{tmp_path / '.birdbone' / 'birdbone.db'}"
    (workspace.folder / "config.yaml").write_text("database_url: postgresql://localhost/one\nnum_threads: 3\n")
    assert find_workspace(tmp_path).database_url == "postgresql://localhost/one"
    monkeypatch.setenv("BIRDBONE_DATABASE_URL", "postgresql://localhost/two")
    assert find_workspace(tmp_path).database_url == "postgresql://localhost/two"
    assert find_workspace(tmp_path).config.num_threads == 3


@pytest.mark.parametrize("text", ["unknown_key: 1", "num_threads: 0", "num_threads: many"])
def test_wrong_settings_name_the_key(tmp_path: Path, text: str) -> None:
    workspace, _ = make_workspace(tmp_path)
    (workspace.folder / "config.yaml").write_text(text)
    with pytest.raises(BadConfigError) as caught:
        find_workspace(tmp_path)
    assert text.split(":")[0] in caught.value.message
    assert caught.value.kind == "invalid"
