"""Keeping versions of a folder at the command line: init, status, commit, checkout, switch, and the work folder."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.cli.errors import WorkChangedError
from birdbone.cli.vault import committing, moving
from birdbone.cli.vault.work import open_work
from birdbone.core import make_workspace

from .models import content_of, prune, write_model


@pytest.fixture
def model(call: Any, folder: Path) -> Path:
    """A folder with a model and a vault with its first version; the current folder."""
    write_model(folder)
    assert call("vault", "init").exit_code == 0
    assert call("vault", "commit", "-m", "raised").exit_code == 0
    return folder


def test_a_first_commit_tells_what_it_kept(call: Any, folder: Path) -> None:
    write_model(folder)
    call("vault", "init")
    done = json.loads(call("vault", "commit", "-m", "raised", "--author", "ann", "--json").stdout)
    assert [(change["path"], change["change"]) for change in done["changes"]] == [
        ("config.json", "new"),
        ("model.safetensors", "new"),
    ]
    assert (done["branch"], done["parents"], done["is_dry_run"]) == ("main", [], False)
    assert 0 < done["added_bytes"] < 2 * done["size_bytes"]
    version = json.loads(call("vault", "log", "--json").stdout)[0]
    assert (version["version"], version["author"], version["message"]) == (done["version"], "ann", "raised")


def test_a_wave_costs_less_than_a_copy(call: Any, model: Path) -> None:
    prune(model, 0.1)
    done = json.loads(call("vault", "commit", "-m", "wave 1", "--json").stdout)
    assert done["changes"] == [
        {
            "path": "model.safetensors",
            "change": "changed",
            "size_bytes": done["changes"][0]["size_bytes"],
            "num_tensors": 6,
        }
    ]
    assert done["added_bytes"] < done["size_bytes"] / 3


def test_nothing_to_commit_ends_with_1_as_git_does(call: Any, model: Path) -> None:
    result = call("vault", "commit", "-m", "again")
    assert (result.exit_code, result.stdout) == (1, "nothing to commit: the files are as HEAD has them\n")
    assert call("vault", "commit", "-m", "again", "--allow-empty").exit_code == 0
    assert len(json.loads(call("vault", "log", "--json").stdout)) == 2


def test_a_dry_run_keeps_nothing(call: Any, model: Path) -> None:
    prune(model, 0.1)
    assert "would commit to main" in call("vault", "commit", "--dry-run").stdout
    assert len(json.loads(call("vault", "log", "--json").stdout)) == 1


def test_a_commit_needs_a_message(call: Any, model: Path) -> None:
    result = call("vault", "commit")
    assert (result.exit_code, "needs a message" in result.stderr) == (2, True)


def test_a_command_outside_of_a_workspace_says_what_to_do(call: Any, folder: Path) -> None:
    result = call("vault", "status")
    assert (result.exit_code, "[core.workspace_missing]" in result.stderr) == (3, True)


def test_an_empty_vault_has_a_log_and_no_version_to_show(call: Any, folder: Path) -> None:
    call("vault", "init")
    assert (call("vault", "log").exit_code, call("vault", "log").stderr) == (0, "nothing yet\n")
    for words in (["show"], ["diff"], ["annotate"], ["merge", "main"], ["revert", "HEAD"], ["notes", "add", "-m", "x"]):
        result = call("vault", *words)
        assert (result.exit_code, "[cli.no_version]" in result.stderr) == (3, True), words


def test_an_empty_folder_is_not_kept(call: Any, folder: Path) -> None:
    call("vault", "init")
    result = call("vault", "commit", "-m", "nothing")
    assert (result.exit_code, "has no file to keep" in result.stderr) == (2, True)


def test_status_counts_the_tensors_that_differ(call: Any, model: Path) -> None:
    assert json.loads(call("vault", "status", "--json").stdout)["is_clean"]
    prune(model, 0.1, "layers.0.mlp")
    (model / "config.json").unlink()
    (model / "notes.txt").write_text("words")
    found = json.loads(call("vault", "status", "--json").stdout)
    assert [(row["path"], row["change"], row["num_tensors"]) for row in found["changes"]] == [
        ("config.json", "gone", None),
        ("model.safetensors", "changed", 2),
        ("notes.txt", "new", None),
    ]
    assert "model.safetensors (2 tensors)" in call("vault", "status").stdout


def test_a_change_that_keeps_size_and_time_is_seen(call: Any, model: Path) -> None:
    """The trap of every cache of times: two writes within one tick of the clock."""
    path = model / "model.safetensors"
    was, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    with path.open("r+b") as stream:
        stream.write(content)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert not json.loads(call("vault", "status", "--json").stdout)["is_clean"]


def test_a_damaged_checkpoint_is_a_change_and_cannot_be_kept(call: Any, model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    assert json.loads(call("vault", "status", "--json").stdout)["changes"][0]["num_tensors"] is None
    result = call("vault", "commit", "-m", "cut off")
    assert (result.exit_code, "[vault.truncated_safetensors]" in result.stderr) == (2, True)
    assert len(json.loads(call("vault", "log", "--json").stdout)) == 1


def test_hidden_and_ignored_files_are_left_out_and_said(call: Any, model: Path) -> None:
    (model / ".cache").mkdir()
    (model / ".cache" / "x").write_text("x")
    (model / "trial.log").write_text("x")
    (model / ".birdboneignore").write_text("# logs\n*.log\n")
    found = json.loads(call("vault", "status", "--json").stdout)
    assert (found["is_clean"], found["left_out"]) == (True, [".cache/", "trial.log"])
    assert "left out: .cache/, trial.log" in call("vault", "commit", "-m", "x").stderr


def test_a_folder_elsewhere_becomes_the_work_folder(call: Any, model: Path, tmp_path: Path) -> None:
    write_model(model / "other", seed=1)
    call("vault", "commit", "other", "-m", "another")
    assert json.loads(call("vault", "status", "--json").stdout)["folder"] == str(model / "other")
    call("vault", "checkout", "HEAD~1")
    assert content_of(model / "other") == {
        name: (model / name).read_bytes() for name in ("config.json", "model.safetensors")
    }


def test_one_file_can_be_kept(call: Any, folder: Path) -> None:
    write_model(folder)
    call("vault", "init")
    call("vault", "commit", "model.safetensors", "-m", "weights only")
    assert json.loads(call("vault", "status", "--json").stdout)["is_clean"]
    files = json.loads(call("vault", "show", "--json").stdout)["files"]
    assert [file["path"] for file in files] == ["model.safetensors"]


@pytest.mark.parametrize("path", ["missing", ".birdbone", ".birdbone/objects"])
def test_what_is_no_model_folder_is_refused(call: Any, model: Path, path: str) -> None:
    assert call("vault", "commit", path, "-m", "x").exit_code == 2


def test_figures_are_kept_with_the_version(call: Any, model: Path) -> None:
    prune(model, 0.1)
    row = {"name": "sparsity", "value": 0.07, "unit": "1", "method": "zeros counted in the file"}
    (model.parent / "figures.json").write_text(json.dumps([row]))
    call("vault", "commit", "-m", "wave 1", "--measurements", str(model.parent / "figures.json"))
    shown = json.loads(call("vault", "show", "--json").stdout)
    assert shown["version"]["measurements"][0]["artefact"] == shown["artefact"]
    assert [row["sparsity"] for row in json.loads(call("vault", "query", "sparsity > 5%", "--json").stdout)] == [0.07]
    assert "sparsity" in call("vault", "log").stdout


@pytest.mark.parametrize("text", ["{}", "[1]", "no json", '[{"name": "x"}]', '[{"name": "x", "value": "y"}]'])
def test_figures_that_are_not_right_keep_nothing(call: Any, model: Path, text: str) -> None:
    prune(model, 0.1)
    (model.parent / "figures.json").write_text(text)
    result = call("vault", "commit", "-m", "x", "--measurements", str(model.parent / "figures.json"))
    assert (result.exit_code, "[cli.unreadable_value]" in result.stderr) == (2, True)
    assert len(json.loads(call("vault", "log", "--json").stdout)) == 1


def test_checkout_into_a_folder_leaves_head_alone(call: Any, model: Path) -> None:
    before = content_of(model)
    prune(model, 0.1)
    call("vault", "commit", "-m", "wave 1")
    assert call("vault", "checkout", "HEAD~1", "../old", "--dry-run").exit_code == 0
    assert not (model.parent / "old").exists()
    assert call("vault", "checkout", "HEAD~1", "../old").stdout == "../old\n"
    assert content_of(model.parent / "old") == before
    assert json.loads(call("vault", "status", "--json").stdout)["branch"] == "main"
    assert call("vault", "checkout", "HEAD", "../old").exit_code == 4


def test_checkout_of_a_version_detaches_head_and_of_a_branch_goes_back(call: Any, model: Path) -> None:
    before = content_of(model)
    prune(model, 0.1)
    call("vault", "commit", "-m", "wave 1")
    after = content_of(model)
    assert json.loads(call("vault", "checkout", "HEAD~1", "--json").stdout)["branch"] is None
    assert content_of(model) == before
    assert json.loads(call("vault", "checkout", "main", "--json").stdout)["branch"] == "main"
    assert content_of(model) == after


def test_what_no_version_holds_is_not_overwritten_unless_forced(call: Any, model: Path) -> None:
    prune(model, 0.1)
    call("vault", "commit", "-m", "wave 1")
    call("vault", "switch", "-c", "trial")
    prune(model, 0.3)
    mine = content_of(model)
    for words in (["checkout", "HEAD~1"], ["checkout", "HEAD"], ["switch", "--detach", "HEAD~1"]):
        result = call("vault", *words)
        assert (result.exit_code, "[cli.work_changed]" in result.stderr) == (4, True), words
        assert content_of(model) == mine
    assert json.loads(call("vault", "status", "--json").stdout)["branch"] == "trial"
    assert call("vault", "checkout", "HEAD", "--force").exit_code == 0
    assert json.loads(call("vault", "status", "--json").stdout)["is_clean"]


def test_a_new_file_in_the_way_is_not_overwritten(call: Any, model: Path) -> None:
    (model / "card.md").write_text("of the branch")
    call("vault", "switch", "-c", "trial")
    call("vault", "commit", "-m", "card")
    call("vault", "switch", "main")
    assert not (model / "card.md").exists()
    (model / "card.md").write_text("mine")
    assert call("vault", "switch", "trial").exit_code == 4
    assert (model / "card.md").read_text() == "mine"


def test_a_folder_that_head_left_behind_is_not_committed_over_it(call: Any, model: Path) -> None:
    """Somebody, a run say, commits to the branch: committing the folder would take that back unseen."""
    write_model(model.parent / "other", seed=1)
    state = (model / ".birdbone" / "work.json").read_bytes()
    call("vault", "commit", "../other", "-m", "by a run")
    (model / ".birdbone" / "work.json").write_bytes(state)
    prune(model, 0.1)
    result = call("vault", "commit", "-m", "mine")
    assert (result.exit_code, "[cli.work_moved]" in result.stderr) == (4, True)
    assert call("vault", "commit", "-m", "mine", "--force").exit_code == 0


def test_switch_moves_only_head_where_no_folder_was_kept(call: Any, model: Path) -> None:
    (model / ".birdbone" / "work.json").unlink()
    assert "no file was touched" in call("vault", "switch", "-c", "trial").stdout


def test_switch_names_what_is_no_branch(call: Any, model: Path) -> None:
    call("vault", "tag", "v1")
    assert (call("vault", "switch", "v1").exit_code, call("vault", "switch", "nothing").exit_code) == (2, 3)
    assert json.loads(call("vault", "switch", "--detach", "v1", "--json").stdout)["branch"] is None
    assert json.loads(call("vault", "switch", "-", "--json").stdout)["branch"] == "main"


files = st.dictionaries(st.sampled_from(["a", "b", "folder/c", "folder/d"]), st.binary(max_size=4), min_size=1)


@settings(deadline=None, max_examples=25)
@given(states=st.lists(files, min_size=1, max_size=4), data=st.data())
def test_every_version_comes_back_whole_and_uncommitted_work_is_never_lost(
    states: list[dict[str, bytes]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name).resolve()
        patch.chdir(folder)
        make_workspace(folder)
        kept: dict[str, dict[str, bytes]] = {}
        for state in states:
            replace_files(folder, state)
            request = committing.Request(
                message="state", kind=None, author="ann", figures=None, allow_empty=True, force=False
            )
            done = committing.commit_work(open_work(), request, is_dry_run=False)
            assert done.version is not None
            kept[done.version.id] = state
        for version in data.draw(st.permutations(sorted(kept))):
            moving.check_out_here(version, force=False, is_dry_run=False)
            assert content_of(folder) == kept[version]
        mine = data.draw(files)
        replace_files(folder, mine)
        target = data.draw(st.sampled_from(sorted(kept)))
        try:
            moving.check_out_here(target, force=False, is_dry_run=False)
        except WorkChangedError:
            assert content_of(folder) == mine
        held = [content.items() for content in kept.values()]
        for path, content in mine.items():
            is_there = content_of(folder).get(path) == content
            assert is_there or any((path, content) in each for each in held)


def replace_files(folder: Path, state: dict[str, bytes]) -> None:
    for path in content_of(folder):
        (folder / path).unlink()
    for path, content in state.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
