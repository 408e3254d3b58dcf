"""Looking back, naming, merging, undoing and finding at the command line, on real small stores."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from .models import content_of, prune, write_model

STRATEGY = "*.mlp.*=ties:weight=0.5,density=0.5"


@pytest.fixture
def line(call: Any, folder: Path) -> Path:
    """A folder with three versions on `main`, each with its figure, and a tag on the first."""
    write_model(folder)
    for words in (["init"], ["commit", "-m", "raised"], ["tag", "v1"]):
        assert call("vault", *words).exit_code == 0
    for wave in (1, 2):
        prune(folder, 0.1 * wave)
        row = {"name": "sparsity", "value": 0.07 * wave, "unit": "1", "method": "zeros counted in the file"}
        (folder.parent / "figures.json").write_text(json.dumps([row]))
        assert call("vault", "commit", "-m", f"wave {wave}", "--measurements", "../figures.json").exit_code == 0
    return folder


@pytest.fixture
def forked(call: Any, line: Path) -> Path:
    """The same, and a branch `attention` that pruned another part; `main` stands where it did."""
    call("vault", "switch", "-c", "attention")
    prune(line, 0.2, "self_attn")
    assert call("vault", "commit", "-m", "attention").exit_code == 0
    assert call("vault", "switch", "main").exit_code == 0
    return line


def data_of(result: Any) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def messages(call: Any, *words: str) -> list[str]:
    return [row["message"].splitlines()[0] for row in data_of(call("vault", "log", *words, "--json"))]


def test_log_lists_newest_first_and_takes_ranges(call: Any, forked: Path) -> None:
    assert messages(call) == ["wave 2", "wave 1", "raised"]
    assert messages(call, "main..attention") == ["attention"]
    assert messages(call, "v1..", "--limit", "1") == ["wave 2"]
    assert messages(call, "--all")[0] == "attention"
    short = call("vault", "log", "--oneline").stdout.splitlines()
    assert short[0].endswith("(HEAD -> main) wave 2")
    assert short[2].endswith("(tags/v1) raised")
    assert "sparsity 0.140" in call("vault", "log").stdout


def test_log_draws_a_version_but_no_range(call: Any, forked: Path) -> None:
    drawn = call("vault", "log", "--graph", "--all").stdout
    assert len(drawn.splitlines()) == 4
    assert (call("vault", "log", "--graph", "v1..main").exit_code, call("vault", "log", "nothing").exit_code) == (2, 3)


def test_show_tells_figures_refs_notes_and_changes(call: Any, line: Path) -> None:
    call("vault", "notes", "add", "-m", "looks odd")
    found = data_of(call("vault", "show", "--json"))
    assert (found["refs"], found["notes"][0]["text"]) == (["HEAD -> main"], "looks odd")
    assert len(found["changes"]["tensors"]["changed"]) == 6
    shown = call("vault", "show").stdout
    assert "looks odd" in shown
    assert "tensors 6 changed, 3 the same" in shown
    assert data_of(call("vault", "show", found["artefact"], "--json"))["version"] is None


def test_reflog_lists_the_moves_of_a_ref(call: Any, line: Path) -> None:
    assert [row["reason"] for row in data_of(call("vault", "reflog", "main", "--json"))] == [
        "commit: wave 2",
        "commit: wave 1",
        "commit: raised",
    ]
    assert "HEAD@{0}: commit: wave 2" in call("vault", "reflog").stdout
    assert len(data_of(call("vault", "reflog", "v1", "--json"))) == 1
    assert call("vault", "reflog", "nothing").exit_code == 3


def test_annotate_says_who_changed_what(call: Any, line: Path) -> None:
    rows = {row["name"]: row["message"] for row in data_of(call("vault", "annotate", "--json"))}
    assert rows["model.layers.0.mlp.up_proj.weight"] == "wave 2"
    assert rows["model.layers.0.self_attn.q_proj.weight"] == rows["config.json"] == "raised"
    assert len(data_of(call("vault", "annotate", "v1", "--tensor", "*.mlp.*", "--json"))) == 6
    assert call("vault", "annotate", "--tensor", "nothing").stdout == ""


def test_lineage_is_a_graph_and_a_page(call: Any, line: Path) -> None:
    assert {node["kind"] for node in data_of(call("vault", "lineage", "--json"))["nodes"]} == {"version", "artefact"}
    assert call("vault", "lineage", "--html", "../lineage.html").exit_code == 0
    assert (line.parent / "lineage.html").read_text().startswith("<!")


def test_diff_tells_names_layers_and_tensors(call: Any, line: Path) -> None:
    names = data_of(call("vault", "diff", "HEAD~1", "HEAD", "--names", "--json"))
    assert len(names["tensors"]["changed"]) == 6
    shown = call("vault", "diff", "HEAD~1..HEAD", "--tensors").stdout
    assert "model.layers.1.mlp.up_proj.weight" in shown
    assert "tensors: 6 changed, 3 the same" in shown
    whole = data_of(call("vault", "diff", "v1..HEAD", "--json"))
    assert (whole["format"], len(whole["tensors"])) == ("birdbone.diff/2", 6)
    assert whole["totals"]["num_zeroed"] > 0


def test_diff_without_a_name_compares_with_the_work_folder(call: Any, line: Path) -> None:
    assert "nothing differs" in call("vault", "diff").stdout
    assert call("vault", "diff", "--exit-code").exit_code == 0
    prune(line, 0.3)
    before = messages(call)
    assert "6 changed" in call("vault", "diff").stdout
    assert call("vault", "diff", "--exit-code", "--names").exit_code == 1
    assert messages(call) == before, "it was looked at, not kept"


def test_diff_writes_the_page_and_the_bundle(call: Any, line: Path) -> None:
    result = call("vault", "diff", "v1", "main", "--html", "../d.html", "--bundle", "../bundle")
    assert result.exit_code == 0
    assert (line.parent / "d.html").stat().st_size > 1000
    assert {path.name for path in (line.parent / "bundle").iterdir()} >= {"diff.html", "diff.md", "diff.json"}


def test_diff_of_unknown_names_is_not_found(call: Any, line: Path) -> None:
    assert call("vault", "diff", "v1", "v9").exit_code == 3


def test_branches_are_made_renamed_and_deleted(call: Any, forked: Path) -> None:
    assert [(row["name"], row["is_current"]) for row in data_of(call("vault", "branch", "--json"))] == [
        ("attention", False),
        ("main", True),
    ]
    assert call("vault", "branch", "old", "v1").exit_code == 0
    assert call("vault", "branch", "old", "main").exit_code == 4
    assert call("vault", "branch", "--move", "old", "older").exit_code == 0
    assert call("vault", "branch", "-d", "older").exit_code == 0
    assert call("vault", "branch", "-d", "attention").exit_code == 4, "no other ref reaches it"
    assert call("vault", "branch", "-D", "main").exit_code == 4
    assert call("vault", "branch", "-D", "attention").exit_code == 0
    assert call("vault", "branch", "-d", "nothing").exit_code == 3
    assert call("vault", "branch", "-d", "-m", "x").exit_code == 2


def test_a_tag_stays_unless_it_is_forced(call: Any, line: Path) -> None:
    assert call("vault", "tag", "v1", "main").exit_code == 4
    assert call("vault", "tag", "-f", "v1", "main").exit_code == 0
    assert [row["name"] for row in data_of(call("vault", "tag", "--json"))] == ["v1"]
    assert call("vault", "tag", "-d", "v1").exit_code == 0
    assert call("vault", "tag").stderr == "no tag yet\n"


def test_a_protected_branch_is_not_taken_back(call: Any, forked: Path) -> None:
    assert data_of(call("vault", "protect", "attention", "--json"))["protected"] == ["refs/heads/attention"]
    result = call("vault", "branch", "-D", "attention", "--json")
    assert result.exit_code == 0, "an admin who forces it may"
    call("vault", "protect", "v*")
    call("vault", "branch", "v2", "v1")
    assert call("vault", "branch", "-d", "v2").exit_code == 5
    call("vault", "protect", "v*", "--remove")
    assert data_of(call("vault", "protect", "attention", "--remove", "--json"))["protected"] == []


def test_who_may_only_read_commits_nothing(call: Any, line: Path) -> None:
    call("vault", "grant", "refs/*", "ann", "admin")
    assert data_of(call("vault", "grant", "main", "ben", "read", "--json"))["permissions"]["grants"]
    prune(line, 0.4)
    result = call("vault", "commit", "-m", "by ben", "--author", "ben")
    assert (result.exit_code, "[vault.access_denied]" in result.stderr) == (5, True)
    assert call("vault", "commit", "-m", "by ann", "--author", "ann").exit_code == 0
    assert "ben may read" in call("vault", "grant").stdout
    for words in (["grant", "main", "ben"], ["grant", "main", "ben", "boss"], ["grant", "--default", "boss"]):
        assert call("vault", *words).exit_code == 2


def test_merge_takes_what_one_side_changed(call: Any, forked: Path) -> None:
    prune(forked, 0.4)
    call("vault", "commit", "-m", "wave 3")
    planned = data_of(call("vault", "merge", "attention", "--dry-run", "--json"))
    assert (planned["outcome"], planned["version"], messages(call)[0]) == ("merged", None, "wave 3")
    done = data_of(call("vault", "merge", "attention", "--json"))
    states = {row["name"]: row["source"] for row in done["decisions"] if row["what"] == "tensor"}
    assert states["model.layers.0.mlp.up_proj.weight"] == "ours"
    assert states["model.layers.0.self_attn.q_proj.weight"] == "theirs"
    assert data_of(call("vault", "status", "--json"))["is_clean"], "the files followed"
    assert "nothing to merge" in call("vault", "merge", "attention").stdout


def test_merge_moves_a_branch_that_is_behind(call: Any, forked: Path) -> None:
    call("vault", "switch", "--detach", "v1")
    call("vault", "switch", "-c", "behind")
    assert data_of(call("vault", "merge", "main", "-n", "--json"))["outcome"] == "fast_forward"
    assert data_of(call("vault", "merge", "main", "--json"))["outcome"] == "fast_forward"
    assert data_of(call("vault", "status", "--json"))["is_clean"]


@pytest.fixture
def conflicting(call: Any, forked: Path) -> Path:
    call("vault", "switch", "attention")
    prune(forked, 0.5, "layers.0.mlp")
    call("vault", "commit", "-m", "layer 0")
    call("vault", "switch", "main")
    prune(forked, 0.4)
    call("vault", "commit", "-m", "wave 3")
    return forked


def test_conflicts_end_with_1_and_write_nothing(call: Any, conflicting: Path) -> None:
    before = content_of(conflicting), messages(call)
    for words in (["merge", "attention"], ["merge", "attention", "--dry-run"]):
        result = call("vault", *words, "--json")
        assert result.exit_code == 1
        assert {row["name"] for row in json.loads(result.stdout)["conflicts"]} == {
            "model.layers.0.mlp.up_proj.weight",
            "model.layers.0.mlp.down_proj.weight",
        }
    shown = call("vault", "merge", "attention")
    assert (shown.exit_code, "CONFLICT tensor model.layers.0.mlp.up_proj.weight" in shown.stdout) == (1, True)
    assert (content_of(conflicting), messages(call)) == before


def test_a_strategy_settles_conflicts(call: Any, conflicting: Path) -> None:
    assert call("vault", "merge", "attention", "-s", "*.mlp.*=tees").exit_code == 2
    result = call("vault", "merge", "attention", "-s", STRATEGY, "-m", "both")
    assert result.exit_code == 0
    assert "settled 2 that match *.mlp.*" in result.stdout
    assert messages(call)[0] == "both"
    assert data_of(call("vault", "status", "--json"))["is_clean"]


def test_merge_refuses_where_files_are_not_committed(call: Any, conflicting: Path) -> None:
    prune(conflicting, 0.6)
    result = call("vault", "merge", "attention", "-s", "*=ours")
    assert (result.exit_code, "[cli.work_changed]" in result.stderr) == (4, True)
    assert messages(call)[0] == "wave 3"


def test_revert_brings_back_what_was(call: Any, line: Path) -> None:
    planned = data_of(call("vault", "revert", "HEAD", "--dry-run", "--json"))
    assert (planned["state"], len(planned["preview"]["tensors"]), messages(call)[0]) == ("planned", 6, "wave 2")
    was = data_of(call("vault", "show", "HEAD~1", "--json"))["artefact"]
    done = data_of(call("vault", "revert", "HEAD", "--json"))
    assert (done["state"], done["artefact"]) == ("reverted", was)
    assert data_of(call("vault", "status", "--json"))["is_clean"]


def test_revert_takes_a_part(call: Any, line: Path) -> None:
    assert call("vault", "revert", "--to", "v1", "--layer", "1", "--tensor", "*.up_proj.*").exit_code == 0
    names = data_of(call("vault", "diff", "HEAD~1", "HEAD", "--names", "--json"))["tensors"]["changed"]
    assert names == ["model.layers.1.mlp.up_proj.weight"]
    assert call("vault", "revert", "--to", "v1", "--mask-only", "values").exit_code == 0
    assert data_of(call("vault", "diff", "v1", "HEAD", "--names", "--json"))["tensors"]["changed"] == []


def test_revert_says_what_it_cannot_do(call: Any, line: Path) -> None:
    for words in ([], ["HEAD", "--to", "v1"], ["HEAD", "--mask-only", "x"], ["HEAD", "--on-conflict", "x"],
                  ["HEAD", "--layer", "99"], ["--auto", "missing.yaml"], ["HEAD", "--auto", "default"]):  # fmt: skip
        assert call("vault", "revert", *words).exit_code == 2, words
    assert call("vault", "revert", "nothing").exit_code == 3
    result = call("vault", "revert", "HEAD~1")
    assert (result.exit_code, "CONFLICT" in result.stdout) == (1, True), "wave 2 changed the same tensors"
    assert call("vault", "revert", "HEAD~1", "--on-conflict", "take").exit_code == 0


def test_rules_undo_what_lost_its_zeros(call: Any, line: Path) -> None:
    write_model(line, seed=7)
    row = {"name": "sparsity", "value": 0.0, "unit": "1", "method": "zeros counted in the file"}
    (line.parent / "figures.json").write_text(json.dumps([row]))
    call("vault", "commit", "-m", "a mistake", "--measurements", "../figures.json")
    looked = data_of(call("vault", "revert", "--auto", "default", "--dry-run", "--json"))
    assert (looked["decision"]["judgement"]["action"], messages(call)[0]) == ("revert", "a mistake")
    done = data_of(call("vault", "revert", "--auto", "default", "--json"))
    assert done["state"] == "reverted"
    assert data_of(call("vault", "status", "--json"))["is_clean"]
    assert "kept: no rule fired" in call("vault", "revert", "--auto", "default").stdout


def test_a_revert_can_wait(call: Any, line: Path) -> None:
    put_off = data_of(call("vault", "revert", "HEAD", "--at", "2001-01-01T10:00", "--json"))
    assert put_off["state"] == "waiting"
    assert len(data_of(call("vault", "reverts", "list", "--json"))["scheduled"]) == 1
    later = data_of(call("vault", "revert", "HEAD", "--at", "2999-01-01T10:00", "--json"))
    assert data_of(call("vault", "reverts", "cancel", later["id"][3:13], "--json"))["state"] == "cancelled"
    assert [row["state"] for row in data_of(call("vault", "reverts", "run", "--json"))] == ["done"]
    assert messages(call)[0].startswith("Undo")
    assert (call("vault", "reverts", "run").stderr, call("vault", "reverts", "cancel", "abcdef").exit_code) == (
        "nothing is due\n",
        3,
    )
    assert call("vault", "reverts", "answer", "abcdef", "approve", "-m", "x").exit_code == 3
    assert call("vault", "reverts", "answer", "abcdef", "maybe", "-m", "x").exit_code == 2


def test_notes_come_and_go(call: Any, line: Path) -> None:
    note = call("vault", "notes", "add", "v1", "-m", "shipped\non Monday").stdout.strip()
    assert data_of(call("vault", "notes", "list", "v1", "--json"))[0]["id"] == note
    assert call("vault", "notes", "show", note[3:13]).stdout == "shipped\non Monday\n"
    assert call("vault", "notes", "remove", note[3:13], "-m", "wrong").exit_code == 0
    assert call("vault", "notes", "list").stderr == "no note yet\n"
    assert len(data_of(call("vault", "notes", "list", "--removed", "--json"))) == 2
    assert (call("vault", "notes", "show", note).exit_code, call("vault", "notes", "add", "-m", "").exit_code) == (3, 2)


def test_bisect_finds_the_first_bad_version(call: Any, line: Path) -> None:
    step = data_of(call("vault", "bisect", "start", "main", "v1", "--json"))
    assert step["num_candidates"] == 2
    assert data_of(call("vault", "bisect", "status", "--json")) == step
    found = data_of(call("vault", "bisect", "bad", "--json"))
    assert found["first_bad"] == data_of(call("vault", "show", "HEAD~1", "--json"))["version"]["id"]
    assert call("vault", "bisect", "reset").exit_code == 0
    assert call("vault", "bisect", "good").exit_code == 3


def test_bisect_ends_with_2_where_only_skipped_versions_are_left(call: Any, line: Path) -> None:
    call("vault", "bisect", "start", "main", "v1")
    result = call("vault", "bisect", "skip", "--json")
    assert (result.exit_code, len(json.loads(result.stdout)["suspects"])) == (2, 2)


@pytest.mark.parametrize(("code", "message"), [(0, "wave 2"), (1, "wave 1"), (127, "wave 1")])
def test_bisect_run_reads_the_exit_code_of_a_program(call: Any, line: Path, code: int, message: str) -> None:
    call("vault", "bisect", "start", "main", "v1")
    program = f"import sys, pathlib; sys.exit({code} if pathlib.Path(sys.argv[1], 'config.json').exists() else 9)"
    found = data_of(call("vault", "bisect", "run", "--json", sys.executable, "-c", program, "{}"))
    assert data_of(call("vault", "show", found["first_bad"], "--json"))["version"]["message"] == message


def test_bisect_run_stops_where_the_program_says_nothing(call: Any, line: Path) -> None:
    call("vault", "bisect", "start", "main", "v1")
    for words in ([sys.executable, "-c", "import sys; sys.exit(200)"], ["no-such-program-here"]):
        result = call("vault", "bisect", "run", *words)
        assert (result.exit_code, "[cli.bisect_run]" in result.stderr) == (2, True)
    assert call("vault", "bisect", "run", sys.executable, "-c", "import sys; sys.exit(125)").exit_code == 2
    assert call("vault", "bisect", "start", "v1", "main").exit_code == 4
    assert call("vault", "bisect", "start", "main").exit_code == 2


def test_query_sorts_limits_and_shows_columns(call: Any, line: Path) -> None:
    rows = data_of(call("vault", "query", "", "--order", "sparsity desc", "--columns", "message,sparsity", "--json"))
    assert [row["message"] for row in rows] == ["wave 2", "wave 1", "raised"]
    assert rows[2]["sparsity"] is None
    assert len(data_of(call("vault", "query", "sparsity > 1%", "--limit", "1", "--json"))) == 1
    assert "wave 1" in call("vault", "query", "sparsity < 10%").stdout
    assert call("vault", "query", "sparsity > 90%").stderr == "no version matches\n"


def test_a_mistake_in_a_query_is_shown_in_its_place(call: Any, line: Path) -> None:
    result = call("vault", "query", "sparsity >> 1")
    assert result.exit_code == 2
    assert "\n  sparsity >> 1\n            ^" in result.stderr
    assert json.loads(call("vault", "query", "sparsety > 1", "--json").stderr)["code"] == "vault.unknown_field"


def test_retention_only_plans(call: Any, line: Path) -> None:
    plan = data_of(call("vault", "retention", "--newest", "1", "--json"))
    assert (len(plan["kept"]), len(plan["droppable"])) == (2, 1), "a tag keeps the first"
    assert "nothing was removed" in call("vault", "retention", "--days", "1").stdout
    assert call("vault", "retention").exit_code == 2
