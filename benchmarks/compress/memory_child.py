"""The process of `bench_memory` whose memory is measured: it imports what pruning needs and nothing else.

Run by `bench_memory`: `python memory_child.py streamed|whole FOLDER WINDOW_TOKENS BATCH_SIZE`. Prints one JSON line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from birdbone.compress.config import EvenBudget, MaskConfig
from birdbone.compress.masks import prune_blocks
from birdbone.models.streaming import open_streamed


def main() -> None:
    way, folder, window_tokens, batch_size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(1)
    windows_NT = torch.from_numpy(np.load(folder / "windows.npy"))
    config, before = MaskConfig(budget=EvenBudget()), _status("VmRSS")
    if way == "streamed":
        streamed = open_streamed(folder / "dense", folder / "streamed")
        architecture = streamed.architecture
        shares = dict.fromkeys(architecture.linear_paths, 0.5)
        prune_blocks(
            streamed.model,
            architecture,
            windows_NT,
            config,
            sparsities=shares,
            batch_size=batch_size,
            enter=streamed.layer,
        )
        streamed.finish()
    else:
        from birdbone.models import load_model, save_model  # not needed by the streamed way

        loaded = load_model(str(folder / "dense"))
        architecture = loaded.architecture
        shares = dict.fromkeys(architecture.linear_paths, 0.5)
        prune_blocks(loaded.model, architecture, windows_NT, config, sparsities=shares, batch_size=batch_size)
        save_model(loaded.model, loaded.tokenizer, folder / "whole")
    widths = sum(group.in_features for group in architecture.layers[0].input_groups)
    scores = architecture.num_heads * window_tokens
    activations = 4 * windows_NT.numel() * architecture.hidden_size
    activations += 4 * batch_size * window_tokens * (widths + scores)
    print(json.dumps({"peak": _status("VmHWM"), "before": before, "activations": activations}))


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
