"""A version's OCI layout has the same bytes each time, comes back as the same artefact, and is never read damaged."""

import contextlib
import datetime as dt
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.vault import commit, open_vault, put_folder, read_manifest
from birdbone.vault.errors import (
    BadSourceError,
    CorruptObjectError,
    DestinationNotEmptyError,
    IncompleteSourceError,
    NotLoadableError,
    SourceMismatchError,
    UnknownNameError,
    VaultError,
)
from birdbone.vault.interop import export_oci, import_oci, import_source, verify_oci_layout

from ..checkpoints import checkpoints, content_of
from .sources import MODEL, WEIGHTS, flipped, sha256, write_files

TIME = dt.datetime(2026, 3, 1, 12, 30, tzinfo=dt.UTC)
KINDS = st.sampled_from(["model", "adapter", "dataset"])
PATHS = st.sampled_from(["config.json", "a/b.bin", "a/copy.bin", "README.md", "files/x", "blobs/sha256/y", "run.py"])


def promote(vault, folder, files, *, kind="model", message="promoted", **more):
    artefact = put_folder(vault, write_files(folder, files), kind=kind)
    return commit(vault, artefact, ref="main", message=message, author="ada", time=TIME, **more)


@pytest.fixture
def layout(tmp_path):
    vault = open_vault(tmp_path / "origin")
    promote(vault, tmp_path / "model", MODEL)
    return export_oci(vault, "main", tmp_path / "layout").folder


def manifest_of(layout):
    index = json.loads((layout / "index.json").read_bytes())
    return json.loads(blob(layout, index["manifests"][0]["digest"]).read_bytes())


def blob(layout, digest):
    return layout / "blobs/sha256" / digest.removeprefix("sha256:")


def rewrite_manifest(layout, change):
    """Change the manifest and give it the digest that it then has, as somebody would who means harm."""
    manifest = manifest_of(layout)
    change(manifest)
    raw = json.dumps(manifest).encode()
    write_files(layout, {f"blobs/sha256/{sha256(raw)}": raw})
    entry = {"mediaType": manifest["mediaType"], "digest": f"sha256:{sha256(raw)}", "size": len(raw)}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


