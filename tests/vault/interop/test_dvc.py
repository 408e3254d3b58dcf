"""What DVC tracks is taken from its cache only if its MD5 is right; DVC itself does not look."""

import json

import pytest

from birdbone.vault import checkout, put_folder
from birdbone.vault.errors import BadSourceError, IncompleteSourceError, SourceMismatchError
from birdbone.vault.interop import import_source

from ..checkpoints import content_of
from .sources import MODEL, WEIGHTS, flipped, md5, rewrite, write_dvc_file, write_dvc_repository, write_files


def cached(root, content, *, is_old=False, ending=""):
    objects = root / ".dvc/cache" / ("" if is_old else "files/md5")
    return objects / md5(content)[:2] / (md5(content)[2:] + ending)


def write_listing(root, entries):
    listing = json.dumps(entries).encode()
    write_files(cached(root, listing).parent, {f"{md5(listing)[2:]}.dir": listing})
    write_dvc_file(root / "model.dvc", f"{md5(listing)}.dir")


@pytest.mark.parametrize("is_old", [False, True], ids=["DVC 3", "DVC 2"])
@pytest.mark.parametrize("name", ["model.dvc", "model.safetensors.dvc"])
def test_a_tracked_folder_or_file_is_read_from_the_cache(vault, tmp_path, name, is_old):
    root = write_dvc_repository(tmp_path / "repo", {"model.safetensors": WEIGHTS}, is_old=is_old)
    found = import_source(vault, root / name)
    assert content_of(checkout(vault, found.artefact, tmp_path / "out")) == {"model.safetensors": WEIGHTS}
    (file,) = found.provenance.files
    assert (file.algorithm, file.digest) == ("md5-dos2unix" if is_old else "md5", md5(WEIGHTS))
    assert found.provenance.revision in (root / name).read_text()


def test_dvc_2_hashed_texts_with_unix_line_ends_and_that_is_understood(vault, tmp_path):
    windows, unix = b"a: 1\r\nb: 2\r\n", b"a: 1\nb: 2\n"
    root = write_files(tmp_path / "repo", {".dvc/config": b""})
    write_files(cached(root, unix, is_old=True).parent, {md5(unix)[2:]: windows})
    write_dvc_file(root / "notes.txt.dvc", md5(unix), is_old=True)
    found = import_source(vault, root / "notes.txt.dvc")
    assert content_of(checkout(vault, found.artefact, tmp_path / "out")) == {"notes.txt": windows}


@pytest.mark.parametrize("config", ["config", "config.local"])
def test_a_cache_that_was_moved_is_found_through_the_configuration(vault, tmp_path, config):
    root = write_dvc_repository(tmp_path / "repo", cache="../shared")
    text = "[core]\n    analytics = false\n[cache]\n    type = symlink\n    dir = ../../shared\n"
    (root / ".dvc" / config).write_text(text + "['remote \"x\"']\n    url = /y\n")
    assert len(import_source(vault, root / "model.dvc").provenance.files) == len(MODEL)


def test_what_is_checked_out_is_read_in_place_and_what_is_not_comes_from_the_cache(vault, tmp_path):
    root = write_dvc_repository(tmp_path / "repo")
    from_cache = import_source(vault, root / "model")
    write_files(root / "model", MODEL)
    cached(root, WEIGHTS).unlink()
    assert import_source(vault, root / "model").artefact == from_cache.artefact
    assert from_cache.artefact == put_folder(vault, root / "model", kind="model")


def test_a_working_copy_that_was_changed_is_refused(refuses, vault, tmp_path):
    root = write_dvc_repository(tmp_path / "repo")
    write_files(root, {"model.safetensors": flipped(WEIGHTS)})
    error = refuses(SourceMismatchError, lambda: import_source(vault, root / "model.safetensors"), match="md5")
    assert "dvc add" in error.hint
    write_files(root / "model", {**MODEL, "new.bin": b""})
    refuses(SourceMismatchError, lambda: import_source(vault, root / "model"), match=r"new\.bin is new")


@pytest.mark.parametrize("name", ["model.dvc", "model.safetensors.dvc"])
def test_a_flipped_bit_in_dvc_s_cache_is_refused_and_dvc_s_silence_is_named(refuses, vault, tmp_path, name):
    root = write_dvc_repository(tmp_path / "repo")
    rewrite(cached(root, WEIGHTS), flipped(WEIGHTS))
    error = refuses(SourceMismatchError, lambda: import_source(vault, root / name), match=md5(WEIGHTS))
    assert "without a word" in error.hint


