"""Which rounding keeps a real model's predictions best at the same bytes, and which calibration windows help it.

Question: of the ways to put weights on a GGUF grid, which leaves the least divergence from the dense model? Mean
squared error is no answer: feedback raises it. And does it help to choose calibration windows that differ?
Method: stories260K, a small real model whose weights lie on no grid; every linear whose width 32 divides is stored as
one type, once by each rounding, and the model reads held-out stories. Mean KL divergence from dense a token, the ratio
of perplexities with its paired 95 % interval over windows, and the mean relative squared error of the weights. Same
calibration windows for all roundings; then the same rounding with as many windows chosen in other ways from a pool.
The rank agreement is that of estimated with measured damage over all linears rounded alone.
Peer: `ggml_quantize_chunk` of the llama.cpp in the `xllamacpp` wheel with the mean squares of the inputs as imatrix.

Run: `python benchmarks/compress/bench_rounding.py --weights FOLDER --text FILE [--output PATH]`, with stories260K.bin
and tok512.bin in the folder and TinyStories in the file. Prints one JSON row; `make bench` stores it in
`benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "evaluate")]

from bench_int4 import ggml_weights
from llama2c import BEGIN, Vocabulary, read_model
from rows import provenance, tell

from birdbone.compress.calibration import choose_windows
from birdbone.compress.config import (
    AllocationConfig,
    CalibrationChoiceConfig,
    QuantizeFormat,
    RoundingConfig,
    StoredType,
)
from birdbone.compress.quantize import choose_types, learn_rounding, round_linears
from birdbone.compress.statistics import InputStatistics, collect_statistics
from birdbone.evaluate import paired_ratio
from birdbone.evaluate.divergence import divergence, model_logits
from birdbone.evaluate.perplexity import token_nll
from birdbone.models import Architecture, describe_architecture
from birdbone.models.gguf import BLOCK_SIZE

Weights = Mapping[str, Tensor]

ROUNDINGS = {
    "nearest": RoundingConfig(kind="nearest"),
    "importance": RoundingConfig(kind="importance"),
    "feedback": RoundingConfig(kind="feedback"),
    "feedback_searched": RoundingConfig(kind="feedback", should_search_scales=True),
    "feedback_loudest": RoundingConfig(kind="feedback", order="loudest_first"),
    "descent": RoundingConfig(kind="descent"),
    "descent_searched": RoundingConfig(kind="descent", should_search_scales=True),
    "descent_loudest": RoundingConfig(kind="descent", order="loudest_first"),
}
CHOICES = {
    "coverage": CalibrationChoiceConfig(kind="coverage"),
    "k_center": CalibrationChoiceConfig(kind="k_center"),
    "k_center_activations": CalibrationChoiceConfig(kind="k_center", features="activations"),
}


class Bench:
    """The model, its text, and how an arm is judged."""

    def __init__(self, settings: argparse.Namespace) -> None:
        self.model = read_model(settings.weights / "stories260K.bin")
        self.dense = copy.deepcopy(self.model)
        self.architecture: Architecture = describe_architecture(self.model)
        vocabulary = Vocabulary.read(settings.weights / "tok512.bin", 512)
        stories = settings.text.read_text(encoding="utf-8").split("<|endoftext|>")[:-1]
        pool, kept = stories[: settings.num_pool_stories], stories[-settings.num_test_stories :]
        self.pool_NT = _windows(vocabulary, pool, settings.window_tokens)
        self.test_NT = _windows(vocabulary, kept, settings.window_tokens)
        self.count = settings.num_windows
        self.seed = settings.seed
        self.dense_nll = token_nll(self.dense, self.test_NT.numpy(), batch_size=8)
        slots = [slot for layer in self.architecture.layers for slot in layer.linears]
        self.paths = [slot.path for slot in slots if slot.in_features % BLOCK_SIZE == 0]

    def statistics(self, windows_NT: Tensor) -> dict[str, InputStatistics]:
        return collect_statistics(self.model, self.architecture, windows_NT, first_token_share=0.1)

    def weight(self, path: str) -> Tensor:
        return self.dense.get_parameter(f"{path}.weight").detach()

    def judge(self, weights: Weights) -> dict[str, float]:
        load(self.model, weights)
        nll = token_nll(self.model, self.test_NT.numpy(), batch_size=8)
        ratio = paired_ratio(nll, self.dense_nll, seed=self.seed)
        apart = divergence(
            model_logits(self.dense),
            model_logits(self.model),
            self.test_NT.numpy(),
            generator=np.random.default_rng(self.seed),
        )
        errors = [
            float((w - self.weight(p)).square().sum() / self.weight(p).square().sum()) for p, w in weights.items()
        ]
        load(self.model, {path: self.weight(path) for path in weights})
        return {
            "kl": apart.kl,
            "kl_min": apart.kl_low or 0.0,
            "kl_max": apart.kl_high or 0.0,
            "perplexity_ratio": ratio.value,
            "perplexity_ratio_min": ratio.low,
            "perplexity_ratio_max": ratio.high,
            "same_top1": apart.same_top1,
            "weight_error": sum(errors) / len(errors),
        }


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    bench = Bench(settings)
    row = {**provenance(settings, "compress/bench_rounding"), "dense_perplexity": float(np.exp(bench.dense_nll.mean()))}
    for kind in settings.types:
        for name, figures in _measure(bench, kind, settings).items():
            row |= {f"{kind}_{name}_{key}": value for key, value in figures.items()}
    row["rank_agreement"], row["num_measured"] = _rank_agreement(bench)
    tell(row, settings.output)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Roundings beside each other, by what they do to predictions.")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--types", nargs="+", default=["q4_0", "iq4_nl"])
    parser.add_argument("--roundings", nargs="*", choices=tuple(ROUNDINGS), default=tuple(ROUNDINGS))
    parser.add_argument("--choices", nargs="*", choices=tuple(CHOICES), default=tuple(CHOICES))
    parser.add_argument("--num-windows", type=int, default=16)
    parser.add_argument("--num-pool-stories", type=int, default=200)
    parser.add_argument("--num-test-stories", type=int, default=100)
    parser.add_argument("--window-tokens", type=int, default=256)
    parser.add_argument("--learning-steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


def _measure(bench: Bench, kind: StoredType, settings: argparse.Namespace) -> dict[str, dict[str, float]]:
    first_NT = bench.pool_NT[: bench.count]
    statistics, types = bench.statistics(first_NT), dict.fromkeys(bench.paths, kind)
    found = {"ggml": bench.judge(ggml_weights(bench.model, statistics, types))}
    _tell(kind, "ggml", found["ggml"])
    for name in settings.roundings:
        begin = time.process_time()
        weights = _round(bench, statistics, types, ROUNDINGS[name])
        seconds = time.process_time() - begin
        found[name] = {**bench.judge(weights), "cpu_seconds": seconds}
        _tell(kind, name, found[name])
    if settings.learning_steps:
        found["learned"] = bench.judge(_learn(bench, statistics, types, first_NT, settings.learning_steps))
    for name in settings.choices:
        choice = CHOICES[name]
        chosen_NT = choose_windows(bench.dense, bench.architecture, bench.pool_NT, count=bench.count, config=choice)
        weights = _round(bench, bench.statistics(chosen_NT), types, ROUNDINGS["descent_loudest"])
        found[f"on_{name}"] = bench.judge(weights)
    return found


def _tell(kind: str, name: str, figures: Mapping[str, float]) -> None:
    print(f"{kind} {name}: kl {figures['kl']:.5f}, x {figures['perplexity_ratio']:.4f}", file=sys.stderr, flush=True)


def _round(
    bench: Bench, statistics: Mapping[str, InputStatistics], types: Mapping[str, StoredType], config: RoundingConfig
) -> Weights:
    rounded = round_linears(bench.dense, statistics, types=types, config=config)
    return {name.removesuffix(".weight"): tensor.dequantize() for name, tensor in rounded.items()}


def _learn(
    bench: Bench,
    statistics: Mapping[str, InputStatistics],
    types: Mapping[str, StoredType],
    windows_NT: Tensor,
    num_steps: int,
) -> Weights:
    rounded = round_linears(bench.dense, statistics, types=types, config=ROUNDINGS["descent_loudest"])
    learned = learn_rounding(
        copy.deepcopy(bench.dense),
        bench.dense,
        bench.architecture,
        quantized=rounded,
        weights={f"{path}.weight": bench.weight(path) for path in types},
        windows_NT=windows_NT,
        config=RoundingConfig(num_learning_steps=num_steps, learning_batch_size=4),
    )
    return {name.removesuffix(".weight"): tensor.dequantize() for name, tensor in learned.quantized.items()}


def _rank_agreement(bench: Bench) -> tuple[float | None, int]:
    first_NT = bench.pool_NT[: bench.count]
    wanted = QuantizeFormat(allocation=AllocationConfig(bits_per_weight=16, num_windows=bench.count, num_measured=1000))
    chosen = choose_types(
        bench.dense, bench.architecture, bench.statistics(first_NT), windows_NT=first_NT, wanted=wanted
    )
    assert chosen.calibration is not None
    return chosen.calibration.rank_agreement, chosen.calibration.num_measured


def _windows(vocabulary: Vocabulary, stories: list[str], window: int) -> Tensor:
    tokens = [token for story in stories for token in (BEGIN, *vocabulary.encode(story.strip()))]
    count = len(tokens) // window
    return torch.tensor(tokens[: count * window]).view(count, window)


@torch.no_grad()
def load(model: nn.Module, weights: Weights) -> None:
    for path, weight_FD in weights.items():
        model.get_parameter(f"{path}.weight").copy_(weight_FD)


if __name__ == "__main__":
    main()
