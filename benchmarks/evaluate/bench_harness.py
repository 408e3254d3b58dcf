"""Whether our judge answers as lm-eval's own runner does, and how much sooner.

Question: on the same model, the same items and float32, are all answers of `TorchJudge` those of lm-eval's `hf` model,
and how many times faster is it? The bars: identical answers on all items; at least 1.5 times as fast as lm-eval with
its defaults; the `quick` suite on the starter in at most 4 minutes on two cores.
Method: the tasks of the `quick` suite, items from files, first `--limit` of each (the suite's own numbers if it is left
out). Both sides get the very same task objects' settings, the same weights in memory and the same threads; lm-eval's
model is made with its defaults (batch size 1). Each task is asked by both in turn, ours first in every second task. An
answer is the chosen item, or for a lone continuation whether it is the greedy one. Wall clock and CPU seconds of the
whole asking, tokenising and scoring included, loading excluded.
Peer: lm-eval's own runner, in the same process.

Run: `python benchmarks/evaluate/bench_harness.py --items FOLDER [--limit N] [--output PATH]`. Prints one JSON row.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch
from lm_eval.models.huggingface import HFLM
from paired_items import provenance

from birdbone.evaluate.benchmarks import SUITES, ItemScore, Question
from birdbone.evaluate.benchmarks.harness import ask, ask_model, harness_version
from birdbone.evaluate.benchmarks.local_items import read_items
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.models import load_model


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    loaded = load_model(settings.model)
    judge = TorchJudge(loaded.model, loaded.tokenizer)
    peer = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer)
    chosen = {name: getattr(settings, name) for name in ("model", "limit", "num_threads")}
    row = provenance("bench_harness", chosen) | {"lm_eval": harness_version()}
    row["machine"] += f", load {os.getloadavg()[0]:.1f}"
    totals: dict[str, float] = dict.fromkeys(("ours_wall", "ours_cpu", "peer_wall", "peer_cpu"), 0.0)
    num_items = num_different = 0
    for number, question in enumerate(SUITES["quick"]):
        question = Question(
            benchmark=question.benchmark, num_fewshot=question.num_fewshot, limit=settings.limit or question.limit
        )
        items = read_items(settings.items, question.benchmark)
        sides = {
            "ours": lambda q=question, i=items: ask(judge, q, i)[0],
            "peer": lambda q=question, i=items: ask_model(peer, q, i)[0],
        }
        found: dict[str, list[ItemScore]] = {}
        for side in ("ours", "peer") if number % 2 == 0 else ("peer", "ours"):
            wall, cpu = time.perf_counter(), time.process_time()
            found[side] = sides[side]()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            totals[f"{side}_wall"] += wall
            totals[f"{side}_cpu"] += cpu
            row[f"{question.benchmark}_{side}_wall_seconds"] = round(wall, 2)
        different = sum(
            (one.id, one.answer, one.score) != (two.id, two.answer, two.score)
            for one, two in zip(found["ours"], found["peer"], strict=True)
        )
        num_items, num_different = num_items + len(found["ours"]), num_different + different
        for side in found:
            row[f"{question.benchmark}_{side}_accuracy"] = sum(item.score for item in found[side]) / len(found[side])
    row |= {f"{name}_seconds": round(value, 2) for name, value in totals.items()}
    row |= {
        "num_items": num_items,
        "num_different_answers": num_different,
        "times_faster_wall": round(totals["peer_wall"] / totals["ours_wall"], 3),
        "times_faster_cpu": round(totals["peer_cpu"] / totals["ours_cpu"], 3),
    }
    line = json.dumps(row, ensure_ascii=False)
    if settings.output is not None:
        settings.output.write_text(line + "\n", encoding="utf-8")
    print(line)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Our judges beside lm-eval's own runner.")
    parser.add_argument("--items", type=Path, required=True, help="folder with the files of the benchmarks")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--num-threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
