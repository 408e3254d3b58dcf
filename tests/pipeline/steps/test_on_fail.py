"""What a run does when its gate fails: it tries again with other settings, or stops until a person lets it through."""

from __future__ import annotations

import json
import signal

import pytest

from birdbone.core import Workspace
from birdbone.pipeline import running, service
from birdbone.pipeline.errors import GateFailedError
from birdbone.pipeline.overriding import override_rule
from birdbone.pipeline.report import build_report
from birdbone.pipeline.report.waves import read_waves
from birdbone.vault import log, open_vault

from ..conftest import MakeRecipe
from ..processes import Server
from ..runs import folder_of, go_on, run_here

QUICK = ("waves.max_waves=1", "waves.heal.num_steps=0", "low_rank.num_steps=1", "data.num_healing_windows=8")
TOO_LARGE = "evaluate.stages={judge: [{measurement: bits_per_weight, kind: at_most, limit: 5.6}]}"
LOOSE = "evaluate.gate=[{measurement: perplexity_ratio, kind: at_most, limit: 9.0}]"
RETRY = "evaluate.on_fail={kind: retry, max_tries: 2}"
LARGE = "quantize.format={linears: q5_1, embedding: q5_1}"
IMPOSSIBLE = "evaluate.gate=[{measurement: perplexity_ratio, kind: at_most, limit: 0.5}]"


@pytest.fixture(scope="module")
def recipe_words() -> tuple[str, ...]:
    return (*QUICK, TOO_LARGE, LOOSE, RETRY, LARGE)


def test_a_retry_that_is_killed_and_resumed_ends_as_one_that_is_not(
    processes: Server, workspace: Workspace, tmp_path: object, make_recipe: MakeRecipe, recipe_words: tuple[str, ...]
) -> None:
    recipe = make_recipe(*recipe_words, until="judge")
    whole = run_here(workspace, recipe)
    results = {step.label: step.result for step in whole.steps if step.result}
    first = results["judge"]
    assert first["go_back_to"] == "quantize"
    assert first["changes"] == {"quantize.format.linears": "q5_0", "quantize.format.embedding": "q5_0"}
    assert first["notes"]["retry"]["rule"] == "judge.bits_per_weight"
    assert [results[f"quantize{which}"]["notes"]["type"] for which in ("", "-try2")] == ["q5_1", "q5_0"]
    assert results["judge-try2"]["notes"]["verdict"]["outcome"] == "pass"
    row = whole.figure("retries")
    assert row is not None
    assert (row.value, row.step) == (1, "judge")
    assert "quantize.format.linears q5_1 -> q5_0" in row.method
    told = [event.payload["notes"] for event in service.read_log(workspace, whole.run.id) if event.kind == "step_done"]
    assert [notes["retry"]["number"] for notes in told if "retry" in notes] == [1]

    run_id = running.create_run(workspace, recipe)
    ending = processes.start(folder_of(workspace), run_id, kill_in="quantize-try2").wait()
    assert ending.status == -signal.SIGKILL
    resumed = go_on(processes, workspace, run_id)
    assert resumed.artefacts == whole.artefacts
    assert [step.label for step in resumed.steps] == [step.label for step in whole.steps]


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
    assert (data.fell_back, data.exported_name) == (False, "tiny-q4_0.gguf")


def test_a_stage_that_failed_is_done_again_from_what_stood_before_it(
    workspace: Workspace, make_recipe: MakeRecipe
) -> None:
    """The waves shed too much; done again with half of it they begin with the dense model and its branch."""
    perplexity = "evaluate.stages={waves: [{measurement: perplexity_ratio, kind: at_most, limit: 0.5}]}"
    recipe = make_recipe(*QUICK, LOOSE, perplexity, "evaluate.on_fail={kind: retry}", until="judge")
    view = run_here(workspace, recipe)
    results = {step.label: step.result for step in view.steps if step.result}
    assert results["judge"]["changes"] == {"waves.shed.fraction": 0.025}
    assert results["judge"]["notes"]["verdict"]["findings"][-1]["reason"].startswith("floor of waves: ")
    assert "wave-1-try2" in results
    shed = [
        next(row.value for row in view.measurements if row.name == "sparsity" and row.step == label)
        for label in ("wave-1", "wave-1-try2")
    ]
    assert shed == pytest.approx([0.05, 0.025], abs=0.01)
    versions = log(open_vault(workspace.vault_folder), f"runs/{view.run.id}")
    assert [version.lineage.step for version in versions] == ["wave-1-try2", "seed"]
    assert [wave.label for wave in read_waves(view, ())] == ["wave-1-try2"]
