"""Checking, cleaning, mending and exchanging a store at the command line, on real files that are really damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from .models import content_of, prune, write_model


@pytest.fixture
def model(call: Any, folder: Path) -> Path:
    """A folder called `model` with two versions; it is the current folder."""
    place = write_model(folder / "model")
    call("vault", "init", str(place))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        call("vault", "commit", "-m", "raised")
        prune(place, 0.1)
        call("vault", "commit", "-m", "wave 1")
        yield place


def data_of(result: Any) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def damage_a_pack(model: Path) -> None:
    """Flip one bit in the middle of the largest pack."""
    pack = max((model / ".birdbone" / "objects" / "packs").glob("*.pack"), key=lambda path: path.stat().st_size)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(content)


def test_a_sound_store_ends_with_0(call: Any, model: Path) -> None:
    for word in ("verify", "fsck"):
        assert data_of(call("vault", word, "--json"))["is_sound"]
    assert "every byte is right" in call("vault", "verify").stdout
    assert "audit of 2 moves: whole" in call("vault", "fsck").stdout


def test_a_flipped_bit_ends_with_1_and_is_named(call: Any, model: Path) -> None:
    damage_a_pack(model)
    result = call("vault", "verify", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["is_sound"], len(found["corrupt"]) > 0) == (1, False, True)
    assert "damaged: b3:" in call("vault", "fsck").stdout
    refused = call("vault", "checkout", "HEAD~1", "../old")
    assert (refused.exit_code, "[vault.corrupt_object]" in refused.stderr) == (1, True)
    assert not (model.parent / "old").exists()


def test_what_was_set_aside_comes_back_with_the_same_content(call: Any, model: Path) -> None:
    shutil.copytree(model, model.parent / "copy", ignore=shutil.ignore_patterns(".birdbone"))
    damage_a_pack(model)
    call("vault", "verify", "--set-aside")
    assert call("vault", "verify").exit_code == 1, "the version still lacks it"
    write_model(model.parent / "raised")
    for path in ("../copy", "../raised"):
        call("vault", "commit", path, "-m", "the same again", "--allow-empty")
    assert call("vault", "verify").exit_code == 0


def test_a_line_taken_out_of_the_audit_is_found(call: Any, model: Path) -> None:
    log = model / ".birdbone" / "refs" / "reflog.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[1:]))
    result = call("vault", "fsck")
    assert (result.exit_code, "broken" in result.stdout, call("vault", "verify").exit_code) == (1, True, 0)


def test_gc_frees_what_nothing_needs_and_says_so_before(call: Any, model: Path) -> None:
    call("vault", "switch", "-c", "trial")
    prune(model, 0.5, "self_attn")
    call("vault", "commit", "-m", "given up")
    call("vault", "switch", "main")
    call("vault", "branch", "-D", "trial")
    assert data_of(call("vault", "gc", "--dry-run", "--json"))["num_objects"] == 0, "undone less than 30 days ago"
    words = ["gc", "--keep-days", "0", "--grace", "0"]
    planned = data_of(call("vault", *words, "--dry-run", "--json"))
    freed = data_of(call("vault", *words, "--json"))
    assert planned["digests"] == freed["digests"] != []
    assert (call("vault", "verify").exit_code, call("vault", "gc").stdout) == (0, "freed 0 objects, 0 B\n")


def test_push_clone_pull_carry_versions_and_files(call: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("vault", "tag", "v1")
    assert call("vault", "push").exit_code == 3, "no remote is called origin"
    assert data_of(call("vault", "remote", "add", "origin", "../shared", "--json")) == {
        "origin": str(model.parent / "shared")
    }
    assert data_of(call("vault", "push", "origin", "main", "v1", "--json"))["num_blobs"] > 0
    assert "has it all already" in call("vault", "push").stdout
    other = model.parent / "other"
    assert data_of(call("vault", "clone", "../shared", "../other", "--json"))["branch"] == "main"
    assert content_of(other) == content_of(model)
    assert call("vault", "clone", "../shared", "../other").exit_code == 4
    monkeypatch.chdir(other)
    prune(other, 0.4)
    assert call("vault", "commit", "-m", "by another").exit_code == 0
    assert data_of(call("vault", "push", "--json"))["changes"][0]["ref"] == "refs/heads/main"
    monkeypatch.chdir(model)
    assert "origin/main" in call("vault", "fetch").stdout
    assert content_of(other) != content_of(model)
    assert data_of(call("vault", "pull", "--json"))["new"] == data_of(call("vault", "show", "--json"))["version"]["id"]
    assert content_of(other) == content_of(model)


def test_notes_go_along_and_come_back(call: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("vault", "remote", "add", "origin", "../shared")
    call("vault", "push")
    note = data_of(call("vault", "notes", "add", "-m", "seen by the board", "--json"))["id"]
    assert call("vault", "push").stdout == "sent 1 note\n"
    assert call("vault", "push").stdout == "origin has it all already\n"
    call("vault", "clone", "../shared", "../other")
    call("vault", "notes", "remove", note, "-m", "not so")
    assert data_of(call("vault", "push", "--json"))["num_notes"] == 1
    monkeypatch.chdir(model.parent / "other")
    assert [row["text"] for row in data_of(call("vault", "notes", "list", "--json"))] == ["seen by the board"]
    assert call("vault", "fetch").stdout == "fetched 1 note\n"
    assert (call("vault", "fetch").stdout, call("vault", "notes", "list").stderr) == ("nothing new\n", "no note yet\n")
    assert len(data_of(call("vault", "notes", "list", "--removed", "--json"))) == 2


def test_pull_of_lines_that_parted_is_a_conflict(call: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("vault", "remote", "add", "origin", "../shared")
    call("vault", "push")
    call("vault", "clone", str(model), "../other")
    prune(model, 0.3)
    call("vault", "commit", "-m", "mine")
    call("vault", "push")
    monkeypatch.chdir(model.parent / "other")
    prune(model.parent / "other", 0.5)
    call("vault", "commit", "-m", "theirs")
    result = call("vault", "pull")
    assert (result.exit_code, "[vault.diverged]" in result.stderr) == (4, True)
    assert call("vault", "push", "../shared").exit_code == 4
    assert call("vault", "merge", "origin/main", "-s", "*=theirs").exit_code == 0


def test_remotes_are_listed_and_forgotten(call: Any, model: Path) -> None:
    assert call("vault", "remote", "list").stderr == "no remote yet\n"
    call("vault", "remote", "add", "origin", "../shared")
    assert "shared" in call("vault", "remote", "list").stdout
    assert call("vault", "remote", "add", "origin", "../elsewhere").exit_code == 2
    assert call("vault", "remote", "add", "o", "ftp://host/x").exit_code == 2
    assert data_of(call("vault", "remote", "remove", "origin", "--json")) == {}
    assert call("vault", "remote", "remove", "origin").exit_code == 3


def test_heal_fetches_what_is_damaged(call: Any, model: Path) -> None:
    assert call("vault", "heal").stdout == "nothing is damaged\n"
    call("vault", "remote", "add", "origin", "../shared")
    call("vault", "push")
    damage_a_pack(model)
    assert call("vault", "verify").exit_code == 1
    healed = data_of(call("vault", "heal", "--json"))
    assert (healed["is_whole"], len(healed["healed"]) > 0) == (True, True)
    assert call("vault", "verify").exit_code == 0


def test_heal_without_a_remote_ends_with_1(call: Any, model: Path) -> None:
    damage_a_pack(model)
    result = call("vault", "heal", "--json")
    assert (result.exit_code, json.loads(result.stdout)["is_whole"]) == (1, False)


def test_export_and_import_are_an_identity(call: Any, model: Path) -> None:
    record = data_of(call("vault", "export", "HEAD~1", "../light", "--json"))
    assert {file["path"] for file in record["files"]} == {"config.json", "model.safetensors"}
    first = data_of(call("vault", "show", "HEAD~1", "--json"))["artefact"]
    done = data_of(call("vault", "import", "../light", "-m", "back again", "--json"))
    assert (done["artefact"], done["is_new"]) == (first, True)
    assert data_of(call("vault", "status", "--json"))["is_clean"], "the files followed"
    again = call("vault", "import", "../light")
    assert (again.exit_code, again.stdout) == (1, "nothing to commit: HEAD holds the same files\n")


def test_an_oci_layout_goes_out_and_comes_back(call: Any, model: Path) -> None:
    assert data_of(call("vault", "export", "main", "../layout", "--oci", "--json"))["num_layers"] == 2
    assert call("vault", "import", "../layout").exit_code == 1, "the same files"
    assert call("vault", "export", "main", "../layout").exit_code == 4
    assert call("vault", "export", "nothing", "../x").exit_code == 3
    assert call("vault", "import", "../nothing").exit_code == 2


def test_what_transformers_cannot_load_is_not_exported(call: Any, model: Path) -> None:
    (model / "config.json").unlink()
    call("vault", "commit", "-m", "no configuration")
    result = call("vault", "export", "main", "../light")
    assert (result.exit_code, "[vault.not_loadable]" in result.stderr) == (2, True)
    assert not (model.parent / "light").exists()


@pytest.mark.parametrize("words", [["vault"], ["vault", "notes"], ["vault", "bisect"], ["vault", "remote"]])
def test_a_group_alone_shows_its_commands(call: Any, folder: Path, words: list[str]) -> None:
    result = call(*words)
    assert (result.exit_code, "Commands:" in result.output) == (2, True)


def test_a_typo_is_told_what_was_meant(call: Any, folder: Path) -> None:
    result = call("vault", "comit")
    assert (result.exit_code, "Did you mean 'commit'" in result.stderr) == (2, True)
