"""A hub cache is read as the hub wrote it, each blob checked; what is partly downloaded is refused."""

import json

import pytest
from huggingface_hub import scan_cache_dir

from birdbone.vault.errors import BadSourceError, IncompleteSourceError, SourceMismatchError
from birdbone.vault.interop import import_source
from birdbone.vault.refs.lookup import read_manifest

from .sources import COMMIT, MODEL, WEIGHTS, flipped, git_sha1, rewrite, sha256, write_files, write_hub_cache

OTHER = "decaf" + "0" * 35


def test_the_hub_s_own_reader_takes_these_fixtures_for_a_cache(tmp_path):
    write_hub_cache(tmp_path)
    found = scan_cache_dir(tmp_path)
    (repo,) = found.repos
    (revision,) = repo.revisions
    assert not found.warnings
    assert (repo.repo_id, revision.commit_hash, revision.refs) == ("org/name", COMMIT, {"main"})
    assert {str(file.file_path.relative_to(revision.snapshot_path)) for file in revision.files} == set(MODEL)


def test_name_revision_and_digests_become_the_provenance(vault, tmp_path):
    provenance = import_source(vault, write_hub_cache(tmp_path)).provenance
    assert (provenance.source, provenance.repo, provenance.revision) == ("huggingface", "org/name", COMMIT)
    assert {(file.path, file.algorithm, file.digest) for file in provenance.files} == {
        ("model.safetensors", "sha256", sha256(WEIGHTS)),
        *((path, "sha1-git", git_sha1(MODEL[path])) for path in MODEL if path != "model.safetensors"),
    }


def test_a_snapshot_is_named_or_main_is_taken(vault, tmp_path):
    folder = write_hub_cache(tmp_path, {"config.json": b"old"}, commit=OTHER)
    write_hub_cache(tmp_path, {"config.json": b"new"})
    named = import_source(vault, folder / "snapshots" / OTHER)
    main = import_source(vault, folder)
    assert (named.provenance.revision, main.provenance.revision) == (OTHER, COMMIT)
    assert named.artefact != main.artefact


@pytest.mark.parametrize("part", ["model.safetensors", "extra"])
def test_a_file_or_folder_of_a_snapshot_is_read_alone_and_checked(refuses, vault, tmp_path, part):
    place = write_hub_cache(tmp_path, {**MODEL, "extra/model.safetensors": WEIGHTS}) / "snapshots" / COMMIT / part
    damaged = (place if place.is_file() else place / "model.safetensors").resolve()
    rewrite(damaged, flipped(WEIGHTS))
    refuses(SourceMismatchError, lambda: import_source(vault, place), match=r"model\.safetensors")
    rewrite(damaged, WEIGHTS)
    provenance = import_source(vault, place).provenance
    assert provenance.revision == COMMIT
    assert "config.json" not in {file.path for file in provenance.files}


def test_without_a_main_the_only_snapshot_is_taken_and_of_several_none(refuses, vault, tmp_path):
    folder = write_hub_cache(tmp_path)
    write_hub_cache(tmp_path, {"config.json": b"old"}, commit=OTHER)
    (folder / "refs" / "main").unlink()
    error = refuses(BadSourceError, lambda: import_source(vault, folder), match="2 snapshots")
    assert f"snapshots/{OTHER}" in error.hint
    (folder / "snapshots" / OTHER / "config.json").unlink()
    (folder / "snapshots" / OTHER).rmdir()
    assert import_source(vault, folder).provenance.revision == COMMIT


def test_a_repository_of_data_is_a_dataset_unless_said_otherwise(vault, tmp_path):
    folder = write_hub_cache(tmp_path, {"train.jsonl": b"{}"}, repo="datasets--org--name")
    assert read_manifest(vault, import_source(vault, folder).artefact).kind == "dataset"
    assert read_manifest(vault, import_source(vault, folder, kind="report").artefact).kind == "report"


def test_a_blob_in_the_shared_store_of_the_cache_is_followed(vault, tmp_path):
    folder = write_hub_cache(tmp_path)
    blob = folder / "blobs" / sha256(WEIGHTS)
    shared = tmp_path / "blobs" / "ab" / ("ab" + "0" * 62)
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(f"../../blobs/ab/{shared.name}")
    assert import_source(vault, folder).provenance.repo == "org/name"


def test_a_cache_without_links_is_read_but_its_files_have_no_digest(vault, tmp_path):
    folder = tmp_path / "models--gpt2"
    write_files(folder, {"refs/main": COMMIT.encode()})
    write_files(folder / "snapshots" / COMMIT, MODEL)
    provenance = import_source(vault, folder).provenance
    assert provenance.repo == "gpt2"
    assert {file.digest for file in provenance.files} == {None}


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_a_damaged_blob_is_refused(refuses, vault, tmp_path, path):
    folder = write_hub_cache(tmp_path)
    rewrite((folder / "snapshots" / COMMIT / path).resolve(), flipped(MODEL[path]))
    error = refuses(SourceMismatchError, lambda: import_source(vault, folder), match=path)
    assert f"hf download org/name --revision {COMMIT}" in error.hint


@pytest.mark.parametrize("fault", ["dangling", "incomplete", "no snapshot", "empty", "shard"])
def test_a_partly_downloaded_snapshot_is_refused(refuses, vault, tmp_path, fault):
    folder = write_hub_cache(tmp_path)
    words = {"dangling": "blob of model.safetensors is missing", "no snapshot": "no snapshot of main"}
    if fault == "dangling":
        (folder / "blobs" / sha256(WEIGHTS)).unlink()
    if fault == "incomplete":
        write_files(folder, {f"blobs/{'a' * 64}.1234abcd.incomplete": b"begun"})
    if fault == "no snapshot":
        (folder / "refs" / "main").write_text(OTHER)
    if fault == "empty":
        (folder / "snapshots" / OTHER).mkdir()
        (folder / "refs" / "main").write_text(OTHER)
    if fault == "shard":
        index = {"weight_map": {"w": "model.safetensors", "v": "model-00002-of-00002.safetensors"}}
        write_hub_cache(tmp_path, {"model.safetensors.index.json": json.dumps(index).encode()})
    words |= {"incomplete": "only partly downloaded", "empty": "is empty", "shard": "1 of 2 shards"}
    error = refuses(IncompleteSourceError, lambda: import_source(vault, folder), match=words[fault])
    assert "hf download org/name" in error.hint


def test_a_part_that_another_process_left_beside_the_whole_blob_does_no_harm(vault, tmp_path):
    folder = write_hub_cache(tmp_path)
    write_files(folder, {f"blobs/{sha256(WEIGHTS)}.1234abcd.incomplete": b"left"})
    assert import_source(vault, folder).provenance.revision == COMMIT


@pytest.mark.parametrize("through", ["snapshot", "blob"])
def test_a_link_out_of_the_cache_is_refused(refuses, vault, tmp_path, through):
    write_files(tmp_path, {"secret": WEIGHTS})
    folder = write_hub_cache(tmp_path / "hub")
    blob = folder / "blobs" / sha256(WEIGHTS)
    link = folder / "snapshots" / COMMIT / "model.safetensors" if through == "snapshot" else blob
    link.unlink()
    link.symlink_to(tmp_path / "secret")
    refuses(BadSourceError, lambda: import_source(vault, folder), match=r"model\.safetensors")


def test_an_index_that_is_none_is_refused(refuses, vault, tmp_path):
    folder = write_hub_cache(tmp_path, {"model.safetensors.index.json": b"[]"})
    refuses(BadSourceError, lambda: import_source(vault, folder), match="no index")
