"""What a run does when its gate fails: it tries again with other settings, or stops until a person lets it through."""

from __future__ import annotations

import json

import pytest

from birdbone.core import Workspace
from birdbone.pipeline import running, service
from birdbone.pipeline.errors import GateFailedError, StepFailedError
from birdbone.pipeline.overriding import override_rule
from birdbone.pipeline.report import build_report
from birdbone.pipeline.report.waves import read_waves
from birdbone.vault import log, open_vault

from ..conftest import MakeRecipe
from ..runs import execute_sql

QUICK = (
    "waves.max_waves=1",
    "waves.heal.num_steps=0",
    "waves.refit.num_iterations=1",
    "quantize.format={linears: f16, embedding: f16}",
)
LOOSE = "evaluate.gate=[{measurement: perplexity_ratio, kind: at_most, limit: 9.0}]"
IMPOSSIBLE = "evaluate.gate=[{measurement: perplexity_ratio, kind: at_most, limit: 0.5}]"
NO_LOSS = (
    "evaluate.stages={waves: [{measurement: perplexity_ratio, kind: at_most, limit: 0.5}], "
    "quantize: [{measurement: perplexity_ratio, kind: at_most, limit: 1.1}]}"
)


def test_a_stage_that_failed_is_done_again_and_a_break_in_the_middle_changes_nothing(
    workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    """The database refuses the record of the retried wave, as a kill would; the run goes on, and stops at the next."""
    recipe = make_recipe(*QUICK, LOOSE, NO_LOSS, "evaluate.on_fail={kind: retry}", until="judge")
    run_id = running.create_run(workspace, recipe)
    for label in ("wave-1-try2", "quantize-try2"):
        execute_sql(
            workspace,
            f"CREATE TRIGGER refuse BEFORE UPDATE ON steps WHEN NEW.label = '{label}' AND NEW.status = 'done' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        with pytest.raises(StepFailedError, match="refused"):
            running.resume_run(workspace, run_id, listener=lambda *_: None)
        execute_sql(workspace, "DROP TRIGGER refuse")
    view = service.view_run(workspace, run_id)
    assert [(step.label, step.num_tries) for step in view.steps][-4:] == [
        ("export", 1),
        ("judge", 1),
        ("wave-1-try2", 2),
        ("quantize-try2", 1),
    ]
    result = {step.label: step.result for step in view.steps}["judge"]
    assert result is not None
    assert (result["go_back_to"], result["changes"]) == ("waves", {"waves.shed.fraction": 0.025})
    findings = result["notes"]["verdict"]["findings"]
    assert [(finding["reason"].partition(": ")[0], finding["outcome"]) for finding in findings] == [
        ("perplexity_ratio", "pass"),
        ("floor of waves", "fail"),
        ("floor of quantize", "pass"),
    ]

    shed = {row.step: row.value for row in view.measurements if row.name == "sparsity"}
    assert shed == pytest.approx({"wave-1": 0.05, "wave-1-try2": 0.025}, abs=0.01)
    assert [wave.label for wave in read_waves(view, ())] == ["wave-1-try2"]
    versions = log(open_vault(workspace.vault_folder), f"runs/{view.run.id}")
    assert [version.lineage.step for version in versions] == ["wave-1-try2", "seed"]

    row = view.figure("retries")
    assert row is not None
    assert (row.value, row.step) == (1, "judge")
    assert row.method == "counted; of 1 allowed: waves.shed.fraction 0.05 -> 0.025, as waves.perplexity_ratio failed"
    told = [event.payload["notes"] for event in service.read_log(workspace, view.run.id) if event.kind == "step_done"]
    assert [notes["retry"]["number"] for notes in told if "retry" in notes] == [1]


def test_a_run_that_aborts_exports_nothing_until_a_person_lets_it_through(
    workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(*QUICK, IMPOSSIBLE, "evaluate.on_fail={kind: abort}", until="judge")
    with pytest.raises(GateFailedError, match=r"perplexity_ratio: .* at most 0\.5 is required") as caught:
        running.start_run(workspace, recipe, listener=lambda *_: None)
    json.dumps(caught.value.to_dict())
    stopped = service.view_run(workspace, "latest")
    assert (stopped.run.status, stopped.run.id) == ("failed", caught.value.fields["run_id"])
    assert "final_gguf" not in stopped.artefacts
    assert not (stopped.folder / "exports").exists()
    assert build_report(stopped).verdict.outcome == "fail"

    override_rule(workspace, stopped.run.id, rule="perplexity_ratio", author="ann", reason="only a demo")
    running.resume_run(workspace, stopped.run.id, listener=lambda *_: None)
    view = service.view_run(workspace, stopped.run.id)
    assert view.run.status == "done"
    assert view.artefacts["final_gguf"] == view.artefacts["gguf"]
    assert view.figure("decode_rate", view.artefacts["gguf"]) is not None
    data = build_report(view)
    assert data.verdict.outcome == "fail"
    assert data.verdict.reasons[-1] == "perplexity_ratio overridden by ann: only a demo"
    assert (data.fell_back, data.exported_name) == (False, "tiny-f16.gguf")
