"""Whether a damaged model is told from one that was only written otherwise.

Question: with at most 8,192 evaluation tokens, how often is a damaged candidate accepted (bar: 1 %) and a harmless one
refused, "undecided" included (bar: 5 %)?
Method: copies of a small real model are changed: noise in one layer, dead heads, permuted rows, wrong RoPE, a wrong
tokenizer, each of a severity drawn over orders of magnitude; and harmlessly: stored in 16 or 8 bits, written otherwise
(neurons and heads permuted, norms scaled), both, other batches, a vocabulary renumbered on both sides. Each case is
judged on one of several sets of text. Its true effect is measured on separate text (up to `--truth-tokens`; reading
stops once it lies four standard errors from both bounds): the larger of KL divergence and rise of the loss, a token.
Damaged is what exceeds the tolerance, harmless what stays below half of it, whatever made it; the cases between are
shown apart. On the starter fewer tokens and cases. Intervals: Clopper-Pearson, 95 %.
Peer: refusing what raises the perplexity by more than 3 %, on the same tokens.

Run: `python benchmarks/evaluate/bench_injected_damage.py --weights stories260K.bin --vocabulary tok512.bin --text FILE
[--cases 110] [--starter-cases 4] [--processes 2] [--seed 0] [--records FILE [--sum-up]]`. The text holds stories that
end with `<|endoftext|>`. Cases that stand in the records are not measured again. Prints one JSON row and writes it to
`--output` (unless its folder is missing).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from damage_ground import DAMAGE_KINDS, HARMLESS_KINDS, HARMLESS_SHARE, TRUTH, Ground, measure, starter, stories
from paired_items import provenance
from scipy.stats import binomtest

from birdbone.core import write_json
from birdbone.evaluate.damage import Tolerance

_OUTPUT = Path("benchmarks/results/evaluate-injected_damage.json")
_NAIVE_RATIO = 1.03
_STARTER_TRUTHS = 8
_CURVE = (0, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, np.inf)
_RIGHT_HINTS = {
    "noise in one layer": {"layer"},
    "dead head": {"layer", "few_tokens"},
    "permuted rows": {"layer", "few_tokens"},
    "wrong rope": {"positions"},
    "wrong tokenizer": {"tokenizer"},
}
_GROUNDS: dict[str, Ground] = {}

Record = dict[str, Any]
Task = tuple[str, str, int, int, Tolerance]


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(1)
    begun = time.perf_counter()
    tolerance = Tolerance(nats=settings.tolerance)
    chosen = {name: getattr(settings, name) for name in ("seed", "cases", "starter_cases", "tolerance", "truth_tokens")}
    row: dict[str, Any] = provenance("bench_injected_damage", chosen | {"harmless_share": HARMLESS_SHARE})
    row["was_cut_short"] = settings.sum_up
    records = _read_records(settings) if settings.sum_up else list(_measure_all(settings, tolerance))
    for name in sorted({each["ground"] for each in records}):
        row[name] = _summary([each for each in records if each["ground"] == name], tolerance.nats)
        row |= _figures(name, row[name])
    if not settings.sum_up:
        row["seconds"] = round(time.perf_counter() - begun, 1)
    if settings.output.parent.is_dir():
        write_json(settings.output, row)
    print(json.dumps(row, ensure_ascii=False))


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tell injected damage from harmless changes.")
    parser.add_argument("--weights", type=Path, help="a checkpoint of llama2.c")
    parser.add_argument("--vocabulary", type=Path, help="its vocabulary")
    parser.add_argument("--text", type=Path, help="stories, each ended by <|endoftext|>")
    parser.add_argument("--cases", type=int, default=110, help="of each kind of damage; 15 in 16 of each harmless kind")
    parser.add_argument("--starter-cases", type=int, default=4, help="of each kind, on the starter")
    parser.add_argument("--tolerance", type=float, default=Tolerance().nats)
    parser.add_argument("--truth-tokens", type=int, default=98_304, help="of separate text, at most, for the truth")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--records", type=Path, default=None)
    parser.add_argument("--sum-up", action="store_true", help="measure nothing: sum up what stands in the records")
    parser.add_argument("--output", type=Path, default=_OUTPUT)
    return parser.parse_args()


def _open_grounds(settings: argparse.Namespace) -> None:
    if settings.cases:
        num_truths = settings.truth_tokens // TRUTH.num_tokens
        _GROUNDS["stories260K"] = stories(settings.weights, settings.vocabulary, settings.text, num_truths=num_truths)
    if settings.starter_cases:
        _GROUNDS["starter"] = starter(num_truths=_STARTER_TRUTHS)
    for ground in _GROUNDS.values():
        ground.remember()


def _read_records(settings: argparse.Namespace) -> list[Record]:
    is_there = settings.records is not None and settings.records.is_file()
    return [json.loads(line) for line in settings.records.read_text().splitlines()] if is_there else []


def _measure_all(settings: argparse.Namespace, tolerance: Tolerance) -> Iterator[Record]:
    _open_grounds(settings)
    counts = {
        "stories260K": (settings.cases, round(15 / 16 * settings.cases)),
        "starter": (settings.starter_cases,) * 2,
    }
    tasks: list[Task] = [
        (name, kind, number, settings.seed, tolerance)
        for name in _GROUNDS
        for kinds, count in zip((DAMAGE_KINDS, HARMLESS_KINDS), counts[name], strict=True)
        for number in range(count)
        for kind in kinds
        if kind != "renumbered vocabulary" or number % 4 == 0  # the slowest, and nearly the same each time
    ]
    tasks.sort(key=lambda task: task[2])  # all kinds in turn, so that what is done by any time is a fair sample
    known = _read_records(settings)
    done = {(each["ground"], each["kind"], each["number"]) for each in known}
    wanted = {task[:3] for task in tasks}
    yield from (each for each in known if (each["ground"], each["kind"], each["number"]) in wanted)
    left = [task for task in tasks if task[:3] not in done]
    with multiprocessing.get_context("fork").Pool(settings.processes) as pool:
        for record in pool.imap_unordered(_measure, left):
            if settings.records is not None:
                with settings.records.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(record) + "\n")
            yield record


def _measure(task: Task) -> Record:
    name, kind, number, seed, tolerance = task
    torch.set_num_threads(1)
    return measure(_GROUNDS[name], kind, number, seed=seed, tolerance=tolerance)


def _figures(ground: str, summary: dict[str, Any]) -> dict[str, Any]:
    """Return the rates as figures that the documentation's tables show, each with its interval."""
    found: dict[str, Any] = {}
    for name in ("false_accept", "naive_false_accept", "false_alarm", "naive_false_alarm"):
        found |= {f"{ground}_{name}_cases": summary[name]["num_cases"]}
        found |= {f"{ground}_{name}_rate{end}": summary[name][f"rate{end}"] for end in ("", "_min", "_max")}
    return found


