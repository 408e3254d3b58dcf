"""A verdict as a pull request shows it: one heading, one table, nothing that breaks it."""

from __future__ import annotations

from tests.evaluate.gates.answers import flipped, measured

from birdbone.evaluate.gates.evidence import Evidence
from birdbone.evaluate.gates.judging import judge_rules
from birdbone.evaluate.gates.markdown import verdict_markdown
from birdbone.evaluate.gates.rule_sets import RuleSet

RULES = RuleSet.model_validate(
    {
        "rules": [
            {"kind": "no_worse", "name": "a | b\nc"},
            {"kind": "kl", "at_most": 0.02},
            {"measurement": "size", "kind": "at_most", "limit": 10},
        ]
    }
)


def test_each_finding_is_a_row_with_as_many_cells_as_the_heading() -> None:
    evidence = Evidence(
        answers=(flipped(both=800, gained=5, lost=5, neither=190),),
        candidate=(measured("kl_to_reference", 0.05, unit="nat", low=0.04, high=0.06, sample_size=900),),
    )
    text = verdict_markdown(judge_rules(RULES, evidence), title="ours against theirs", recommendations=["turn | this"])
    lines = text.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert lines[0] == "## ours against theirs: fail"
    assert len(table) == 2 + 3
    assert {line.replace("\\|", "").count("|") for line in table} == {8}
    assert table[2].startswith("| a \\| b c.piqa | pass | +0.0 points [-0.7 to +0.7] | 1 | 0.9 points | 1,000 |")
    assert table[3].startswith("| kl | **fail** | 0.05 nat [0.04 to 0.06] | - | 0.0143 nat | 900 |")
    assert table[4].startswith("| size | **fail** | not measured | - | - | - |")
    assert lines[-1] == "- turn \\| this"
