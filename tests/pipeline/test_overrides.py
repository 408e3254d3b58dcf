"""An override is written once, with a name and a reason, into the vault's audit, and is shown beside the verdict."""

from __future__ import annotations

from typing import Any

import pytest

from birdbone.core import Workspace, digest_bytes
from birdbone.core.database import connect
from birdbone.pipeline import repository, service
from birdbone.pipeline.errors import BadOverrideError
from birdbone.pipeline.overrides import overrides_of, read_overrides, write_override
from birdbone.pipeline.overriding import failed_rules, override_rule
from birdbone.pipeline.recipe import resolve_recipe
from birdbone.vault import Vault, open_vault, read_reflog
from birdbone.vault.refs.audit import verify_audit

RUN = "small-20260101-000000-aaaa"
RECIPE = {"name": "small", "steps": [{"kind": kind} for kind in ("seed", "log_activations", "quantize")]}
FINDINGS = [
    {"name": "perplexity_ratio", "floor": None, "outcome": "fail", "reason": "perplexity_ratio: 1.2"},
    {"name": "perplexity_ratio", "floor": "quantize", "outcome": "fail", "reason": "floor of quantize: 1.1"},
    {"name": "size", "floor": None, "outcome": "pass", "reason": "size: 1"},
]
NOTES: dict[str, Any] = {"verdict": {"outcome": "fail", "findings": FINDINGS}, "judged": "b3:file", "wave": 0}


@pytest.fixture
def vault(workspace: Workspace) -> Vault:
    return open_vault(workspace.vault_folder)


def record(workspace: Workspace, *, is_aborted: bool = False) -> None:
    recipe = resolve_recipe(RECIPE).model_dump(mode="json")
    with connect(workspace.database_url).begin() as connection:
        repository.insert_run(connection, run_id=RUN, name="small", recipe=recipe, environment={})
        repository.start_step(connection, run_id=RUN, label="judge", kind="judge", position=0)
        ending = {"error": {"code": "pipeline.gate_failed", **NOTES}} if is_aborted else {"result": {"notes": NOTES}}
        repository.end_step(connection, RUN, "judge", **ending)


@pytest.mark.parametrize("is_aborted", [False, True], ids=["judged", "aborted"])
def test_a_rule_that_failed_is_let_through_by_name(workspace: Workspace, vault: Vault, is_aborted: bool) -> None:
    record(workspace, is_aborted=is_aborted)
    written = override_rule(
        workspace, "latest", rule="quantize.perplexity_ratio", author="ann", reason=" it is\na demo "
    )
    assert written is not None
    assert written.words == "quantize.perplexity_ratio overridden by ann: it is a demo"
    assert (written.step, written.artefact) == ("judge", "b3:file")
    assert read_overrides(vault, RUN) == (written,)
    view = service.view_run(workspace, RUN)
    assert view.overridden("judge") == [written.words]
    assert view.overridden("judge-try2") == []
    assert view.judged is not None
    assert view.judged[1]["verdict"] == NOTES["verdict"]


def test_the_audit_is_whole_and_the_refs_are_as_they_were(workspace: Workspace, vault: Vault) -> None:
    record(workspace)
    for rule in ("perplexity_ratio", "quantize.perplexity_ratio"):
        override_rule(workspace, RUN, rule=rule, author="ann", reason="a demo")
    assert verify_audit(vault).is_whole
    assert verify_audit(vault).num_lines == 2
    assert read_reflog(vault) == []
    lines = vault.reflog.read_bytes().splitlines(keepends=True)
    vault.reflog.write_bytes(lines[0].replace(b"a demo", b"no demo") + lines[1])
    assert verify_audit(vault).first_broken_line == 1


@pytest.mark.parametrize("reason", ["", "  \n\t"])
def test_a_reason_is_needed(workspace: Workspace, vault: Vault, reason: str) -> None:
    record(workspace)
    with pytest.raises(BadOverrideError, match="needs a reason"):
        override_rule(workspace, RUN, rule="perplexity_ratio", reason=reason)
    assert read_overrides(vault, RUN) == ()


@pytest.mark.parametrize("rule", ["size", "kl", "waves.perplexity_ratio"])
def test_only_a_rule_that_failed_is_let_through(workspace: Workspace, vault: Vault, rule: str) -> None:
    record(workspace)
    with pytest.raises(BadOverrideError, match=r"These failed: perplexity_ratio, quantize\.perplexity_ratio"):
        override_rule(workspace, RUN, rule=rule, reason="a demo")
    assert read_overrides(vault, RUN) == ()


def test_a_run_that_was_not_judged_has_nothing_to_override(workspace: Workspace) -> None:
    with connect(workspace.database_url).begin() as connection:
        repository.insert_run(
            connection, run_id=RUN, name="small", recipe=resolve_recipe(RECIPE).model_dump(mode="json"), environment={}
        )
    with pytest.raises(BadOverrideError, match="Nothing was judged"):
        override_rule(workspace, RUN, rule="perplexity_ratio", reason="a demo")


def test_a_dry_run_writes_nothing(workspace: Workspace, vault: Vault) -> None:
    record(workspace)
    assert override_rule(workspace, RUN, rule="perplexity_ratio", reason="a demo", is_dry_run=True) is None
    assert read_overrides(vault, RUN) == ()


def test_overrides_of_one_run_are_not_those_of_another_whose_id_begins_alike(vault: Vault) -> None:
    fields = {"rule": "kl", "author": "ann", "reason": "a demo", "step": "judge", "artefact": digest_bytes(b"")}
    write_override(vault, "small-1", **fields)
    write_override(vault, "small-10", **fields | {"reason": "another", "step": "judge-try2"})
    assert [each.reason for each in read_overrides(vault, "small-1")] == ["a demo"]
    assert [each.reason for each in read_overrides(vault, "small-10")] == ["another"]
    assert overrides_of(read_overrides(vault, "small-10"), step="judge") == ()


def test_a_workspace_without_a_vault_has_no_overrides(workspace: Workspace) -> None:
    assert read_overrides(Vault(folder=workspace.vault_folder), RUN) == ()
    assert not (workspace.vault_folder / "refs").exists()


def test_a_verdict_of_before_is_read_by_its_measurements() -> None:
    old = {"verdict": {"findings": [{"rule": {"measurement": "size"}, "outcome": "fail", "reason": "size: 9"}]}}
    assert failed_rules(old) == ["size"]