def _summary(records: Sequence[Record], nats: float) -> dict[str, Any]:
    damaged = [each for each in records if each["effect"] > nats]
    harmless = [each for each in records if each["effect"] < HARMLESS_SHARE * nats]
    return {
        "false_accept": _rate(damaged, _is_accepted),
        "naive_false_accept": _rate(damaged, _is_accepted_naively),
        "false_alarm": _rate(harmless, lambda each: not _is_accepted(each)),
        "naive_false_alarm": _rate(harmless, lambda each: not _is_accepted_naively(each)),
        "num_between": len(records) - len(damaged) - len(harmless),
        "num_undecided": sum(each["outcome"] == "undecided" for each in records),
        "effect_tokens_median": int(np.median([each["effect_tokens"] for each in records])),
        "false_accept_by_kind": _by_kind(damaged, _is_accepted),
        "naive_false_accept_by_kind": _by_kind(damaged, _is_accepted_naively),
        "false_alarm_by_kind": _by_kind(harmless, lambda each: not _is_accepted(each)),
        "acceptance_by_effect_over_tolerance": _curve(records, nats),
        "right_hint_by_kind": _by_kind(
            [each for each in damaged if each["kind"] in _RIGHT_HINTS and not _is_accepted(each)],
            lambda each: each["hint"] in _RIGHT_HINTS[each["kind"]],
        ),
        "decisive_rules": dict(Counter(rule for each in damaged for rule in each["decisive"])),
    }


def _is_accepted(record: Record) -> bool:
    return record["outcome"] == "harmless"


def _is_accepted_naively(record: Record) -> bool:
    return record["naive_ratio"] <= _NAIVE_RATIO


def _rate(records: Sequence[Record], is_hit: Callable[[Record], bool]) -> dict[str, float | int | None]:
    hits = sum(map(is_hit, records))
    if not records:
        return {"num_cases": 0, "num": 0, "rate": None}
    ends = binomtest(hits, len(records)).proportion_ci(method="exact")
    rate = hits / len(records)
    return {
        "num_cases": len(records),
        "num": hits,
        "rate": round(rate, 4),
        "rate_min": round(float(ends.low), 4),
        "rate_max": round(float(ends.high), 4),
    }


def _by_kind(records: Sequence[Record], is_hit: Callable[[Record], bool]) -> dict[str, str]:
    """Return hits over cases of each kind that has any."""
    kinds = [kind for kind in (*DAMAGE_KINDS, *HARMLESS_KINDS) if any(each["kind"] == kind for each in records)]
    chosen = {kind: [each for each in records if each["kind"] == kind] for kind in kinds}
    return {kind: f"{sum(map(is_hit, found))}/{len(found)}" for kind, found in chosen.items()}


def _curve(records: Sequence[Record], nats: float) -> dict[str, str]:
    curve = {}
    for low, high in pairwise(_CURVE):
        found = [each for each in records if low <= max(0.0, each["effect"]) / nats < high]
        curve[f"{low:g} to {high:g}"] = f"{sum(map(_is_accepted, found))}/{len(found)}"
    return curve


if __name__ == "__main__":
    main()
