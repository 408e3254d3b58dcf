"""Stages of a benchmark that are kept, and the windows of text that they see. Shapes: N windows, T tokens."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from birdbone.models import LoadedModel, describe_architecture, load_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The settings, and where stages are kept."""

    settings: argparse.Namespace
    work: Path

    def stage(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what a stage gave, from its file if it ran before; its seconds stand beside it."""
        path = self.work / f"{name}.pt"
        if not path.exists():
            wall, cpu = time.perf_counter(), time.process_time()
            value = make()
            spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            torch.save({"value": value, "seconds": spent}, path.with_suffix(".part"))
            path.with_suffix(".part").rename(path)
            print(f"{name}: {spent['cpu']:.0f} CPU-seconds", flush=True)
        return torch.load(path, weights_only=False)["value"]

    def seconds(self, name: str) -> float:
        return float(torch.load(self.work / f"{name}.pt", weights_only=False)["seconds"]["cpu"])

    def model(self, name: str, start: str | None, change: Callable[[LoadedModel], None]) -> LoadedModel:
        """Return the model of a stage, made from that of another, as it was when the stage ended."""

        def make() -> LoadedModel:
            loaded = load_model(self.settings.weights) if start is None else self.model(start, None, change)
            change(loaded)
            return replace(loaded, architecture=describe_architecture(loaded.model))

        found: LoadedModel = self.stage(name, make)
        return found


def draw_windows(
    bench: Bench, loaded: LoadedModel, split: str, count: int, *, tokens: int = 0, offset: int = 0
) -> Tensor:
    """Return windows spread evenly over a text; another offset gives others."""
    size = tokens or bench.settings.window_tokens
    text = (bench.settings.text / f"{split}.txt").read_text(encoding="utf-8")
    ids = torch.tensor(loaded.encode(text))
    places = torch.linspace(0, len(ids) // size - 2, count).long() + offset
    return torch.stack([ids[place * size : (place + 1) * size] for place in places.tolist()])
