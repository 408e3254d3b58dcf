"""`eval gate` and `eval override`: exit codes, JSON, Markdown, and a verdict that shows who let it through."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.evaluate.benchmarks.texts import write_all_items

from birdbone.core import Workspace, write_yaml
from birdbone.core.database import connect
from birdbone.pipeline import repository
from birdbone.vault import commit, open_vault, put_folder

FEW = ("--window", "32", "--windows", "8", "--dtype", "float32", "--threads", "1")
RATIO = {"kind": "perplexity_ratio", "at_most": 1.03}


@pytest.fixture
def rules(folder: Path) -> Path:
    write_yaml(
        {
            "format": "birdbone.gates/1",
            "rules": [RATIO, {"kind": "kl", "at_most": 0.01}],
            "stages": {"quantize": [{"kind": "same_top1", "at_least": 0.9}]},
            "environments": {
                "prod": {"rules": [{"kind": "no_worse", "benchmark": "hellaswag", "undecided": "fail"}]},
                "never": {"rules": [{**RATIO, "at_most": 0.5}]},
            },
        },
        folder / "gates.yaml",
    )
    return folder / "gates.yaml"


def test_a_model_beside_itself_passes(call: Any, workspace: Workspace, rules: Path, tiny_model_folder: Path) -> None:
    model = str(tiny_model_folder)
    words = ("eval", "gate", model, model, "--rules", str(rules), *FEW)
    result = call(*words, "--stage", "quantize", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["outcome"], found["first"], found["recommendations"]) == ("pass", model, [])
    assert [(row["key"], row["outcome"], row["num_items"]) for row in found["findings"]] == [
        ("perplexity_ratio", "pass", 8),
        ("kl", "pass", 256),
        ("quantize.same_top1", "pass", 256),
    ]
    assert found["findings"][0]["figure"] == 1


def test_versions_of_the_vault_are_named_by_their_refs(
    call: Any, workspace: Workspace, rules: Path, tiny_model_folder: Path
) -> None:
    vault = open_vault(workspace.vault_folder)
    commit(vault, put_folder(vault, tiny_model_folder, kind="model"), ref="main", message="dense")
    result = call("eval", "gate", "main", "HEAD", "--rules", str(rules), *FEW, "--json")
    assert result.exit_code == 0, result.stderr
    assert [row["outcome"] for row in json.loads(result.stdout)["findings"]] == ["pass", "pass"]


def test_a_rule_that_fails_ends_with_1_says_what_to_turn_and_is_written_down(
    call: Any, workspace: Workspace, rules: Path, tiny_model_folder: Path, folder: Path
) -> None:
    model, recipe = str(tiny_model_folder), Path(__file__).parents[2] / "recipes" / "demo.yaml"
    words = ("eval", "gate", model, model, "--rules", str(rules), "--environment", "never", *FEW)
    result = call(*words, "--markdown", str(folder / "verdict.md"), "--recipe", str(recipe))
    assert result.exit_code == 1
    assert "not judged: the floor of quantize" in result.stderr
    assert "verdict: fail" in result.stdout
    assert "recommended: quantize.format.linears q4_0 -> q4_1, quantize.format.by_role " in result.stdout
    written = (folder / "verdict.md").read_text()
    assert written.startswith(f"## {model} against {model} for never: fail\n")
    assert "| perplexity_ratio | **fail** | 1.0000 [1.0000 to 1.0000] |" in written
    assert "- quantize.format.linears q4_0 -> q4_1" in written


def test_two_items_decide_nothing_and_a_strict_rule_fails(
    call: Any, workspace: Workspace, rules: Path, tiny_model_folder: Path, folder: Path
) -> None:
    write_all_items(folder / "items")
    model = str(tiny_model_folder)
    words = ("eval", "gate", model, model, "--rules", str(rules), "-e", "prod", "--items", str(folder / "items"), *FEW)
    result = call(*words, "--json")
    assert result.exit_code == 1, result.stderr
    last = json.loads(result.stdout)["findings"][-1]
    assert (last["key"], last["outcome"], last["is_undecided"]) == ("no_worse.hellaswag", "fail", True)
    assert "undecided: 2 items can show no" in last["reason"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--rules", "none.yaml"), "[evaluate.bad_gates]"),
        (("--rules", "gates.yaml", "--environment", "live"), "there are: prod, never"),
        (("--rules", "gates.yaml", "--stage", "export"), "--stage takes waves, quantize, judge"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_measured(
    call: Any, workspace: Workspace, rules: Path, words: tuple[str, ...], told: str
) -> None:
    result = call("eval", "gate", "no/such/model", "no/such/model", *words)
    assert result.exit_code == 2
    assert told in result.stderr


def reject(workspace: Workspace, run_id: str) -> None:
    """Let the last judgement of a recorded run fail."""
    finding = {"name": "perplexity_ratio", "floor": None, "outcome": "fail", "reason": "perplexity_ratio: 1.45"}
    notes = {"verdict": {"outcome": "fail", "findings": [finding]}, "wave": 1, "judged": "b3:file", "is_rejected": True}
    with connect(workspace.database_url).begin() as connection:
        repository.end_step(connection, run_id, "judge-try2", result={"artefacts": {}, "notes": notes})


def test_an_override_is_shown_wherever_the_verdict_is(call: Any, workspace: Workspace, finished_run: str) -> None:
    reject(workspace, finished_run)
    words = ("eval", "override", finished_run, "--rule", "perplexity_ratio", "--by", "ann", "--reason", "only a demo")
    dry = call(*words, "--dry-run")
    assert (dry.exit_code, dry.stdout) == (0, "would override perplexity_ratio\n")
    said = "perplexity_ratio overridden by ann: only a demo"
    done = call(*words, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["author"] == "ann"
    shown = json.loads(call("status", finished_run, "--json").stdout)
    assert [step["verdict"] for step in shown["steps"] if step["label"] == "judge-try2"] == [f"fail, {said}"]
    assert said in call("status", finished_run).stdout


def test_an_override_without_a_reason_or_of_what_did_not_fail_is_refused(
    call: Any, workspace: Workspace, finished_run: str
) -> None:
    reject(workspace, finished_run)
    for rule, reason in (("perplexity_ratio", " "), ("size", "only a demo")):
        result = call("eval", "override", finished_run, "--rule", rule, "--reason", reason)
        assert (result.exit_code, "[pipeline.bad_override]" in result.stderr) == (2, True)