@settings(max_examples=25, deadline=None)
@given(checkpoints(), st.dictionaries(PATHS, st.binary(max_size=50)), KINDS, st.text(max_size=20))
def test_export_and_import_are_an_identity_and_the_same_version_gives_the_same_bytes(checkpoint, others, kind, message):
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        vault = open_vault(here / "store")
        version = promote(vault, here / "model", {**others, "m.safetensors": checkpoint}, kind=kind, message=message)
        first = export_oci(vault, "main", here / "one")
        second = export_oci(vault, version.id, here / "two")
        assert content_of(here / "one") == content_of(here / "two")
        assert first.digest == second.digest == verify_oci_layout(here / "one").digest
        other = open_vault(here / "other")
        found = import_oci(other, here / "one")
        assert (found.artefact, read_manifest(other, found.artefact).kind) == (version.artefact, kind)
        assert found.provenance.revision == version.id
        commit(other, found.artefact, ref="x", message=message, author="ada", time=TIME)
        assert content_of(export_oci(other, "x", here / "three").folder) == content_of(here / "one")


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(["flip", "cut", "remove"]))
def test_damage_anywhere_in_a_layout_is_refused_or_changes_nothing(data, fault):
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        version = promote(open_vault(here / "store"), here / "model", MODEL)
        layout = export_oci(open_vault(here / "store"), "main", here / "layout").folder
        victim = data.draw(st.sampled_from(sorted(path for path in layout.rglob("*") if path.is_file())))
        content = bytearray(victim.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        if fault == "flip":
            content[place] ^= 1 << data.draw(st.integers(0, 7))
        victim.unlink()
        if fault != "remove":
            victim.write_bytes(content[:place] if fault == "cut" else content)
        vault = open_vault(here / "other")
        if fault == "flip" and victim.name == "index.json":  # it may hit a letter of a key that nobody needs
            with contextlib.suppress(VaultError):
                assert import_source(vault, layout).artefact == version.artefact
            return
        with pytest.raises(VaultError) as caught:
            import_source(vault, layout)
        assert caught.value.hint
        assert not list((vault.objects / "artefacts").iterdir())


def test_what_the_layout_says_follows_the_specifications(layout):
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index, manifest = json.loads((layout / "index.json").read_bytes()), manifest_of(layout)
    assert (index["schemaVersion"], index["mediaType"]) == (2, "application/vnd.oci.image.index.v1+json")
    assert (manifest["schemaVersion"], manifest["mediaType"]) == (2, "application/vnd.oci.image.manifest.v1+json")
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert {blob["digest"] for blob in (*manifest["layers"], manifest["config"], *index["manifests"])} == {
        f"sha256:{path.name}" for path in (layout / "blobs/sha256").iterdir()
    }
    for path in (layout / "blobs/sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert {
        layer["annotations"]["org.opencontainers.image.title"]: layer["digest"] for layer in manifest["layers"]
    } == {path: f"sha256:{sha256(content)}" for path, content in MODEL.items()}
    for layer in manifest["layers"]:
        assert layer["annotations"]["org.cncf.model.filepath"] == layer["annotations"]["org.opencontainers.image.title"]


def test_version_author_time_message_and_figures_travel_with_it(vault, tmp_path):
    figure = {"name": "perplexity", "value": 12.5, "unit": "1", "basis": "measured"}
    version = promote(vault, tmp_path / "model", MODEL, measurements=[figure])
    layout = export_oci(vault, "main", tmp_path / "layout").folder
    manifest = manifest_of(layout)
    annotations = manifest["annotations"]
    assert json.loads(annotations.pop("birdbone.vault.measurements")) == [figure]
    assert annotations == {
        "org.opencontainers.image.created": "2026-03-01T12:30:00Z",
        "org.opencontainers.image.authors": "ada",
        "org.opencontainers.image.description": "promoted",
        "org.opencontainers.image.revision": version.id,
        "birdbone.vault.artefact": version.artefact,
        "birdbone.vault.kind": "model",
    }
    assert json.loads(blob(layout, manifest["config"]["digest"]).read_bytes()) == {
        "descriptor": {
            "createdAt": "2026-03-01T12:30:00Z",
            "authors": ["ada"],
            "description": "promoted",
            "revision": version.id,
        },
        "config": {"format": "safetensors"},
        "modelfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in manifest["layers"]]},
    }


@pytest.mark.parametrize(
    ("path", "kind", "media"),
    [
        ("model.safetensors", "model", "weight"),
        ("model.Q4_0.gguf", "model", "weight"),
        ("config.json", "model", "weight.config"),
        ("merges.txt", "model", "weight.config"),
        ("README.md", "model", "doc"),
        ("LICENSE", "model", "doc"),
        ("modeling_x.py", "model", "code"),
        ("train.jsonl", "dataset", "dataset"),
    ],
)
def test_a_layer_s_type_says_what_the_file_is_for(vault, tmp_path, path, kind, media):
    promote(vault, tmp_path / "model", {path: WEIGHTS}, kind=kind)
    (layer,) = manifest_of(export_oci(vault, "main", tmp_path / "layout").folder)["layers"]
    assert layer["mediaType"] == f"application/vnd.cncf.model.{media}.v1.raw"


def test_two_files_with_the_same_bytes_are_two_layers_and_one_blob(vault, tmp_path):
    version = promote(vault, tmp_path / "model", {"a.bin": b"same", "b/a.bin": b"same"})
    export = export_oci(vault, "main", tmp_path / "layout")
    assert (export.num_layers, export.size_bytes) == (2, 8)
    assert len(list((export.folder / "blobs/sha256").iterdir())) == 3
    assert import_source(vault, export.folder).artefact == version.artefact


def test_only_a_version_with_files_is_exported_and_only_to_an_empty_place(refuses, vault, tmp_path):
    (tmp_path / "nothing").mkdir()
    artefact = put_folder(vault, tmp_path / "nothing", kind="model")
    with pytest.raises(UnknownNameError):
        export_oci(vault, artefact, tmp_path / "out")
    commit(vault, artefact, ref="main", message="empty")
    with pytest.raises(NotLoadableError, match="has no file"):
        export_oci(vault, "main", tmp_path / "out")
    with pytest.raises(DestinationNotEmptyError):
        export_oci(vault, "main", write_files(tmp_path / "full", {"x": b""}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "nothing", "store"]


def test_a_damaged_store_writes_nothing(vault, tmp_path):
    promote(vault, tmp_path / "model", MODEL)
    (pack,) = vault.packs.iterdir()
    pack.write_bytes(pack.read_bytes().replace(MODEL["config.json"], flipped(MODEL["config.json"])))
    with pytest.raises(CorruptObjectError):
        export_oci(vault, "main", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "store"]


def test_a_layout_that_names_itself_a_kind_is_imported_as_the_caller_says(vault, layout):
    assert read_manifest(vault, import_oci(vault, layout, kind="report").artefact).kind == "report"


def test_a_raw_artifact_of_another_tool_is_read_by_its_titles(vault, tmp_path, layout):
    def from_elsewhere(manifest):
        config = b"{}"
        write_files(layout, {f"blobs/sha256/{sha256(config)}": config})
        manifest["artifactType"] = "application/vnd.example.model"
        described = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": f"sha256:{sha256(config)}", "size": 2}
        manifest["config"] = described
        del manifest["annotations"]
        for layer in manifest["layers"]:
            layer["mediaType"] = "application/octet-stream"
            del layer["annotations"]["org.cncf.model.filepath"]

    rewrite_manifest(layout, from_elsewhere)
    found = import_oci(vault, layout)
    assert found.artefact == put_folder(vault, tmp_path / "model", kind="model")
    assert found.provenance.revision == verify_oci_layout(layout).digest


@pytest.mark.parametrize("title", ["../x", "/etc/x", "a/../../x", "", "a//b", "a\\b", "a\x00b"])
def test_a_title_that_leads_out_of_the_artefact_is_refused(refuses, vault, layout, title):
    def change(manifest):
        manifest["layers"][0]["annotations"]["org.cncf.model.filepath"] = title

    rewrite_manifest(layout, change)
    refuses(BadSourceError, lambda: import_oci(vault, layout), match="a layer names the file")


@pytest.mark.parametrize(
    ("title", "words"),
    [("model.safetensors", "twice"), ("model.safetensors/x", "twice, or both"), ("x" * 300, "cannot be the path")],
    ids=["same", "file and folder", "too long"],
)
def test_titles_that_clash_or_fit_no_disk_are_refused(refuses, vault, layout, title, words):
    def change(manifest):
        manifest["layers"][0]["annotations"]["org.cncf.model.filepath"] = title
        manifest["config"]["mediaType"] = "application/vnd.oci.empty.v1+json"

    rewrite_manifest(layout, change)
    refuses(BadSourceError, lambda: import_oci(vault, layout), match=words)


def drop_titles(manifest):
    manifest["layers"][0]["annotations"].clear()


def make_archive(manifest):
    manifest["layers"][0]["mediaType"] = "application/vnd.cncf.model.weight.v1.tar+zstd"


def swap_layers(manifest):
    manifest["layers"].reverse()


def other_hash(manifest):
    manifest["layers"][0]["digest"] = "sha512:" + "0" * 128


def traversing_digest(manifest):
    manifest["layers"][0]["digest"] = "sha256:../../../secret"


def wrong_config_size(manifest):
    manifest["config"]["size"] += 1


def negative_size(manifest):
    manifest["layers"][0]["size"] = -1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop_titles, "no title"),
        (make_archive, "is an archive"),
        (swap_layers, "diff_ids"),
        (other_hash, "digest"),
        (traversing_digest, "digest"),
        (negative_size, "size"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(refuses, vault, layout, change, words):
    rewrite_manifest(layout, change)
    refuses(BadSourceError, lambda: import_oci(vault, layout), match=words)


def test_a_size_that_is_wrong_is_refused_though_the_digest_is_right(refuses, vault, layout):
    rewrite_manifest(layout, wrong_config_size)
    refuses(SourceMismatchError, lambda: import_oci(vault, layout), match="other bytes than")


@pytest.mark.parametrize("entries", [[], [{}], 7, "several", "nested"])
def test_an_index_without_exactly_one_manifest_is_refused(refuses, vault, layout, entries):
    (entry,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    nested = {**entry, "mediaType": "application/vnd.oci.image.index.v1+json"}
    manifests = {"several": [entry, entry], "nested": [nested]}.get(str(entries), entries)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
    refuses(BadSourceError, lambda: import_oci(vault, layout), match=r"index\.json")


def test_a_record_as_large_as_a_model_is_not_read_into_memory(refuses, vault, layout):
    with (layout / "index.json").open("ab") as stream:
        stream.truncate(5 << 20)
    refuses(BadSourceError, lambda: import_oci(vault, layout), match="larger than")


def test_a_layer_that_is_missing_or_damaged_is_named(refuses, vault, tmp_path, layout):
    victim = layout / "blobs/sha256" / sha256(WEIGHTS)
    victim.write_bytes(flipped(WEIGHTS))
    for read in (lambda: import_oci(vault, layout), lambda: verify_oci_layout(layout)):
        refuses(SourceMismatchError, read, match=r"model\.safetensors")
    victim.unlink()
    for read in (lambda: import_oci(vault, layout), lambda: verify_oci_layout(layout)):
        refuses(IncompleteSourceError, read, match=r"model\.safetensors")
    shutil.rmtree(layout / "blobs")
    refuses(IncompleteSourceError, lambda: import_oci(vault, layout), match="lacks")
    refuses(IncompleteSourceError, lambda: import_oci(vault, tmp_path / "nowhere"), match="lacks oci-layout")
