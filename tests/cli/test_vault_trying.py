"""Canaries and reverts on a condition at the command line: what was measured decides where a branch goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .models import content_of, prune, write_model

RULES = """\
format: birdbone.revert-rules/1
rules:
  - {kind: threshold, name: jump, measurement: perplexity, limit: 0.03}
  - {kind: gate, name: safe, measurement: safety.score, at_least: 0.9}
  - {kind: z_score, name: far, measurement: perplexity, window: 4, limit: 3, min_spread: 0.01}
"""


@pytest.fixture
def line(call: Any, folder: Path) -> Iterator[Path]:
    """A folder `model` with a version on `main` of sparsity 0.2, and a candidate on `trial`; HEAD is `main`."""
    place = write_model(folder / "model")
    (folder / "rules.yaml").write_text(RULES)
    call("vault", "init", str(place))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        write_figures(place, sparsity=0.2)
        call("vault", "commit", "-m", "wave 1", "--measurements", "../figures.json")
        call("vault", "switch", "-c", "trial")
        prune(place, 0.3)
        call("vault", "commit", "-m", "wave 2")
        call("vault", "switch", "main")
        yield place


def write_figures(place: Path, **values: Any) -> None:
    rows = [{"name": name, "value": value, "unit": "1", "method": "counted"} for name, value in values.items()]
    (place.parent / "figures.json").write_text(json.dumps(rows))


def start(call: Any, *words: str) -> Any:
    return call("vault", "canary", "start", "wave-2", "trial", *(words or ("--observations", "2")))


def observe(call: Any, place: Path, *words: str, **values: float) -> Any:
    write_figures(place, **values)
    return call("vault", "canary", "observe", "wave-2", "--measurements", "../figures.json", *words)


def data_of(result: Any, *, ends_with: int = 0) -> Any:
    assert result.exit_code == ends_with, result.stderr
    return json.loads(result.stdout)


def tip(call: Any, ref: str) -> str:
    return str(data_of(call("vault", "show", ref, "--json"))["version"]["id"])


def test_a_candidate_is_promoted_and_the_files_follow(call: Any, line: Path) -> None:
    base, candidate = tip(call, "main"), tip(call, "trial")
    begun = data_of(start(call, "--observations", "2", "--json"))
    assert (begun["base"], begun["candidate"], begun["asks_for"], begun["canary_ref"]) == (
        base,
        candidate,
        "wait",
        "refs/heads/canary/wave-2",
    )
    assert [rule["name"] for rule in begun["rules"]] == ["sparsity-collapse"]
    assert (tip(call, "canary/wave-2"), tip(call, "main")) == (candidate, base)
    seen = data_of(observe(call, line, "--json", sparsity=0.3))
    assert [one["verdict"] for one in seen["observations"]] == ["good"]
    assert data_of(call("vault", "canary", "settle", "wave-2", "--json"))["state"] == "running"
    observe(call, line, sparsity=0.3)
    assert "would be promoted: 2 of 2" in call("vault", "canary", "settle", "wave-2", "--dry-run").stdout
    assert tip(call, "main") == base
    settled = data_of(call("vault", "canary", "settle", "wave-2", "--json"))
    assert (settled["state"], settled["files"]["num_files"], tip(call, "main")) == ("promoted", 1, candidate)
    assert data_of(call("vault", "status", "--json"))["is_clean"]


def test_a_bad_candidate_ends_with_1_and_the_branch_was_never_touched(call: Any, line: Path) -> None:
    start(call, "--observations", "3", "--max-failures", "1")
    base, files = tip(call, "main"), content_of(line)
    assert "observation 1: bad" in observe(call, line, "--settle", sparsity=0.1).stdout
    result = observe(call, line, "--settle", sparsity=0.0)
    assert (result.exit_code, "rolled back: canary/wave-2 is back at" in result.stdout) == (1, True)
    assert (tip(call, "main"), tip(call, "canary/wave-2"), content_of(line)) == (base, base, files)
    assert "sparsity is 0, 100.00% worse than 0.2" in call("vault", "reflog", "canary/wave-2").stdout
    again = call("vault", "canary", "settle", "wave-2")
    assert (again.exit_code, "[vault.bad_decision]" in again.stderr, "hint: " in again.stderr) == (4, True, True)


def test_what_was_not_measured_decides_nothing(call: Any, line: Path) -> None:
    start(call, "--observations", "1")
    assert "observation 1: unknown\n  sparsity-collapse: sparsity not measured\n" in observe(call, line, loss=3).stdout
    settled = call("vault", "canary", "settle", "wave-2")
    assert (settled.exit_code, settled.stdout) == (
        0,
        "running: 0 of 1 observation, 0 bad (0 allowed), 1 more undecided\n",
    )


def test_trials_are_listed_and_shown(call: Any, line: Path) -> None:
    assert (data_of(call("vault", "canary", "list", "--json")), call("vault", "canary", "list").stderr) == (
        [],
        "no canary yet\n",
    )
    start(call)
    observe(call, line, sparsity=0.3)
    (row,) = data_of(call("vault", "canary", "list", "--json"))
    assert data_of(call("vault", "canary", "show", "wave-2", "--json")) == row
    said = call("vault", "canary", "list").stdout
    assert said == f"wave-2 running {row['candidate'][3:13]} for main: 1 of 2 observations, 0 bad (0 allowed)\n"
    lines = call("vault", "canary", "show", "wave-2").stdout.splitlines()
    assert lines[:2] == ["canary    wave-2: running", f"candidate {row['candidate'][3:13]} on canary/wave-2"]
    assert lines[-1] == "  sparsity-collapse: sparsity is 0.3, 50.00% better than 0.2; 10.00% worse is allowed"


def test_rules_are_those_of_the_file_or_those_that_are_named(call: Any, line: Path) -> None:
    lacking = start(call, "--observations", "1", "--rules", "../rules.yaml")
    assert (lacking.exit_code, "jump cannot judge" in lacking.stderr) == (2, True), "main has no perplexity"
    named = data_of(start(call, "--observations", "1", "--rules", "../rules.yaml", "--rule", "safe", "--json"))
    assert [rule["name"] for rule in named["rules"]] == ["safe"]
    write_figures(line, perplexity=10)
    call("vault", "commit", "-m", "measured", "--measurements", "../figures.json", "--allow-empty")
    words = ("--ref", "main", "--observations", "1", "--rules", "../rules.yaml")
    call("vault", "switch", "-c", "next")
    prune(line, 0.4)
    call("vault", "commit", "-m", "wave 3")
    begun = call("vault", "canary", "start", "wave-3", "HEAD", *words)
    assert begun.stdout.splitlines()[1:] == ["  judged by: jump, safe", "  only for a history of versions: far"]


def test_what_cannot_be_tried_is_refused_with_a_hint(call: Any, line: Path) -> None:
    for words, code, word in (
        (["wave-2", "nothing"], 3, "vault.unknown_name"),
        (["wave-2", "main"], 2, "vault.bad_revert"),
        (["wave-2", "trial", "--ref", "trial", "--rule", "safety"], 2, "vault.bad_revert"),
        (["Wave 2", "trial"], 2, "vault.bad_name"),
        (["wave-2", "trial", "--rules", "missing.yaml"], 2, "vault.bad_rules"),
        (["wave-2", "trial", "--rule", "missing"], 3, "vault.unknown_name"),
        (["wave-2", "trial", "--rule", "perplexity-drift"], 2, "cli.usage"),
        (["wave-2", "trial", "--rule", "perplexity-jump"], 2, "vault.bad_rules"),
    ):
        result = call("vault", "canary", "start", *words, "--observations", "1")
        assert (result.exit_code, f"[{word}]" in result.stderr, "hint: " in result.stderr) == (code, True, True), words
    assert call("vault", "canary", "start", "wave-2", "trial", "--observations", "0").exit_code == 2
    assert data_of(call("vault", "canary", "list", "--json")) == []
    for words in (["show"], ["settle"], ["observe", "--measurements", "../figures.json"]):
        assert call("vault", "canary", words[0], "nobody", *words[1:]).exit_code == 3, words


def test_a_version_without_figures_leaves_the_built_in_rules_nothing_to_go_by(call: Any, line: Path) -> None:
    call("vault", "switch", "trial")
    prune(line, 0.5)
    call("vault", "commit", "-m", "wave 3")
    result = call("vault", "canary", "start", "wave-3", "HEAD", "--ref", "HEAD~1", "--observations", "1")
    assert result.exit_code == 2, "no branch is called so"
    call("vault", "branch", "old", "HEAD~1")
    result = call("vault", "canary", "start", "wave-3", "HEAD", "--ref", "old", "--observations", "1")
    assert (result.exit_code, "No rule can judge a candidate for old" in result.stderr) == (2, True)


def test_figures_of_another_artefact_are_refused(call: Any, line: Path) -> None:
    start(call)
    row = {"name": "sparsity", "value": 0.3, "unit": "1", "method": "counted", "artefact": f"b3:{'1' * 64}"}
    for content, words in (([row], "was taken on 1111111111"), ([{"name": "sparsity"}], "is not right"), ("x", "list")):
        (line.parent / "figures.json").write_text(json.dumps(content))
        result = call("vault", "canary", "observe", "wave-2", "--figures", "../figures.json")
        assert (result.exit_code, words in result.stderr) == (2, True), result.stderr
    assert data_of(call("vault", "canary", "show", "wave-2", "--json"))["observations"] == []


def test_a_branch_that_moved_is_not_pushed_aside(call: Any, line: Path) -> None:
    start(call, "--observations", "1")
    prune(line, 0.1, "self_attn")
    call("vault", "commit", "-m", "meanwhile")
    moved = tip(call, "main")
    result = observe(call, line, "--settle", sparsity=0.3)
    assert (result.exit_code, "[vault.ref_conflict]" in result.stderr, tip(call, "main")) == (4, True, moved)
    assert len(data_of(call("vault", "canary", "show", "wave-2", "--json"))["observations"]) == 1


def test_files_that_are_not_committed_are_not_overwritten_by_a_promotion(call: Any, line: Path) -> None:
    start(call, "--observations", "1")
    prune(line, 0.9)
    base, files = tip(call, "main"), content_of(line)
    result = observe(call, line, "--settle", sparsity=0.3)
    assert (result.exit_code, "[cli.work_changed]" in result.stderr) == (4, True)
    assert (tip(call, "main"), content_of(line)) == (base, files)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    figures=st.lists(st.sampled_from([0.3, 0.2, 0.1, None]), min_size=1, max_size=5),
    num_observations=st.integers(1, 3),
    max_failures=st.integers(0, 2),
)
def test_a_branch_moves_only_after_enough_good_observations(
    call: Any, line: Path, figures: list[float | None], num_observations: int, max_failures: int
) -> None:
    """Whatever comes in whatever order: the state is that of the first observation that decides, and so is the exit."""
    name = f"trial-{len(data_of(call('vault', 'canary', 'list', '--json')))}"
    ref = f"main-{name}"
    call("vault", "branch", ref, "main")
    base, candidate = tip(call, "main"), tip(call, "trial")
    counts = ("--observations", str(num_observations), "--max-failures", str(max_failures))
    assert call("vault", "canary", "start", name, "trial", "--ref", ref, *counts).exit_code == 0
    num_judged = num_bad = 0
    for value in figures:
        write_figures(line, **({} if value is None else {"sparsity": value}))
        result = call("vault", "canary", "observe", name, "--figures", "../figures.json", "--settle", "--json")
        num_judged += value is not None
        num_bad += value == 0.1
        if num_bad > max_failures:
            assert (data_of(result, ends_with=1)["state"], tip(call, ref)) == ("rolled_back", base)
            return
        if num_judged >= num_observations:
            assert (data_of(result)["state"], tip(call, ref)) == ("promoted", candidate)
            return
        assert (data_of(result)["state"], tip(call, ref)) == ("running", base)


def test_a_revert_waits_until_its_rule_fires(call: Any, line: Path) -> None:
    good = tip(call, "main")
    put_off = call("vault", "revert", "--to", good, "--when", "sparsity-collapse", "-m", "if the zeros go")
    (row,) = data_of(call("vault", "reverts", "list", "--json"))["scheduled"]
    digits = row["id"][3:13]
    assert put_off.stdout.splitlines() == [
        f"{digits} waits until sparsity-collapse fires; `birdbone vault reverts run` carries it out",
        "  now quiet: sparsity is 0.2, the first of its kind",
    ]
    assert (row["when"]["kind"], row["when"]["rule"]["name"]) == ("rule", "sparsity-collapse")
    words = f"when sparsity-collapse fires go back to {good[3:13]} on main"
    assert call("vault", "reverts", "list").stdout == f"{digits} waiting   {words}\n"
    assert call("vault", "reverts", "run").stderr == "nothing is due\n"
    commit_wave(call, line, sparsity=0.19)
    assert call("vault", "reverts", "run").stderr == "nothing is due\n", "5 % fewer are allowed"
    commit_wave(call, line, sparsity=0.01)
    bad = tip(call, "main")
    (done,) = data_of(call("vault", "reverts", "run", "--json"))
    assert (done["state"], done["version"], tip(call, "main") != bad) == ("done", tip(call, "main"), True)
    assert data_of(call("vault", "diff", good, "main", "--names", "--json"))["tensors"]["changed"] == []
    assert call("vault", "reverts", "list").stdout == f"{digits} done      {words}: {done['version'][3:13]}\n"
    assert data_of(call("vault", "status", "--json"))["is_clean"], "the files followed"


def test_files_that_are_not_committed_neither_stop_a_revert_nor_follow_it(call: Any, line: Path) -> None:
    call("vault", "revert", "--to", "HEAD", "--when", "sparsity-collapse")
    commit_wave(call, line, sparsity=0.01)
    prune(line, 0.9)
    files = content_of(line)
    result = call("vault", "reverts", "run")
    assert (result.exit_code, " done " in result.stdout, content_of(line)) == (0, True, files)
    assert result.stderr.startswith("HEAD moved, the files did not: model.safetensors")


def test_a_rule_that_waits_can_stand_in_a_file_and_be_cancelled(call: Any, line: Path) -> None:
    commit_wave(call, line, perplexity=12)
    asked = ["HEAD", "--when", "safe", "--rules", "../rules.yaml", "--tensor", "*.mlp.*"]
    waiting = data_of(call("vault", "revert", *asked, "--json"))
    assert (waiting["state"], waiting["when"]["rule"]["at_least"]) == ("waiting", 0.9)
    said = call("vault", "reverts", "cancel", waiting["id"][3:13], "-m", "not needed", "--author", "ann")
    assert said.stdout == f"cancelled {waiting['id'][3:13]}\n"
    listed = call("vault", "reverts", "list").stdout
    assert listed.endswith(f"undo {tip(call, 'main')[3:13]} on main in part: ann: not needed\n")
    commit_wave(call, line, **{"safety.score": 0.1})
    assert call("vault", "reverts", "run").stderr == "nothing is due\n"


def test_a_revert_has_one_condition_that_makes_sense(call: Any, line: Path) -> None:
    commit_wave(call, line, sparsity=0.2)
    for words, code in (
        (["HEAD", "--when", "missing"], 3),
        (["HEAD", "--when", "perplexity-drift"], 2),
        (["HEAD", "--when", "jump", "--rules", "missing.yaml"], 2),
        (["HEAD", "--when", "safety", "--at", "2999-01-01T10:00"], 2),
        (["--auto", "default", "--when", "safety"], 2),
        (["HEAD", "--rules", "../rules.yaml"], 2),
        (["--when", "safety"], 2),
        (["HEAD", "--layer", "99", "--when", "safety"], 2),
    ):
        result = call("vault", "revert", *words)
        assert (result.exit_code, "hint: " in result.stderr) == (code, True), words
    planned = call("vault", "revert", "HEAD", "--when", "safety", "--dry-run")
    assert (planned.exit_code, "refs/heads/main moves from" in planned.stdout) == (0, True)
    assert data_of(call("vault", "reverts", "list", "--json"))["scheduled"] == []


def commit_wave(call: Any, place: Path, **values: float) -> None:
    """Commit other weights with these figures."""
    write_model(place, seed=round(sum(values.values()) * 1000))
    write_figures(place, **values)
    done = call("vault", "commit", "-m", "another wave", "--measurements", "../figures.json", "--force")
    assert done.exit_code == 0, done.stderr
