import errno
import json
import os
import stat
from pathlib import Path

import pytest

from birdbone.core import write_atomically, write_json
from birdbone.core.errors import DiskFullError
from birdbone.core.files import raise_if_disk_full


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")

    def write_half() -> None:
        with write_atomically(path) as stream:
            stream.write(b"half")
            raise RuntimeError("stopped in the middle")

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]


def test_a_file_and_its_folders_are_made_and_readable_as_the_umask_says(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.json"
    write_json(path, {"b": 1, "a": "ü"})
    assert path.read_text(encoding="utf-8") == '{\n  "a": "ü",\n  "b": 1\n}\n'
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_equal_values_give_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "one", {"x": [1, 2], "y": None})
    write_json(tmp_path / "two", {"y": None, "x": [1, 2]})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert json.loads((tmp_path / "one").read_text()) == {"x": [1, 2], "y": None}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_has_its_own_error(number: int) -> None:
    with pytest.raises(DiskFullError) as caught:
        raise_if_disk_full(OSError(number, "full"), Path("model.gguf"))
    assert caught.value.code == "core.disk_full"
    assert "model.gguf" in caught.value.message
    assert "--resume" in caught.value.hint


def test_another_error_of_the_system_is_left_alone() -> None:
    assert raise_if_disk_full(OSError(errno.EACCES, "no"), Path("x")) is None
