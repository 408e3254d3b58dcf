"""What each method of the craft takes on a decoder layer of a model of seven billion weights.

Question: how many CPU-seconds does one layer take, and how much memory at most? The bar is 90 CPU-seconds for the mask
solver.
Method: a checkpoint with one layer of Mistral-7B's shape (hidden 4,096, feed-forward 14,336, 32 heads, 8 of them for
keys and values; a vocabulary of 512) and random weights is written in bfloat16. One process streams it in and keeps the
Gram matrices of its inputs on random tokens; a few channels of the norms are scaled up, as in trained models. Then each
method gets a process of its own that reads a linear and its Gram matrix when it comes to them. CPU-seconds are those of
the method alone, memory is the largest resident set of its process, Python and torch included. Random weights say
nothing of quality: for that there is `bench_masks.py`, and beside our solver's seconds stands the output error that it
leaves on these inputs.
Peer: SparseGPT, written from its paper, on the same matrices.

Run: `python benchmarks/compress/bench_large_layer.py --work FOLDER [--methods NAME …] [--num-windows 4]
[--output PATH]`. The folder keeps the checkpoint, the matrices (1.3 GB), and what each method told at which commit.
Prints one JSON row.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rows import provenance, tell
from safetensors import safe_open
from safetensors.torch import save_file
from sparse_peers import sparsegpt
from torch import Tensor
from transformers import AutoModelForCausalLM, MistralConfig

from birdbone.compress.config import (
    BlockwiseConfig,
    FactorConfig,
    HessianConfig,
    ImportanceConfig,
    MagnitudeConfig,
    MaskConfig,
    NOfMPattern,
    RiaConfig,
    RoundingConfig,
    WandaConfig,
)
from birdbone.compress.gram import damp
from birdbone.compress.healing.blockwise import heal_blocks
from birdbone.compress.importance.score import score_linear
from birdbone.compress.lowrank.compensation import compensate
from birdbone.compress.masks import projection
from birdbone.compress.masks.blocks import Solve, drop_only, solve_group
from birdbone.compress.quantize.linear import quantize_linear
from birdbone.compress.statistics import InputStatistics, collect_statistics
from birdbone.models import Architecture, describe_architecture
from birdbone.models.gguf import GgufType
from birdbone.models.streaming import open_streamed

_LOUD_CHANNELS = 8
_LOUDNESS = 10.0
_GRAMS, _STATISTICS = "grams.safetensors", "statistics"
_HEALING_STEPS = 2

Told = dict[str, Any]


class Layer:
    """The kept layer: its linears and their Gram matrices, read one by one."""

    def __init__(self, work: Path) -> None:
        self.work = work
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(MistralConfig.from_pretrained(work / "model"))
        self.architecture: Architecture = describe_architecture(model)

    def groups(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Yield the weights of linears that read one input, and the Gram matrix of that."""
        for group in self.architecture.layers[0].input_groups:
            with safe_open(self.work / "model" / "model.safetensors", "pt") as file:
                weights = {path: file.get_tensor(f"{path}.weight").float() for path in group.linears}
            with safe_open(self.work / _GRAMS, "pt") as file:
                gram_DD = file.get_tensor(group.linears[0])
            yield weights, gram_DD


def _prune(solve: Solve, config: MaskConfig) -> Callable[[Path], Told]:
    def run(work: Path) -> Told:
        seconds = error = power = 0.0
        for weights, gram_DD in Layer(work).groups():
            damped_DD = damp(gram_DD, config.refit.damping)
            projects = {path: projection(config.pattern, share=0.5) for path in weights}
            start = time.process_time()
            solved = solve(weights, damped_DD, projects, config)
            seconds += time.process_time() - start
            for path, w_FD in weights.items():
                off_FD = w_FD - solved[path]
                error += float(((off_FD @ damped_DD) * off_FD).sum())
                power += float(((w_FD @ damped_DD) * w_FD).sum())
        return {"cpu_seconds": seconds, "output_error": error / power}

    return run


def _each_linear(act: Callable[[Tensor, InputStatistics], Any]) -> Callable[[Path], Told]:
    def run(work: Path) -> Told:
        seconds = 0.0
        for weights, gram_DD in Layer(work).groups():
            statistics = InputStatistics(gram_DD=gram_DD, num_tokens=1)
            for w_FD in weights.values():
                start = time.process_time()
                act(w_FD, statistics)
                seconds += time.process_time() - start
        return {"cpu_seconds": seconds}

    return run


def _score(config: ImportanceConfig) -> Callable[[Path], Told]:
    return _each_linear(lambda w_FD, statistics: score_linear(w_FD, statistics, config))


def _round(kind: GgufType, config: RoundingConfig) -> Callable[[Path], Told]:
    return _each_linear(
        lambda w_FD, statistics: quantize_linear(w_FD, statistics, kind=kind, mask_FD=None, config=config)
    )


def _make_up(w_FD: Tensor, statistics: InputStatistics) -> None:
    stored_FD = quantize_linear(
        w_FD, statistics, kind=GgufType.Q4_0, mask_FD=None, config=RoundingConfig(kind="nearest")
    ).dequantize()
    compensate(w_FD, stored_FD, statistics.gram_DD, rank=16, config=FactorConfig())


