"""Runs as the pipeline records them, put in through its own functions: quicker than running them."""

from __future__ import annotations

from typing import Any

from birdbone.core import Measurement, Workspace
from birdbone.core.database import connect
from birdbone.core.outbox import publish
from birdbone.pipeline import repository
from birdbone.pipeline.recipe import resolve_recipe

DENSE, DENSE_GGUF, WAVE_1, GGUF, REJECTED_GGUF = (f"b3:{digit * 64}" for digit in "12345")
RAW = {
    "name": "demo",
    "steps": [
        {"kind": kind} for kind in ("seed", "log_activations", "waves", "quantize", "export", "judge", "version")
    ],
}


def figure(name: str, value: float, artefact: str, **more: Any) -> Measurement:
    return Measurement(
        **{"name": name, "value": value, "unit": "1", "method": "as a test says", "artefact": artefact, **more}
    )


def wave(number: int, verdict: str, perplexity: float, *, good_states: list[dict[str, Any]]) -> dict[str, Any]:
    artefact = WAVE_1 if number == 1 else f"b3:{number}{'0' * 63}"
    rows = [
        figure("perplexity", perplexity, artefact, low=perplexity - 1, high=perplexity + 1),
        figure("perplexity_ratio", perplexity / 20, artefact),
        figure("sparsity", 0.1 * number, artefact),
    ]
    notes = {"wave": number, "verdict": verdict, "reason": f"the reason of wave {number}", "good_states": good_states}
    return {"label": f"wave-{number}", "kind": "waves", "notes": notes, "rows": rows, "artefacts": {"state": artefact}}


def judgement(label: str, outcome: str, artefact: str, *, perplexity: float, **notes: Any) -> dict[str, Any]:
    rows = [
        figure("perplexity_gguf", perplexity, artefact, low=perplexity - 1, high=perplexity + 1),
        figure("perplexity_ratio", perplexity / 20, artefact, low=perplexity / 20 - 0.01, high=perplexity / 20 + 0.01),
        figure("decode_rate", 100.0, artefact, unit="token/s"),
        figure("decode_rate", 50.0, DENSE_GGUF, unit="token/s"),
        figure("decode_speedup", 2.0, artefact),
    ]
    verdict = {"outcome": outcome, "findings": [{"reason": f"perplexity_ratio: {perplexity / 20}"}]}
    final = {"final": WAVE_1, "final_gguf": artefact} if outcome != "fail" else {}
    return {
        "label": label,
        "kind": "judge",
        "notes": {"verdict": verdict, "wave": 1, **notes},
        "rows": rows,
        "artefacts": final,
    }


def file_rows(artefact: str, *, size: float) -> list[Measurement]:
    return [
        figure("size", size, artefact, unit="byte"),
        figure("bits_per_weight", size / 1e6, artefact, unit="bit/weight"),
        figure("stored_zeros", 0.05, artefact),
        figure("bytes_per_token", size * 0.9, artefact, unit="byte/token", basis="estimated"),
    ]


def all_steps() -> list[dict[str, Any]]:
    good = [{"wave": 1, "state": WAVE_1, "masks": "b3:0", "version": "b3:0", "perplexity": 20.2}]
    seed_rows = [
        figure("perplexity", 20.0, DENSE, low=19.0, high=21.0),
        figure("perplexity_gguf", 20.01, DENSE_GGUF),
        figure("engine_ratio", 1.0005, DENSE_GGUF),
        *file_rows(DENSE_GGUF, size=270e6),
    ]
    seed_artefacts = {"dense": DENSE, "dense_gguf": DENSE_GGUF, "windows": f"b3:{'9' * 64}"}
    return [
        {"label": "seed", "kind": "seed", "notes": {}, "rows": seed_rows, "artefacts": seed_artefacts},
        {"label": "log_activations", "kind": "log_activations", "notes": {}, "rows": [], "artefacts": {}},
        wave(1, "good", 20.2, good_states=good),
        wave(2, "probation", 21.0, good_states=good),
        wave(3, "undone", 22.0, good_states=good),
        {"label": "quantize", "kind": "quantize", "notes": {}, "rows": [], "artefacts": {"candidate": WAVE_1}},
        judgement("judge", "fail", REJECTED_GGUF, perplexity=29.0, is_rejected=True),
        {
            "label": "export-try2",
            "kind": "export",
            "notes": {},
            "rows": file_rows(GGUF, size=90e6),
            "artefacts": {"gguf": GGUF},
        },
        judgement("judge-try2", "pass", GGUF, perplexity=20.4),
    ]


def record_run(
    workspace: Workspace,
    run_id: str,
    *,
    num_steps: int | None = None,
    status: repository.RunStatus = "done",
    overrides: tuple[str, ...] = (),
) -> str:
    """Record the first `num_steps` steps of a run (all, unless given) and return its id."""
    workspace.run_folder(run_id).mkdir(parents=True)
    recipe = resolve_recipe(RAW, overrides=overrides).model_dump(mode="json")
    with connect(workspace.database_url).begin() as connection:
        repository.insert_run(connection, run_id=run_id, name="demo", recipe=recipe, environment={"cpu": "a CPU"})
        for position, step in enumerate(all_steps()[:num_steps]):
            _record_step(connection, run_id, step, position)
        repository.set_run_status(connection, run_id, status)
        publish(connection, topic=run_id, kind=f"run_{status}", payload={})
    return run_id


def _record_step(connection: Any, run_id: str, step: dict[str, Any], position: int) -> None:
    label, kind = step["label"], step["kind"]
    repository.start_step(connection, run_id=run_id, label=label, kind=kind, position=position)
    publish(connection, topic=run_id, kind="step_started", payload={"label": label, "kind": kind})
    rows = repository.replace_measurements(connection, run_id=run_id, step=label, rows=step["rows"])
    result = {"artefacts": step["artefacts"], "notes": step["notes"]}
    repository.end_step(connection, run_id, label, result=result)
    payload = {
        "label": label,
        "kind": kind,
        "figures": [{"name": row.name, "value": row.value, "artefact": row.artefact} for row in rows],
        "notes": step["notes"],
    }
    publish(connection, topic=run_id, kind="step_done", payload=payload)