def test_a_flipped_bit_in_the_list_of_a_folder_is_refused(refuses, vault, tmp_path):
    root = write_dvc_repository(tmp_path / "repo")
    (listing,) = (root / ".dvc/cache/files/md5").rglob("*.dir")
    rewrite(listing, flipped(listing.read_bytes()))
    refuses(SourceMismatchError, lambda: import_source(vault, root / "model.dvc"), match="list of model")


def test_a_size_that_is_wrong_is_refused(refuses, vault, tmp_path):
    root = write_dvc_repository(tmp_path / "repo")
    write_dvc_file(root / "model.safetensors.dvc", md5(WEIGHTS), size_bytes=7)
    refuses(SourceMismatchError, lambda: import_source(vault, root / "model.safetensors.dvc"), match="says 7")


@pytest.mark.parametrize("missing", ["file", "listed file", "list"])
def test_an_object_that_was_not_pulled_is_refused_with_the_command(refuses, vault, tmp_path, missing):
    root = write_dvc_repository(tmp_path / "repo")
    listing = next((root / ".dvc/cache/files/md5").rglob("*.dir"))
    (listing if missing == "list" else cached(root, WEIGHTS)).unlink()
    name = "model.safetensors.dvc" if missing == "file" else "model.dvc"
    error = refuses(IncompleteSourceError, lambda: import_source(vault, root / name), match="does not have")
    assert "dvc pull" in error.hint


def test_a_dvc_file_outside_of_any_repository_is_refused(refuses, vault, tmp_path):
    write_dvc_file(tmp_path / "model.dvc", md5(b""))
    refuses(IncompleteSourceError, lambda: import_source(vault, tmp_path / "model.dvc"), match="no DVC repository")


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", "a//b", "a\\b", "a\x00b", 7, None])
def test_a_path_out_of_the_folder_is_refused(refuses, vault, tmp_path, path):
    root = write_dvc_repository(tmp_path / "repo")
    write_listing(root, [{"md5": md5(WEIGHTS), "relpath": path}])
    refuses(BadSourceError, lambda: import_source(vault, root / "model.dvc"), match="names the file")


@pytest.mark.parametrize(
    "entries",
    [
        [{"relpath": "a"}],
        [{"md5": md5(WEIGHTS), "relpath": "a"}] * 2,
        [{"md5": md5(WEIGHTS), "relpath": "a"}, {"md5": md5(WEIGHTS), "relpath": "a/b"}],
        [{"md5": "../../secret", "relpath": "a"}],
        [{"md5": 7, "relpath": "a"}],
        {"a": 1},
        7,
    ],
    ids=str,
)
def test_a_list_that_contradicts_itself_is_refused(refuses, vault, tmp_path, entries):
    root = write_dvc_repository(tmp_path / "repo")
    write_listing(root, entries)
    refuses(BadSourceError, lambda: import_source(vault, root / "model.dvc"), match=r"not understood|twice")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "outs: []",
        "outs:\n- path: x\n",
        "outs:\n- md5: ../../etc/passwd\n  path: x\n",
        "outs:\n- md5: 12345678901234567890123456789012\n  path: x\n",
        f"outs:\n- md5: {'a' * 32}\n  hash: sha256\n  path: x\n",
        f"outs:\n- {{md5: {'a' * 32}, path: x}}\n- {{md5: {'b' * 32}, path: y}}\n",
        "outs: [",
        "- 1",
    ],
    ids=str,
)
def test_a_dvc_file_that_tracks_no_single_md5_is_refused(refuses, vault, tmp_path, text):
    root = write_dvc_repository(tmp_path / "repo")
    (root / "x.dvc").write_text(text)
    refuses(BadSourceError, lambda: import_source(vault, root / "x.dvc"), match=r"x\.dvc does not track")


def test_a_configuration_that_is_none_is_refused(refuses, vault, tmp_path):
    root = write_dvc_repository(tmp_path / "repo")
    (root / ".dvc/config").write_text("cache dir = /tmp")
    refuses(BadSourceError, lambda: import_source(vault, root / "model.dvc"), match="config is not understood")
