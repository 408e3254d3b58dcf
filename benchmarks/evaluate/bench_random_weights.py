"""Whether models that know nothing are ever said to know something.

Question: of models with random weights, does any row of the core suite say that the score is more than a guess, or that
something was kept of what a model knew? The bar: none.
Method: `--num-models` Llamas of two layers with weights drawn from their usual distribution, each with another seed,
with the starter's tokenizer, are asked the core suite from files (first `--limit` items of each task). Each row's
standing is taken, and the rows of each model are compared with those of the first: a row that calls something kept of
what is at chance would be wrong too. A model that answers by a habit (the shortest choice, the first letter) is such a
model: where choices give away the answer by their length, chance is more than one of so many.
Peer: the raw share of the accuracy, candidate over baseline, which is what tools print as retention.

Run: `python benchmarks/evaluate/bench_random_weights.py --items FOLDER [--limit N] [--num-models N] [--output PATH]`.
Prints one JSON row.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from paired_items import provenance
from transformers import LlamaConfig, LlamaForCausalLM

from birdbone.evaluate.benchmarks import SUITES, BenchmarkResult, Question
from birdbone.evaluate.benchmarks.comparison import compare
from birdbone.evaluate.benchmarks.harness import harness_version
from birdbone.evaluate.benchmarks.running import harness_tasks
from birdbone.evaluate.benchmarks.standing import standing_of
from birdbone.evaluate.benchmarks.tasks import run_tasks
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.evaluate.statistics.retention import Retention
from birdbone.models import load_tokenizer

_SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
_CONTEXT = 4096


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    tokenizer = load_tokenizer("starter")
    questions = tuple(
        Question(benchmark=each.benchmark, num_fewshot=each.num_fewshot, limit=settings.limit or each.limit)
        for each in SUITES["core"]
    )
    found: list[list[BenchmarkResult]] = []
    for seed in range(settings.num_models):
        torch.manual_seed(seed)
        config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=_CONTEXT, **_SIZES)
        judge = TorchJudge(LlamaForCausalLM(config).eval(), tokenizer)
        results = run_tasks(
            lambda judge=judge: judge,
            harness_tasks(questions, settings.items),
            artefact=f"random-{seed}",
            engine=dict(judge.settings),
            cache=None,
        )
        found.append(list(results))
        told = [f"{each.benchmark} {each.accuracy:.3f} (a guess {each.chance:.3f})" for each in found[-1]]
        print(f"seed {seed}: {', '.join(told)}", flush=True)
    standings = [(seed, result, standing_of(result)) for seed, results in enumerate(found) for result in results]
    above = [(seed, result.benchmark, result.accuracy) for seed, result, at in standings if at.is_above_chance]
    compared = [row for results in found[1:] for row in compare(results, found[0])]
    kept = [row.benchmark for row in compared if isinstance(row.retention, Retention)]
    naive = [row.candidate / row.baseline for row in compared if row.baseline > 0]
    chosen = {name: getattr(settings, name) for name in ("limit", "num_models", "num_threads")}
    row = provenance("bench_random_weights", chosen) | {
        "harness": harness_version(),
        "num_rows": len(standings),
        "num_rows_above_a_guess": len(above),
        "rows_above_a_guess": above,
        "num_rows_compared": len(compared),
        "num_rows_called_kept": len(kept),
        "peer_rows_that_would_say_kept_95_percent": sum(share >= 0.95 for share in naive),
        "peer_rows": len(naive),
    }
    line = json.dumps(row, ensure_ascii=False)
    if settings.output is not None:
        settings.output.write_text(line + "\n", encoding="utf-8")
    print(line)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Models that know nothing, asked the core suite.")
    parser.add_argument("--items", type=Path, required=True, help="folder with the files of the benchmarks")
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--num-models", type=int, default=5)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
