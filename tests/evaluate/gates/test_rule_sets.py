"""A file of gates is checked whole; an environment adds to what it builds on; the shipped example is one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from birdbone.core import write_yaml
from birdbone.evaluate.errors import BadGatesError
from birdbone.evaluate.gates.rule_sets import Gates, RuleSet, read_gates

SHIPPED = Path(__file__).parents[3] / "recipes" / "gates" / "standard.yaml"
RATIO = {"kind": "perplexity_ratio", "at_most": 1.03}


def gates(**fields: Any) -> Gates:
    return Gates.model_validate({"format": "birdbone.gates/1", **fields})


def refusal(folder: Path, **fields: Any) -> str:
    path = folder / "gates.yaml"
    write_yaml({"format": "birdbone.gates/1", **fields}, path)
    with pytest.raises(BadGatesError) as caught:
        read_gates(path)
    assert caught.value.hint
    return caught.value.message


def limits(rules: RuleSet) -> list[tuple[str, float | None]]:
    return [(rule.label, getattr(rule, "at_most", None)) for rule in rules.rules]


def test_the_shipped_example_has_every_kind_of_rule_and_three_environments() -> None:
    shipped = read_gates(SHIPPED)
    assert list(shipped.environments) == ["dev", "staging", "prod"]
    kinds = {rule.kind for name in shipped.environments for rule in shipped.rule_set(name).all_rules()}
    assert kinds == {
        *("difference", "no_worse", "retention", "flips"),
        *("perplexity_ratio", "kl", "same_top1", "at_most_ratio"),
    }
    assert set(shipped.stages) == {"waves", "quantize", "judge"}
    assert len(shipped.rule_set("prod").rules) > len(shipped.rule_set("dev").rules) > len(shipped.rule_set().rules)


def test_an_environment_adds_to_what_it_extends_and_replaces_by_name() -> None:
    file = gates(
        rules=[RATIO],
        cumulative=[RATIO],
        environments={
            "dev": {"rules": [{"kind": "kl", "at_most": 0.1}]},
            "prod": {"extends": "dev", "correction": "benjamini_hochberg", "rules": [{**RATIO, "at_most": 1.01}]},
        },
    )
    assert limits(file.rule_set()) == [("perplexity_ratio", 1.03)]
    assert limits(file.rule_set("dev")) == [("perplexity_ratio", 1.03), ("kl", 0.1)]
    prod = file.rule_set("prod")
    assert limits(prod) == [("perplexity_ratio", 1.01), ("kl", 0.1)]
    assert (prod.correction, file.rule_set("dev").correction) == ("benjamini_hochberg", None)
    assert [rule.label for rule in prod.cumulative] == ["perplexity_ratio"]


def test_floors_of_an_environment_are_joined_stage_by_stage() -> None:
    file = gates(
        stages={"waves": [RATIO], "quantize": [RATIO]},
        environments={"prod": {"stages": {"quantize": [{**RATIO, "at_most": 1.01}], "judge": [RATIO]}}},
    )
    found = {stage: rules[0].at_most for stage, rules in file.rule_set("prod").stages.items()}  # type: ignore[union-attr]
    assert found == {"waves": 1.03, "quantize": 1.01, "judge": 1.03}
    assert list(file.rule_set("prod").for_stage("quantize").stages) == ["quantize"]
    assert file.rule_set("prod").for_stage(None).stages == {}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rules": [{"kind": "no_better"}]}, "rules.0"),
        ({"rules": [{"kind": "no_worse", "margin": 3}]}, "rules.0.no_worse.margin"),
        ({"rules": [{"kind": "flips", "at_most": 0.1, "warn": 0.2}]}, "warn (0.2) must lie on the good side"),
        ({"rules": [{"kind": "retention", "at_least": 0.9, "warn": 0.8}]}, "warn (0.8) must lie on the good side"),
        ({"rules": [{"kind": "kl", "at_most": 0.1, "treshold": 1}]}, "rules.0.kl.treshold"),
        ({"rules": [RATIO, RATIO]}, "two rules are called 'perplexity_ratio'"),
        ({"stages": {"export": [RATIO]}}, "stages.export"),
        ({"environments": {"prod": {"extends": "dev"}}}, "'prod' extends 'dev', which there is not"),
        (
            {"environments": {"a": {"extends": "b"}, "b": {"extends": "a"}}},
            "'a' extends itself, by way of 'b'",
        ),
        ({"format": "birdbone.gates/2"}, "format"),
    ],
)
def test_a_rule_that_cannot_mean_anything_is_named(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    assert words in refusal(tmp_path, **fields)


def test_two_rules_of_a_kind_stand_beside_each_other_by_name() -> None:
    file = gates(rules=[RATIO, {**RATIO, "name": "hoped for", "at_most": 1.01}])
    assert limits(file.rule_set()) == [("perplexity_ratio", 1.03), ("hoped for", 1.01)]


def test_what_was_named_and_is_not_there_is_said_with_what_is() -> None:
    file = gates(environments={"dev": {"rules": [RATIO]}})
    with pytest.raises(BadGatesError, match="No environment is called 'live'; there are: dev"):
        file.rule_set("live")
    with pytest.raises(BadGatesError, match="There is no rule") as caught:
        file.rule_set()
    assert "dev" in caught.value.hint


@pytest.mark.parametrize("content", [b"rules: [", b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "gates.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadGatesError, match=r"gates.yaml cannot be read"):
        read_gates(path)
