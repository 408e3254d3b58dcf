"""A pointer of Git LFS is never taken for the file; the object that it names is checked before use."""

import subprocess
from pathlib import Path

import pytest

from birdbone.vault import put_file
from birdbone.vault.errors import BadSourceError, IncompleteSourceError, SourceMismatchError
from birdbone.vault.formats.weights import FORMATS
from birdbone.vault.interop import import_source

from .sources import MODEL, WEIGHTS, flipped, pointer, rewrite, sha256, write_files, write_lfs_repository

EXAMPLE = Path(__file__).parents[3] / "examples" / "gitattributes"


def object_of(root, content):
    oid = sha256(content)
    return root / ".git/lfs/objects" / oid[:2] / oid[2:4] / oid


def git(root, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")
    return subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True, text=True).stdout


def test_a_pointer_becomes_the_file_that_it_stands_for(vault, tmp_path):
    root = write_lfs_repository(tmp_path / "clone")
    found = import_source(vault, root / "model.safetensors")
    write_files(tmp_path, {"model.safetensors": WEIGHTS})
    assert found.artefact == put_file(vault, tmp_path / "model.safetensors", kind="model")
    assert found.provenance.files[0].digest == sha256(WEIGHTS)


def test_in_a_folder_each_pointer_is_followed_and_the_rest_is_read_as_it_is(vault, tmp_path):
    files = {**MODEL, "extra/model.safetensors": WEIGHTS}
    provenance = import_source(vault, write_lfs_repository(tmp_path / "clone", files)).provenance
    assert {file.path: file.digest is not None for file in provenance.files} == {
        path: path.endswith(".safetensors") for path in files
    }


def test_the_objects_of_a_linked_worktree_and_of_a_submodule_are_found(vault, tmp_path):
    for name in ("inner", "outer"):
        git(write_files(tmp_path / name, {"model.safetensors": pointer(WEIGHTS)}), "init", "-q")
        git(tmp_path / name, "add", ".")
        git(tmp_path / name, "commit", "-qm", "first")
    git(tmp_path / "outer", "worktree", "add", "-q", tmp_path / "linked")
    git(tmp_path / "outer", "submodule", "add", "-q", tmp_path / "inner", "sub")
    for place, owner in (("linked", "outer/.git"), ("outer/sub", "outer/.git/modules/sub")):
        pointing = tmp_path / place / "model.safetensors"
        assert (tmp_path / place / ".git").is_file()
        with pytest.raises(IncompleteSourceError):
            import_source(vault, pointing)
        lies_at = object_of(tmp_path, WEIGHTS).relative_to(tmp_path / ".git")
        write_files(tmp_path / owner, {str(lies_at): WEIGHTS})
        assert import_source(vault, pointing).provenance.source == "lfs"


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_a_pointer_without_its_object_is_refused_with_the_command(refuses, vault, tmp_path, name):
    root = write_lfs_repository(tmp_path / "clone")
    object_of(root, WEIGHTS).unlink()
    error = refuses(IncompleteSourceError, lambda: import_source(vault, root / name), match="does not have its object")
    assert "git lfs pull" in error.hint


def test_a_pointer_outside_of_any_repository_is_refused(refuses, vault, tmp_path):
    write_files(tmp_path, {"model.safetensors": pointer(WEIGHTS)})
    refuses(IncompleteSourceError, lambda: import_source(vault, tmp_path / "model.safetensors"), match="no git")


def test_a_damaged_object_is_refused(refuses, vault, tmp_path):
    root = write_lfs_repository(tmp_path / "clone")
    rewrite(object_of(root, WEIGHTS), flipped(WEIGHTS))
    error = refuses(SourceMismatchError, lambda: import_source(vault, root), match=sha256(WEIGHTS))
    assert "git lfs fsck" in error.hint
    object_of(root, WEIGHTS).write_bytes(WEIGHTS[:-1])
    refuses(SourceMismatchError, lambda: import_source(vault, root), match=f"says {len(WEIGHTS)}")


@pytest.mark.parametrize(
    "change",
    [
        ("sha256:", "sha512:"),
        ("oid", "old"),
        ("size", "length"),
        (sha256(WEIGHTS), "../../../secret"),
        ("size ", "size -"),
    ],
    ids=str,
)
def test_a_malformed_pointer_is_refused(refuses, vault, tmp_path, change):
    root = write_lfs_repository(tmp_path / "clone")
    (root / "model.safetensors").write_text(pointer(WEIGHTS).decode().replace(*change))
    refuses(BadSourceError, lambda: import_source(vault, root), match="begins as a pointer")


def test_a_git_file_that_names_no_folder_is_refused(refuses, vault, tmp_path):
    write_files(tmp_path / "clone", {"model.safetensors": pointer(WEIGHTS), ".git": b"nothing"})
    refuses(BadSourceError, lambda: import_source(vault, tmp_path / "clone"), match="names no git folder")


def test_the_example_gitattributes_gives_every_file_of_weights_to_lfs_and_keeps_the_manifest_as_text(tmp_path):
    write_files(tmp_path, {".gitattributes": EXAMPLE.read_bytes()})
    git(tmp_path, "init", "-q")
    weights = [f"deep/model{ending}" for ending in FORMATS]
    told = git(tmp_path, "check-attr", "filter", "diff", "merge", "text", "--", *weights).splitlines()
    expected = {"filter": "lfs", "diff": "lfs", "merge": "lfs", "text": "unset"}
    assert told == [f"{path}: {name}: {value}" for path in weights for name, value in expected.items()]
    manifest = git(tmp_path, "check-attr", "filter", "text", "eol", "--", ".birdbone-weights.json").splitlines()
    assert [line.rpartition(" ")[2] for line in manifest] == ["unspecified", "set", "lf"]
