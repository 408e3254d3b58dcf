"""Small folders with a model that tests of the vault's commands keep, prune and lose."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

NUM_LAYERS = 3
PARTS = ("self_attn.q_proj", "mlp.up_proj", "mlp.down_proj")


def write_model(folder: Path, *, seed: int = 0) -> Path:
    """Write a checkpoint of a few random matrices, and its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    names = [f"model.layers.{layer}.{part}.weight" for layer in range(NUM_LAYERS) for part in PARTS]
    save({name: draw.standard_normal((16, 16)).astype("f4") for name in names}, folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 16}))
    return folder


def prune(folder: Path, share: float, word: str = "mlp") -> None:
    """Zero the smallest weights of the matrices whose name holds a word."""
    tensors = load_file(folder / "model.safetensors")
    for name, weights in tensors.items():
        if word in name:
            limit = np.quantile(np.abs(weights), share)
            tensors[name] = np.where(np.abs(weights) < limit, np.float32(0), weights)
    save(tensors, folder)


def save(tensors: dict[str, np.ndarray], folder: Path) -> None:
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the files that are not hidden, by path."""
    found = (path for path in folder.rglob("*") if path.is_file())
    paths = {path.relative_to(folder).as_posix(): path for path in found}
    return {name: path.read_bytes() for name, path in paths.items() if not name.startswith(".")}
