"""Made-up rows of runs for the tests of the report. No figure here was measured on anything.

`full_view` is a run of the demo's shape: four waves of which two are undone, a rejected file, a resumed step. The other
views are the same rows cut short or changed, as a crash, a stop or a failed gate would leave them.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from pathlib import Path
from typing import Any

from birdbone.core import Measurement
from birdbone.pipeline.recipe import resolve_recipe
from birdbone.pipeline.repository import RunRow, StepRow
from birdbone.pipeline.service import RunView

RUN_ID = "demo-20260301-made-up"
BEGUN = dt.datetime(2026, 3, 1, 9, 0, 0)  # without a zone, as SQLite gives it back
NUM_LAYERS = 30
NUM_WEIGHTS = 134_515_008
KINDS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
KINDS += ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def digest(letter: str) -> str:
    """A digest that says which made-up artefact it is."""
    return "b3:" + (letter * 64)[:64]


DENSE, DENSE_GGUF = digest("d0"), digest("d1")
STATES = [digest(f"a{wave}") for wave in range(5)]
GGUFS = [digest("f1"), digest("f2")]
FALLBACK_GGUF = digest("f16")

RECIPE: dict[str, Any] = {
    "name": "demo",
    "description": "Made-up rows for the tests of the report.",
    "num_threads": 1,
    "dtype": "float32",
    "data": {"num_heldout_windows": 16},
    "steps": [
        {"kind": "seed"},
        {"kind": "log_activations"},
        {"kind": "waves", "max_waves": 4, "stop_loss": {"max_rise": 0.02, "max_total_rise": 0.03}},
        {"kind": "quantize"},
        {"kind": "low_rank"},
        {"kind": "export"},
        {"kind": "judge"},
        {"kind": "version"},
    ],
}

ENVIRONMENT: dict[str, Any] = {
    "birdbone": "0.0.0",
    "python": "3.12.1",
    "platform": "Linux-made-up",
    "packages": {"torch": "2.13.0", "transformers": "5.23.0", "gguf": "0.19.0", "xllamacpp": "2026.10.11549"},
    "cpu": "A made-up CPU with a rather long name, 2.45 GHz",
    "cores": 2,
    "isa": ["avx2", "fma"],
    "memory_bytes": 16 * 2**30,
    "gpus": [],
}


def figure(name: str, value: float, *, step: str, artefact: str, unit: str = "1", **rest: Any) -> Measurement:
    """One made-up row."""
    method = rest.pop("method", "made up for a test")
    return Measurement(
        name=name,
        value=value,
        unit=unit,
        method=method,
        artefact=artefact,
        run_id=RUN_ID,
        step=step,
        taken_at=BEGUN + dt.timedelta(minutes=1),
        **rest,
    )


def perplexity(value: float, *, step: str, artefact: str, name: str = "perplexity") -> Measurement:
    method = "16 windows of 512 tokens, stride 512"
    ends = {"low": value * 0.94, "high": value * 1.07}
    return figure(name, value, step=step, artefact=artefact, method=method, sample_size=8176, **ends)


def ratio(value: float, *, step: str, artefact: str, name: str = "perplexity_ratio") -> Measurement:
    method = "paired over 16 windows, bootstrap-t with 2000 resamples"
    ends = {"low": value - 0.0041, "high": value + 0.0047}
    return figure(name, value, step=step, artefact=artefact, method=method, sample_size=8176, **ends)


def file_rows(size: int, *, step: str, artefact: str) -> list[Measurement]:
    how = "tensor bytes in the file's directory, each read once a token; no key-value cache"
    return [
        figure("size", size, step=step, artefact=artefact, unit="byte", method="size of the stored file"),
        figure("stored_zeros", 0.1, step=step, artefact=artefact, method="weights stored as exactly zero, over all"),
        figure(
            "bits_per_weight",
            8 * size / NUM_WEIGHTS,
            step=step,
            artefact=artefact,
            unit="bit/weight",
            method=f"8 x stored bytes / {NUM_WEIGHTS:,} weights",
        ),
        figure(
            "bytes_per_token",
            size * 0.985,
            step=step,
            artefact=artefact,
            unit="byte/token",
            basis="estimated",
            method=how,
        ),
    ]


def rate_rows(rate: float, *, step: str, artefact: str) -> list[Measurement]:
    how = {"method": "llama.cpp, 1 thread(s), median of 7 turns, alternating with the other engine", "sample_size": 448}
    return [
        figure(
            "decode_rate", rate, step=step, artefact=artefact, unit="token/s", low=rate * 0.96, high=rate * 1.03, **how
        ),
        figure("decode_cpu_time", 1 / rate, step=step, artefact=artefact, unit="s/token", **how),
    ]


def judge_rows(
    ppl: float, change: float, rate: float, *, baseline_rate: float, step: str, artefact: str
) -> list[Measurement]:
    speedup = rate / baseline_rate
    return [
        perplexity(ppl, step=step, artefact=artefact, name="perplexity_gguf"),
        ratio(change, step=step, artefact=artefact),
        *rate_rows(rate, step=step, artefact=artefact),
        *rate_rows(baseline_rate, step=step, artefact=DENSE_GGUF),
        figure(
            "decode_speedup",
            speedup,
            step=step,
            artefact=artefact,
            method="llama.cpp, 1 thread(s), median over 7 pairs of turns",
            sample_size=448,
            low=speedup * 0.97,
            high=speedup * 1.02,
        ),
    ]


def by_linear(wave: int, *, base: float = 0.0) -> dict[str, float]:
    """A made-up number for each linear of 30 layers, uneven so that the map has something to show."""
    share = 1 - 0.9**wave
    return {
        f"model.layers.{layer}.{kind}": share * (1 + 0.35 * math.sin(layer / 4 + place)) + base
        for layer in range(NUM_LAYERS)
        for place, kind in enumerate(KINDS)
    }


def errors(scale: float) -> list[float]:
    return [scale * (0.004 + 0.0011 * layer + 0.002 * (layer % 5 == 2)) for layer in range(NUM_LAYERS)]


WAVES: tuple[dict[str, Any], ...] = (
    {"ppl": 13.352, "ratio": 1.0009, "verdict": "good", "reason": "perplexity +0.09% over the last good state"},
    {"ppl": 13.492, "ratio": 1.0114, "verdict": "good", "reason": "perplexity +1.05% over the last good state"},
    {
        "ppl": 13.909,
        "ratio": 1.0426,
        "verdict": "probation",
        "reason": "perplexity rose over the last good state by +3.09%, limit +2.00%; "
        "perplexity rose over the dense model by +4.26%, limit +3.00%",
        "regrown": 412_883,
        "before": 14.301,
    },
    {
        "ppl": 14.402,
        "ratio": 1.0796,
        "verdict": "undone",
        "reason": "perplexity rose over the last good state by +6.74%, limit +2.00%; "
        "perplexity rose over the dense model by +7.96%, limit +3.00%, 2 waves in a row",
        "regrown": 398_120,
        "before": 15.011,
    },
)


def wave_result(number: int) -> dict[str, Any]:
    wave = WAVES[number - 1]
    good = [
        {"state": STATES[k], "masks": digest(f"b{k}"), "wave": k, "version": digest(f"c{k}"), "perplexity": 1.0}
        for k in range(1, number + 1)
        if WAVES[k - 1]["verdict"] == "good"
    ]
    notes = {
        "wave": number,
        "verdict": wave["verdict"],
        "reason": wave["reason"],
        "perplexity": wave["ppl"],
        "perplexity_after_heal": wave.get("before", wave["ppl"]),
        "healing_errors_before": errors(0.8 + 0.5 * number),
        "healing_errors_after": errors(0.5 + 0.3 * number),
        "sparsity_by_linear": by_linear(number),
        "good_states": good,
        **({"num_regrown": wave["regrown"]} if "regrown" in wave else {}),
    }
    return {"artefacts": {"state": STATES[number], "masks": digest(f"b{number}")}, "notes": notes}


def wave_rows(number: int) -> list[Measurement]:
    wave, step, artefact = WAVES[number - 1], f"wave-{number}", STATES[number]
    return [
        perplexity(wave["ppl"], step=step, artefact=artefact),
        ratio(wave["ratio"], step=step, artefact=artefact),
        figure("sparsity", 1 - 0.9**number, step=step, artefact=artefact, sample_size=106_168_320),
    ]


def verdict(outcome: str, reason: str) -> dict[str, Any]:
    rule = {"measurement": "perplexity_ratio", "kind": "at_most", "limit": 1.03}
    return {"outcome": outcome, "findings": [{"rule": rule, "outcome": outcome, "reason": reason, "figure": 1.0}]}


def _results() -> dict[str, dict[str, Any]]:
    quantized = {
        "wave": 2,
        "attempt": 0,
        "type": "Q4_0",
        "errors_by_linear": {path: 0.02 * share for path, share in by_linear(3, base=0.05).items()},
    }
    merged = {
        "errors_before": errors(1.4),
        "errors_after": errors(1.2),
        "num_merged": 27,
        "num_blocks": NUM_LAYERS,
        "num_deciding_windows": 4,
        "kl_before": 0.0312,
        "kl_after": 0.0287,
        "is_left_out": False,
    }
    exported = {"types": {"Q4_0": 210, "Q8_0": 1, "F32": 61}, "limits": []}
    rejected = verdict("fail", "perplexity_ratio: 1.0368; at most 1.03 is required")
    accepted = verdict("warn", "perplexity_ratio: 1.0254; at most 1.02 was hoped for, at most 1.03 is required")
    return {
        "seed": {
            "artefacts": {"dense": DENSE, "windows": digest("e1"), "dense_gguf": DENSE_GGUF},
            "notes": {
                "name": "SmolLM2-135M-Instruct",
                "licence": "apache-2.0",
                "family": "llama",
                "num_layers": NUM_LAYERS,
                "hidden_size": 576,
                "num_weights": NUM_WEIGHTS,
                "corpus": digest("e0"),
            },
        },
        "log_activations": {
            "artefacts": {"statistics": digest("e2")},
            "notes": {"num_tokens": 8192, "importance_by_linear": by_linear(2, base=0.02)},
        },
        **{f"wave-{number}": wave_result(number) for number in range(1, 5)},
        "quantize": {"artefacts": {"candidate": STATES[2]}, "notes": quantized},
        "low_rank": {"artefacts": {}, "notes": merged},
        "export": {"artefacts": {"gguf": GGUFS[0]}, "notes": exported},
        "judge": {
            "artefacts": {},
            "notes": {"verdict": rejected, "wave": 2, "is_rejected": True},
            "go_back_to": "quantize",
        },
        "quantize-try2": {
            "artefacts": {"candidate": STATES[1]},
            "notes": quantized | {"wave": 1, "attempt": 1},
        },
        "low_rank-try2": {"artefacts": {}, "notes": merged},
        "export-try2": {"artefacts": {"gguf": GGUFS[1]}, "notes": exported},
        "judge-try2": {
            "artefacts": {"final": STATES[1], "final_gguf": GGUFS[1]},
            "notes": {"verdict": accepted, "wave": 1, "exported": "demo-q4_0.gguf"},
        },
        "version": {"artefacts": {}, "notes": {"version": digest("9"), "ref": "main"}},
    }


SECONDS = {
    "seed": 41,
    "log_activations": 18.2,
    "quantize": 6.4,
    "low_rank": 22,
    "export": 3.1,
    "judge": 37,
    "version": 2,
}


def _kind(label: str) -> str:
    return "waves" if label.startswith("wave-") else label.removesuffix("-try2")


def _steps() -> tuple[StepRow, ...]:
    rows, at = [], BEGUN
    for position, (label, result) in enumerate(_results().items()):
        seconds = SECONDS.get(_kind(label), 74.0 + position)
        row = StepRow(
            run_id=RUN_ID,
            label=label,
            kind=_kind(label),
            position=position,
            status="done",
            started_at=at,
            ended_at=at + dt.timedelta(seconds=seconds),
            num_tries=2 if label == "wave-3" else 1,
            progress=None,
            result=result,
            error=None,
        )
        rows.append(row)
        at = at + dt.timedelta(seconds=seconds)
    return tuple(rows)


def _measurements() -> tuple[Measurement, ...]:
    rows = [
        perplexity(13.340, step="seed", artefact=DENSE),
        perplexity(13.341, step="seed", artefact=DENSE_GGUF, name="perplexity_gguf"),
        figure(
            "engine_ratio",
            1.00007,
            step="seed",
            artefact=DENSE_GGUF,
            low=0.99991,
            high=1.00021,
            sample_size=8176,
            method="paired over 16 windows, bootstrap-t with 2000 resamples",
        ),
        *file_rows(270_900_128, step="seed", artefact=DENSE_GGUF),
        *(row for number in range(1, 5) for row in wave_rows(number)),
        *file_rows(91_731_040, step="export", artefact=GGUFS[0]),
        *judge_rows(13.832, 1.0368, 92.1, baseline_rate=53.6, step="judge", artefact=GGUFS[0]),
        *file_rows(91_731_040, step="export-try2", artefact=GGUFS[1]),
        *judge_rows(13.680, 1.0254, 91.4, baseline_rate=54.0, step="judge-try2", artefact=GGUFS[1]),
    ]
    return tuple(rows)


def full_view() -> RunView:
    """A run that is done: four waves, two of them undone; one file rejected, the next exported with a warning."""
    steps = _steps()
    run = RunRow(
        id=RUN_ID,
        name="demo",
        status="done",
        recipe=resolve_recipe(RECIPE).model_dump(mode="json"),
        environment=ENVIRONMENT,
        created_at=BEGUN,
        ended_at=steps[-1].ended_at,
        error=None,
    )
    return RunView(run=run, steps=steps, measurements=_measurements(), folder=Path("no-such-folder"))


def cut_view(label: str, *, status: Any, error: dict[str, Any] | None = None) -> RunView:
    """The run as it stands when the step `label` does not end: its rows and those of all later steps are missing."""
    whole = full_view()
    done = whole.steps[: [step.label for step in whole.steps].index(label)]
    step_status: Any = "running" if status == "running" else "failed"
    broken = dataclasses.replace(
        whole.steps[len(done)], status=step_status, ended_at=None, result=None, error=error, num_tries=1
    )
    labels = {step.label for step in done}
    return dataclasses.replace(
        whole,
        run=dataclasses.replace(whole.run, status=status, error=error if status == "failed" else None),
        steps=(*done, broken),
        measurements=tuple(row for row in whole.measurements if row.step in labels),
    )


def fallback_view() -> RunView:
    """The run whose every rounded file failed, so that the last good state was exported in F16."""
    whole = full_view()
    notes = {
        "verdict": verdict("fail", "perplexity_ratio: 1.0411; at most 1.03 is required"),
        "wave": 0,
        "is_rejected": True,
        "exported": "demo-f16.gguf",
        "fell_back_to_wave": 2,
    }
    result = {"artefacts": {"final": STATES[2], "final_gguf": FALLBACK_GGUF}, "notes": notes}
    steps = tuple(
        dataclasses.replace(step, result=result) if step.label == "judge-try2" else step for step in whole.steps
    )
    rows = (*whole.measurements, *file_rows(270_900_128, step="judge-try2", artefact=FALLBACK_GGUF))
    return dataclasses.replace(whole, steps=steps, measurements=rows)


def empty_view() -> RunView:
    """A run that was stored and never began."""
    whole = full_view()
    run = dataclasses.replace(whole.run, status="running", ended_at=None)
    return dataclasses.replace(whole, run=run, steps=(), measurements=())


def view_without(*names: str) -> RunView:
    """The full run in which nothing of these names was measured."""
    whole = full_view()
    return dataclasses.replace(whole, measurements=tuple(row for row in whole.measurements if row.name not in names))


def hostile_view(text: str) -> RunView:
    """The full run in which every text that comes from outside is `text`."""
    whole = full_view()
    steps = []
    for step in whole.steps:
        notes = dict((step.result or {})["notes"])
        notes |= {key: text for key in ("name", "family", "reason", "exported", "type") if key in notes}
        if "sparsity_by_linear" in notes:
            notes["sparsity_by_linear"] = {f"model.layers.0.{text.replace('.', '')}": 0.5}
        steps.append(dataclasses.replace(step, result={**(step.result or {}), "notes": notes}))
    run = dataclasses.replace(
        whole.run,
        status="failed",
        recipe={**whole.run.recipe, "description": text, "model": text},
        environment={**ENVIRONMENT, "cpu": text, "packages": {text: text}},
        error={"code": "made.up", "message": text, "hint": text},
    )
    rows = tuple(row.model_copy(update={"method": text}) for row in whole.measurements)
    return dataclasses.replace(whole, run=run, steps=tuple(steps), measurements=rows)
