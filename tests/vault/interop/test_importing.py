"""Whatever tool kept a folder, importing it gives the artefact that putting the plain folder gives."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.vault import checkout, commit, open_vault, put_file, put_folder
from birdbone.vault.errors import BadNameError, SourceChangedError, UnsupportedFileError
from birdbone.vault.interop import export_folder, export_oci, import_source
from birdbone.vault.interop.importing import _check_unchanged, _identity
from birdbone.vault.interop.source import Provenance, SourceFile

from ..checkpoints import checkpoints, content_of
from .sources import (
    COMMIT,
    MODEL,
    write_dvc_repository,
    write_files,
    write_hub_cache,
    write_lfs_repository,
)

paths = st.sampled_from(["config.json", "a/b.bin", "a/c", "README.md", ".hidden", "two words", "ü.txt"])
contents = st.binary(max_size=99).filter(lambda content: not content.startswith(b"version "))  # no pointers of LFS


@settings(max_examples=25, deadline=None)
@given(checkpoints(), st.dictionaries(paths, contents))
def test_every_tool_s_copy_of_a_folder_is_the_artefact_that_the_folder_is(checkpoint, others):
    files = {**others, "model.safetensors": checkpoint}
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        vault = open_vault(here / "store")
        expected = put_folder(vault, write_files(here / "plain", files), kind="model")
        commit(vault, expected, ref="main", message="first")
        export_oci(vault, "main", here / "oci")
        sources = {
            "plain": here / "plain",
            "huggingface": write_hub_cache(here / "hub", files),
            "dvc": write_dvc_repository(here / "dvc", files) / "model.dvc",
            "lfs": write_lfs_repository(here / "lfs", files),
            "oci": here / "oci",
        }
        imported = {tool: import_source(open_vault(here / f"{tool}-store"), place) for tool, place in sources.items()}
        assert {tool: found.provenance.source for tool, found in imported.items()} == {tool: tool for tool in sources}
        assert {found.artefact for found in imported.values()} == {expected}
        assert {tuple(file.path for file in found.provenance.files) for found in imported.values()} == {
            tuple(sorted(files))
        }


def test_an_import_leaves_the_source_and_the_temporary_folder_as_they_were(vault, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    source = write_hub_cache(tmp_path / "hub")
    before = {path: (path.lstat().st_mtime_ns, path.is_symlink()) for path in source.rglob("*")}
    import_source(vault, source)
    assert {path: (path.lstat().st_mtime_ns, path.is_symlink()) for path in source.rglob("*")} == before
    assert not list((tmp_path / "tmp").iterdir())


def test_a_plain_file_is_what_put_file_makes_of_it(vault, tmp_path):
    write_files(tmp_path, {"report.html": b"<p>light</p>"})
    found = import_source(vault, tmp_path / "report.html", kind="report")
    assert found.artefact == put_file(vault, tmp_path / "report.html", kind="report")
    assert found.provenance.in_words() == "imported 1 file from plain files"
    assert found.provenance.files[0].digest is None


@pytest.mark.parametrize("name", [".", "../plain", "extra/.."])
def test_the_current_folder_may_be_named_in_any_way(vault, tmp_path, monkeypatch, name):
    source = write_files(tmp_path / "plain", MODEL)
    monkeypatch.chdir(source)
    assert import_source(vault, Path(name)).artefact == put_folder(vault, source, kind="model")


def test_a_repository_s_own_folder_is_no_content(vault, tmp_path):
    plain = put_folder(vault, write_files(tmp_path / "plain", MODEL), kind="model")
    clone = write_files(tmp_path / "clone", {**MODEL, ".git/HEAD": b"ref: refs/heads/main\n"})
    worktree = write_files(tmp_path / "worktree", {**MODEL, ".git": b"gitdir: ../clone/.git/worktrees/w\n"})
    assert import_source(vault, clone).artefact == import_source(vault, worktree).artefact == plain


def test_an_exported_folder_comes_back_as_what_it_was(vault, tmp_path):
    artefact = put_folder(vault, write_files(tmp_path / "plain", MODEL), kind="model")
    version = commit(vault, artefact, ref="main", message="first")
    export_folder(vault, "main", tmp_path / "out")
    assert "birdbone.json" in content_of(tmp_path / "out")
    found = import_source(vault, tmp_path / "out")
    assert (found.artefact, found.provenance.revision) == (artefact, version.id)
    assert content_of(checkout(vault, found.artefact, tmp_path / "again")) == MODEL


def test_a_birdbone_json_of_another_program_is_content(vault, tmp_path):
    files = {**MODEL, "birdbone.json": b'{"format": "mine"}'}
    source = write_files(tmp_path / "plain", files)
    assert import_source(vault, source).artefact == put_folder(vault, source, kind="model")


def test_provenance_is_plain_json_that_reads_back(vault, tmp_path):
    provenance = import_source(vault, write_hub_cache(tmp_path / "hub")).provenance
    assert Provenance.model_validate_json(provenance.model_dump_json()) == provenance
    assert provenance.in_words() == f"imported 3 files from the Hugging Face cache (org/name@{COMMIT})"
    assert str(tmp_path) not in provenance.model_dump_json()


@pytest.mark.parametrize("what", ["missing", "link", "pipe", "linked folder"])
def test_what_is_no_plain_content_is_refused(refuses, vault, tmp_path, what):
    source = write_files(tmp_path / "plain", MODEL)
    if what == "link":
        (source / "gone.bin").symlink_to("nowhere")
    if what == "pipe":
        os.mkfifo(source / "pipe")
    if what == "linked folder":
        (source / "more").symlink_to(tmp_path)
    words = {"missing": "is not there", "link": "a dangling link", "pipe": "not a plain file"}
    source = tmp_path / "nothing" if what == "missing" else source
    refuses(UnsupportedFileError, lambda: import_source(vault, source), match=words.get(what, "a link to a folder"))


def test_a_bad_kind_is_refused(refuses, vault, tmp_path):
    source = write_files(tmp_path / "plain", MODEL)
    refuses(BadNameError, lambda: import_source(vault, source, kind="../x"), match="kind")


def test_a_file_that_is_replaced_between_check_and_use_is_noticed(tmp_path):
    write_files(tmp_path, {"a": b"one"})
    file = SourceFile(path="a", lies_at=tmp_path / "a")
    before = _identity(file)
    _check_unchanged([file], [before])
    write_files(tmp_path, {"b": b"two"})
    os.replace(tmp_path / "b", tmp_path / "a")
    with pytest.raises(SourceChangedError, match="changed"):
        _check_unchanged([file], [before])
    (tmp_path / "a").unlink()
    with pytest.raises(SourceChangedError):
        _check_unchanged([file], [before])
