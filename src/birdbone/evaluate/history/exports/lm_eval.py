"""The results file of EleutherAI's lm-eval, so that what reads its files reads ours.

Keys and nesting are those of `lm_eval.simple_evaluate`, version 0.4.13, without samples. What Birdbone did not measure
or record is absent, where lm-eval would write "N/A" or null. One key more, `birdbone`, has the records in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from birdbone.evaluate.benchmarks import BENCHMARKS
from birdbone.evaluate.errors import UnknownRecordError
from birdbone.evaluate.history.records import Evidence, Record

_VERSION = re.compile(r"(?P<task>\S+) (?P<version>[0-9]+(?:\.[0-9]+)?)(?=,|$)")
_HARNESS = re.compile(r"lm-eval (?P<version>[^:]+):")
_FILTER = "none"


def lm_eval_results(records: Iterable[Record]) -> dict[str, Any]:
    """Return the records of one model as lm-eval's results, ready for JSON. Of one task the newest counts.

    A benchmark that pools several tasks, such as MMLU, stands under its own name: its items are not told apart.

    Raises:
        UnknownRecordError: no record is of a benchmark.
    """
    newest = {
        task_of(record.evidence): (record, record.evidence)
        for record in sorted(records, key=lambda record: record.taken_at)
        if record.evidence is not None
    }
    if not newest:
        raise UnknownRecordError("lm-eval's results hold benchmarks, and none was asked.")
    last, evidence_of_last = max(newest.values(), key=lambda pair: pair[0].taken_at)
    asked = {task: evidence.asked for task, (_, evidence) in newest.items()}
    versions = {task: version for task, row in asked.items() if (version := _version(task, row.harness)) is not None}
    return {
        "results": {task: _scores(task, record, evidence) for task, (record, evidence) in newest.items()},
        "group_subtasks": {},
        "configs": {
            task: {"task": task, "num_fewshot": row.num_fewshot}
            | ({"metadata": {"version": versions[task]}} if task in versions else {})
            for task, row in sorted(asked.items())
        },
        "versions": dict(sorted(versions.items())),
        "n-shot": {task: row.num_fewshot for task, row in sorted(asked.items())},
        "higher_is_better": {task: {row.metric: True} for task, row in sorted(asked.items())},
        "n-samples": {task: _counts(record, evidence) for task, (record, evidence) in newest.items()},
        "config": _config(last, evidence_of_last, {row.limit for row in asked.values()}),
        "date": last.taken_at.timestamp(),
        **({"git_hash": last.environment.commit} if last.environment.commit else {}),
        **_versions_of_tools(last, evidence_of_last),
        "model_source": str(evidence_of_last.settings.get("engine", "")),
        "model_name": last.subject.model,
        "model_name_sanitized": re.sub(r"[\"<>:/|\\?*\[\]]+", "__", last.subject.model),
        "birdbone": [record.model_dump(mode="json") for record, _ in newest.values()],
    }


def task_of(evidence: Evidence) -> str:
    """Return lm-eval's name of what was asked: of its task, or of the benchmark where that is several."""
    benchmark = BENCHMARKS.get(evidence.asked.benchmark)
    return benchmark.tasks[0] if benchmark is not None and len(benchmark.tasks) == 1 else evidence.asked.benchmark


def _scores(task: str, record: Record, evidence: Evidence) -> dict[str, Any]:
    figure, metric = record.measurements[0], evidence.asked.metric
    benchmark = BENCHMARKS.get(evidence.asked.benchmark)
    through = benchmark.filter if benchmark is not None else _FILTER
    error = evidence.standard_error
    return {
        "name": task,
        "alias": task,
        **({} if figure.sample_size is None else {"sample_len": figure.sample_size}),
        f"{metric},{through}": figure.value,
        **({} if error is None else {f"{metric}_stderr,{through}": error}),
    }


def _counts(record: Record, evidence: Evidence) -> dict[str, int]:
    """Return how many items were asked; how many there are is known only where all were."""
    num_items = record.measurements[0].sample_size or 0
    return {"effective": num_items} | ({"original": num_items} if evidence.asked.limit is None else {})


def _config(record: Record, evidence: Evidence, limits: set[int | None]) -> dict[str, Any]:
    settings = dict(evidence.settings)
    return {
        "model": str(settings.pop("engine", "")),
        "model_args": {"pretrained": record.subject.model, **settings},
        "model_sha": record.subject.artefact,
        **({"model_dtype": record.environment.dtype} if record.environment.dtype else {}),
        **({"limit": next(iter(limits))} if len(limits) == 1 else {}),
    }


def _versions_of_tools(record: Record, evidence: Evidence) -> dict[str, str]:
    named = {"transformers_version": record.environment.packages.get("transformers", "")}
    harness = _HARNESS.match(evidence.asked.harness)
    named["lm_eval_version"] = harness["version"] if harness else ""
    return {name: version for name, version in named.items() if version}


def _version(task: str, harness: str) -> float | None:
    """Return the version of a task out of the words about the harness; None of a pool of tasks."""
    found = {match["task"]: float(match["version"]) for match in _VERSION.finditer(harness.partition(": ")[2])}
    return found.get(task)
