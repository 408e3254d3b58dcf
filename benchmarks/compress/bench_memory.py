"""How much memory pruning takes when the checkpoint is streamed through.

Question: what is the largest resident set while a checkpoint is pruned block by block from one folder into another? The
bar is the model's bytes, two of its largest layers and the activations of the calibration text. Method: the model is
written as a folder of float32 safetensors; a child process, which is handed windows of tokens, streams it through
`prune_blocks` with its defaults but an even budget, and reports its own peak (`VmHWM`, with torch, transformers and all
that is mapped) and what it had before the checkpoint was opened. Activations: hidden states of all windows, and of one
batch the inputs of a block's linears and the attention scores. The result is loaded and its sparsity counted. Peer: the
same walk with the whole model in memory.

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

import numpy as np
import torch
from rows import provenance, tell

from birdbone.data import load_corpus, token_windows
from birdbone.models import load_model, save_model

_WINDOWS = "windows.npy"


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = _write(settings, folder)
        told = {way: _in_child(way, folder, settings) for way in ("streamed", "whole")}
        pruned = load_model(str(folder / "streamed"))
        zeros = sum(int((_weight(pruned, path) == 0).sum()) for path in pruned.architecture.linear_paths)
        total = sum(_weight(pruned, path).numel() for path in pruned.architecture.linear_paths)
    bound = sizes["model"] + 2 * sizes["largest_layer"] + told["streamed"]["activations"]
    row = provenance(settings, "compress/bench_memory") | {
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
    return parser.parse_args()


def _write(settings: argparse.Namespace, folder: Path) -> dict[str, int]:
    """Write the model as float32, and windows of tokens; return its bytes, and those of its largest layer.

    The embedding counts as a layer.
    """
    loaded = load_model(settings.model)
    save_model(loaded.model, loaded.tokenizer, folder / "dense")
    texts, count = load_corpus().calibration, settings.num_windows
    windows_NT = token_windows(texts, loaded.encode, window=settings.window_tokens, count=count)
    np.save(folder / _WINDOWS, windows_NT)
    parts = [*(loaded.model.get_submodule(layer.path) for layer in loaded.architecture.layers)]
    parts.append(loaded.model.get_input_embeddings())
    layers = [sum(4 * value.numel() for value in part.parameters()) for part in parts]
    return {"model": sum(4 * value.numel() for value in loaded.model.parameters()), "largest_layer": max(layers)}


def _in_child(way: str, folder: Path, settings: argparse.Namespace) -> dict[str, int]:
    script = Path(__file__).with_name("memory_child.py")
    words = [way, str(folder), str(settings.window_tokens), str(settings.batch_size)]
    done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def _weight(loaded: Any, path: str) -> torch.Tensor:
    return loaded.model.get_parameter(f"{path}.weight")


if __name__ == "__main__":
    main()
