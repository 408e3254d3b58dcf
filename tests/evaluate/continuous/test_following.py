"""Which versions are judged, against what, and how far they climb. The evidence is made by hand; the vault is real."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.core import Measurement
from birdbone.evaluate.config import GateRule
from birdbone.evaluate.continuous import RUNGS, Follower, Ledger, Rung, judge_version, rules_on
from birdbone.evaluate.errors import NonFiniteLogitsError
from birdbone.evaluate.gates.evidence import Evidence
from birdbone.evaluate.gates.rule_sets import RuleSet
from birdbone.evaluate.gates.rules import DivergenceRule, NoWorseRule
from birdbone.vault import UnknownNameError, Vault, commit, move_ref, open_vault, put_folder, read_ref
from birdbone.vault.refs.notes import list_notes

LIMIT = RuleSet(rules=(GateRule(measurement="loss", kind="at_most", limit=1.0),))


class Bench:
    """Gives each version the loss that was said of it, and keeps what was asked."""

    def __init__(self) -> None:
        self.loss: dict[str, float] = {}
        self.asked: list[tuple[str, str, str]] = []

    def measure(self, version: str, reference: str, rung: Rung, rules: RuleSet) -> Evidence:
        self.asked.append((version, reference, rung.name))
        return Evidence(candidate=(figure(self.loss[version]),), baseline=(figure(self.loss.get(reference, 0.0)),))


def figure(value: float) -> Measurement:
    return Measurement(name="loss", value=value, unit="1", method="said by the test", artefact="b3:0")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return open_vault(tmp_path / "vault")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def add(vault: Vault, bench: Bench, folder: Path, loss: float) -> str:
    """Commit a version on `main` of which the loss is known."""
    place = folder / f"model-{len(bench.loss)}"
    place.mkdir()
    (place / "weights.txt").write_text(f"{len(bench.loss)} {loss}")
    version = commit(vault, put_folder(vault, place, kind="model"), ref="main", message=str(loss)).id
    bench.loss[version] = loss
    return version


def follower(vault: Vault, bench: Bench, **settings: object) -> Follower:
    ledger = Ledger(vault=vault, path=vault.folder / "judgements.jsonl")
    fields = {"ref": "main", "environment": "dev", "rules": LIMIT, "measure": bench.measure} | settings
    return Follower(vault=vault, ledger=ledger, **fields)


def test_each_version_is_judged_once_and_against_the_newest_accepted_one(vault, bench, tmp_path):
    first = add(vault, bench, tmp_path, 0.5)
    assert [(found.version, found.baseline) for found in follower(vault, bench).catch_up()] == [(first, None)]
    good, bad, after = (add(vault, bench, tmp_path, loss) for loss in (0.9, 1.5, 0.8))
    found = list(follower(vault, bench).catch_up())
    assert [(each.version, each.baseline, each.outcome) for each in found] == [
        (good, first, "pass"),
        (bad, good, "fail"),
        (after, good, "pass"),
    ]
    assert list(follower(vault, bench).catch_up()) == []
    assert [note.text.startswith("judged, dev: fail at smoke") for note in list_notes(vault, bad)] == [True]


def test_a_fall_in_small_steps_is_seen_by_the_cumulative_rules(vault, bench, tmp_path):
    rules = RuleSet(
        rules=(GateRule(measurement="loss", kind="at_most_ratio", limit=1.05),),
        cumulative=(GateRule(measurement="loss", kind="at_most_ratio", limit=1.05),),
    )
    versions = [add(vault, bench, tmp_path, 1.0)]
    assert len(list(follower(vault, bench, rules=rules).catch_up())) == 1
    outcomes = []
    for loss in (1.04, 1.08, 1.12):
        versions.append(add(vault, bench, tmp_path, loss))
        outcomes += [each.outcome for each in follower(vault, bench, rules=rules).catch_up()]
    assert outcomes == ["pass", "fail", "fail"]
    assert (versions[2], versions[0], "smoke") in bench.asked


def test_a_bad_version_stops_at_the_first_rung_and_a_good_one_climbs_them_all(vault, bench):
    bench.loss |= {"good": 0.5, "bad": 2.0}
    said = judge_version("good", "base", rules=LIMIT, measure=bench.measure)
    assert [(each.rung, each.outcome) for each in said] == [(rung.name, "pass") for rung in RUNGS]
    assert [each.rung for each in judge_version("bad", "base", rules=LIMIT, measure=bench.measure)] == ["smoke"]
    climbed = judge_version("good", "base", rules=LIMIT, measure=bench.measure, last_rung=RUNGS[1])
    assert [each.rung for each in climbed] == ["smoke", "quick"]


def test_what_was_not_measured_fails_and_says_so(bench):
    rules = RuleSet(rules=(DivergenceRule(kind="kl", at_most=0.01),))
    bench.loss["one"] = 0.5
    (said,) = judge_version("one", "base", rules=rules, measure=bench.measure)[:1]
    assert said.outcome != "pass"
    assert "not measured" in said.reasons[0]


def test_a_model_that_gives_no_figure_fails_and_the_watch_goes_on(vault, bench, tmp_path):
    add(vault, bench, tmp_path, 0.5)
    list(follower(vault, bench).catch_up())
    broken, whole = add(vault, bench, tmp_path, 0.6), add(vault, bench, tmp_path, 0.7)

    def measure(version: str, *rest: object) -> Evidence:
        if version == broken:
            raise NonFiniteLogitsError("A likelihood is NaN in window 0.")
        return bench.measure(version, *rest)

    found = list(follower(vault, bench, measure=measure).catch_up())
    assert [(each.version, each.outcome) for each in found] == [(broken, "fail"), (whole, "pass")]
    assert found[0].rungs[0].reasons == ("A likelihood is NaN in window 0.",)


def test_only_accepted_versions_are_promoted(vault, bench, tmp_path):
    first = add(vault, bench, tmp_path, 0.5)
    list(follower(vault, bench, promotes="staging").catch_up())
    assert read_ref(vault, "refs/heads/staging") == first
    add(vault, bench, tmp_path, 3.0)
    list(follower(vault, bench, promotes="staging").catch_up())
    assert read_ref(vault, "refs/heads/staging") == first


def test_environments_do_not_see_each_other_and_a_ref_that_went_back_is_not_judged_again(vault, bench, tmp_path):
    first = add(vault, bench, tmp_path, 0.5)
    list(follower(vault, bench).catch_up())
    assert len(list(follower(vault, bench, environment="prod").catch_up())) == 1
    add(vault, bench, tmp_path, 0.6)
    move_ref(vault, "refs/heads/main", first, force=True)
    assert [each.outcome for each in follower(vault, bench).catch_up()] == ["pass"]
    assert list(follower(vault, bench).catch_up()) == []


def test_a_torn_ledger_line_is_passed_over_and_its_version_judged_again(vault, bench, tmp_path):
    add(vault, bench, tmp_path, 0.5)
    list(follower(vault, bench).catch_up())
    second = add(vault, bench, tmp_path, 0.6)
    list(follower(vault, bench).catch_up())
    path = vault.folder / "judgements.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert [each.version for each in follower(vault, bench).catch_up()] == [second]
    assert list(follower(vault, bench).catch_up()) == []


def test_a_ref_that_is_not_there_is_said_so(vault, bench):
    with pytest.raises(UnknownNameError):
        list(follower(vault, bench, ref="nowhere").catch_up())


@given(st.sampled_from(["lambada", "mmlu", "*", "hellaswag"]))
def test_a_rule_waits_for_the_rung_that_asks_its_benchmark(benchmark: str) -> None:
    rules = RuleSet(rules=(NoWorseRule(kind="no_worse", benchmark=benchmark), *LIMIT.rules))
    smoke, quick, full = (rules_on(rung, rules).rules for rung in RUNGS)
    assert smoke == LIMIT.rules
    assert (rules.rules[0] in quick) == (benchmark != "mmlu")
    assert full == rules.rules