def _collect(work: Path) -> Told:
    streamed = open_streamed(work / "model", work / "out")
    generator = torch.Generator().manual_seed(1)
    windows_NT = torch.randint(3, 512, (int((work / "num_windows").read_text()), 512), generator=generator)
    with streamed.layer(0):
        start = time.process_time()
        statistics = collect_statistics(streamed.model, streamed.architecture, windows_NT, batch_size=1)
        seconds = time.process_time() - start
        groups = streamed.architecture.layers[0].input_groups
        save_file({group.linears[0]: statistics[group.linears[0]].gram_DD for group in groups}, work / _GRAMS)
    return {"cpu_seconds": seconds, "tokens": windows_NT.numel()}


def _heal(work: Path) -> Told:
    models = [AutoModelForCausalLM.from_pretrained(work / "model", dtype=torch.float32).eval() for _ in range(2)]
    architecture, masks = describe_architecture(models[0]), {}
    with torch.no_grad():
        for path in architecture.linear_paths:
            weight_FD = models[0].get_parameter(f"{path}.weight")
            masks[path] = projection(MaskConfig().pattern, share=0.5)(weight_FD.abs())
            weight_FD.mul_(masks[path])
    windows_NT = torch.randint(3, 512, (2, 512), generator=torch.Generator().manual_seed(2))
    config = BlockwiseConfig(num_steps=_HEALING_STEPS, batch_size=1, num_windows=2)
    start = time.process_time()
    heal_blocks(*models, architecture, windows_NT=windows_NT, masks=masks, config=config)
    return {"cpu_seconds": time.process_time() - start, "steps": _HEALING_STEPS}


METHODS: Mapping[str, Callable[[Path], Told]] = {
    _STATISTICS: _collect,
    "masks_0.5": _prune(solve_group, MaskConfig()),
    "masks_2:4": _prune(solve_group, MaskConfig(pattern=NOfMPattern())),
    "wanda_0.5": _prune(drop_only, MaskConfig()),
    "sparsegpt_0.5": _prune(sparsegpt, MaskConfig()),
    "score_magnitude": _score(MagnitudeConfig()),
    "score_wanda": _score(WandaConfig()),
    "score_ria": _score(RiaConfig()),
    "score_hessian": _score(HessianConfig()),
    "round_nearest_q4_0": _round(GgufType.Q4_0, RoundingConfig(kind="nearest")),
    "round_importance_q4_0": _round(GgufType.Q4_0, RoundingConfig(kind="importance")),
    "round_importance_q4_k": _round(GgufType.Q4_K, RoundingConfig(kind="importance")),
    "round_feedback_q4_0": _round(GgufType.Q4_0, RoundingConfig(kind="feedback")),
    "round_descent_q4_0": _round(GgufType.Q4_0, RoundingConfig(kind="descent", order="loudest_first")),
    "low_rank_16": _each_linear(_make_up),
    "heal_blockwise": _heal,
}


def main() -> None:
    settings = _parse_settings()
    if settings.child is not None:
        found = METHODS[settings.child](settings.work)
        print(json.dumps(found | {"peak_bytes": _peak_bytes()}))
        return
    torch.set_num_threads(1)
    _write_checkpoint(settings)
    row = provenance(settings, "compress/bench_large_layer", hidden=("work", "child"))
    for method in settings.methods:
        for name, value in _in_child(method, settings).items():
            row[f"{method}_{name}"] = value
    tell(row, settings.output)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU-seconds and memory of every method on a layer of a 7B model.")
    parser.add_argument(
        "--work", type=Path, required=True, help="Folder for the checkpoint, the matrices, the results."
    )
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--num-windows", type=int, default=4)
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--child", choices=list(METHODS), default=None, help=argparse.SUPPRESS)
    return parser.parse_args()


def _write_checkpoint(settings: argparse.Namespace) -> None:
    folder = settings.work / "model"
    if (folder / "config.json").is_file():
        return
    torch.manual_seed(0)
    config = MistralConfig(num_hidden_layers=1, vocab_size=512, sliding_window=4096, dtype="bfloat16")
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    with torch.no_grad():
        for name in ("input_layernorm", "post_attention_layernorm"):
            scale_D = model.get_parameter(f"model.layers.0.{name}.weight")
            scale_D[torch.randperm(len(scale_D))[:_LOUD_CHANNELS]] *= _LOUDNESS
    model.save_pretrained(folder)
    (settings.work / "num_windows").write_text(str(settings.num_windows))


def _in_child(method: str, settings: argparse.Namespace) -> Told:
    """Return what a method told, now or in a run that was cut short."""
    kept = settings.work / f"{method.replace(':', '-')}.json"
    if not kept.is_file():
        if method != _STATISTICS:
            _in_child(_STATISTICS, settings)
        command = [sys.executable, __file__, "--work", str(settings.work), "--child", method]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        commit = provenance(settings, "")["commit"]
        kept.write_text(json.dumps(json.loads(done.stdout.splitlines()[-1]) | {"commit": commit}))
        print(f"{method}: {kept.read_text()}", file=sys.stderr, flush=True)
    found: Told = json.loads(kept.read_text())
    return found


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
