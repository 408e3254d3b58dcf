"""How much memory pruning takes when the checkpoint is streamed through.

Question: what is the largest resident set while a checkpoint is pruned block by block from one folder into another? The
bar is the model's bytes, two of its largest layers and the activations of the calibration text. Method: the model is
written as a folder of float32 safetensors; a child process streams it through `prune_blocks` with its defaults but an
even budget, and reports its own peak (`VmHWM`, which counts pages of the mapped file too) and what it had before the
checkpoint was opened, with torch and transformers loaded. Activations: hidden states of all windows, and of one batch
the inputs of a block's linears and the attention scores. The result is loaded and its sparsity counted. Peer: the same
walk with the whole model in memory.

Run: `python benchmarks/compress/bench_memory.py [--model starter] [--output PATH]`. Prints one JSON row.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from rows import provenance, tell

from birdbone.compress.config import EvenBudget, MaskConfig
from birdbone.compress.masks import prune_blocks
from birdbone.data import load_corpus, token_windows
from birdbone.models import load_model, load_tokenizer, save_model
from birdbone.models.streaming import open_streamed

_CONFIG = MaskConfig(budget=EvenBudget())


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(1)
    if settings.child is not None:
        print(json.dumps(_prune(settings)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = _write(settings.model, folder / "dense")
        told = {way: _in_child(way, folder, settings) for way in ("streamed", "whole")}
        pruned = load_model(str(folder / "streamed"))
        zeros = sum(int((_weight(pruned, path) == 0).sum()) for path in pruned.architecture.linear_paths)
        total = sum(_weight(pruned, path).numel() for path in pruned.architecture.linear_paths)
    bound = sizes["model"] + 2 * sizes["largest_layer"] + told["streamed"]["activations"]
    row = provenance(settings, "compress/bench_memory", hidden=("child", "folder")) | {
        **{f"{name}_bytes": value for name, value in sizes.items()},
        **{f"{way}_{name}_bytes": value for way, found in told.items() for name, value in found.items()},
        "bound_bytes": bound,
        "streamed_peak_over_bound": told["streamed"]["peak"] / bound,
        "sparsity": zeros / total,
    }
    tell(row, settings.output)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Peak memory of pruning a streamed checkpoint.")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--num-windows", type=int, default=4)
    parser.add_argument("--window-tokens", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--child", choices=["streamed", "whole"], default=None, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=None, help=argparse.SUPPRESS)
    return parser.parse_args()


def _write(spec: str, folder: Path) -> dict[str, int]:
    """Write the model as float32 and return its bytes, and those of its largest layer (the embedding is one)."""
    loaded = load_model(spec)
    save_model(loaded.model, loaded.tokenizer, folder)
    parts = [*(loaded.model.get_submodule(layer.path) for layer in loaded.architecture.layers)]
    parts.append(loaded.model.get_input_embeddings())
    layers = [sum(4 * value.numel() for value in part.parameters()) for part in parts]
    return {"model": sum(4 * value.numel() for value in loaded.model.parameters()), "largest_layer": max(layers)}


def _in_child(way: str, folder: Path, settings: argparse.Namespace) -> dict[str, int]:
    words = [sys.executable, __file__, "--child", way, "--folder", str(folder)]
    for name in ("num_windows", "window_tokens", "batch_size"):
        words += [f"--{name.replace('_', '-')}", str(getattr(settings, name))]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def _prune(settings: argparse.Namespace) -> dict[str, int]:
    tokenizer = load_tokenizer(str(settings.folder / "dense"))
    texts = load_corpus().calibration

    def encode(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    windows_NT = torch.from_numpy(
        token_windows(texts, encode, window=settings.window_tokens, count=settings.num_windows)
    )
    before = _status("VmRSS")
    if settings.child == "streamed":
        streamed = open_streamed(settings.folder / "dense", settings.folder / "streamed")
        architecture = streamed.architecture
        shares = dict.fromkeys(architecture.linear_paths, 0.5)
        prune_blocks(
            streamed.model,
            architecture,
            windows_NT,
            _CONFIG,
            sparsities=shares,
            batch_size=settings.batch_size,
            enter=streamed.layer,
        )
        streamed.finish()
    else:
        loaded = load_model(str(settings.folder / "dense"))
        architecture = loaded.architecture
        shares = dict.fromkeys(architecture.linear_paths, 0.5)
        prune_blocks(loaded.model, architecture, windows_NT, _CONFIG, sparsities=shares, batch_size=settings.batch_size)
        save_model(loaded.model, loaded.tokenizer, settings.folder / "whole")
    layer = architecture.layers[0]
    widths = sum(group.in_features for group in layer.input_groups)
    scores = architecture.num_heads * settings.window_tokens
    activations = 4 * windows_NT.numel() * architecture.hidden_size
    activations += 4 * settings.batch_size * settings.window_tokens * (widths + scores)
    return {"peak": _status("VmHWM"), "before": before, "activations": activations}


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _weight(loaded: Any, path: str) -> torch.Tensor:
    return loaded.model.get_parameter(f"{path}.weight")


if __name__ == "__main__":
    main()
