"""What it takes to keep a second version of a model, to bring it back, and what it adds to the store.

Question: a decoder of 535 MB in float32 has the smallest tenth of the weights of 89 of its 354 tensors set to zero. How
many CPU seconds does it take to commit that second version, how many bytes does it add, how long does a checkout take?
The bars: at most a quarter of the CPU of DVC and of Git LFS; at most 3 MB; a checkout in which every byte is checked no
slower than that of Git LFS and at most twice as slow as that of DVC, both of which check nothing.
Method: the file has a decoder's shapes, and seeded normal weights of a scale of its own for each tensor, full
mantissas (weights of a real model compress better, never worse). The 89 are linears, spread evenly. Each turn gives
every tool a fresh store and does the same with each: commit version 1, commit version 2, check out 2, check out 1, each
time into a place where no file is; the digest of what comes out is compared. Which tool is first changes from turn to
turn. The disk is flushed before and after each measurement and nothing else is dropped: the page cache is warm. CPU is
user and system time of whole processes and their children, start and imports included, for Birdbone as for its peers;
`work_cpu` is Birdbone's without its start. Every tool runs once on a small file before anything is measured. Medians,
with the extremes as their range; ratios are taken turn by turn. Wall clock is until the command ends; `wall_flushed`
until its last byte is on the disk (Birdbone flushes its store itself, the peers do not).
Peer: `dvc add` and `git commit` with a copying cache; `git add` and `git commit` under Git LFS; the Xet client's own
local store; borg, if asked for.

Run: `python benchmarks/vault/bench_commit.py [--peers dvc lfs xet] [--repeats 5] [--output PATH]`. It needs about 5 GB
of room in `--work`. Prints one JSON row; `make bench` stores it in `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers import WORK_FOLDER, Cost, Opener, Store, clean_environment, digest_of, open_peers, run_costed, size_of
from safetensors.numpy import save_file

import birdbone
from birdbone.core import digest_json
from birdbone.watch import describe_hardware

_NUM_LAYERS = 39
"""With the widths below: 9 tensors a layer and 3 others make 354 tensors, 133.75 million weights."""
_HIDDEN, _KEY_VALUE, _FEED_FORWARD, _VOCABULARY = 512, 256, 1408, 18_256
_NUM_PRUNED = 89
_PRUNED_SHARE = 0.1
_OPERATIONS = ("commit_v1", "commit_v2", "checkout_v2", "checkout_v1")
_COMPARED = (
    ("commit_v2_cpu", "commit_v2_cpu"),
    ("commit_v2_work_cpu", "commit_v2_cpu"),
    ("checkout_v2_wall", "checkout_v2_wall"),
    ("checkout_v2_wall_flushed", "checkout_v2_wall_flushed"),
    ("checkout_v1_wall", "checkout_v1_wall"),
    ("commit_v1_cpu", "commit_v1_cpu"),
)
"""Which figure of Birdbone's is set over which of a peer's; a peer's CPU always has its start in it."""

Tensors = dict[str, NDArray[np.float32]]


class Birdbone:
    """The vault, used as a library; one process an operation."""

    name = "birdbone"

    def __init__(self, work: Path) -> None:
        self._folder = work
        self._env = clean_environment(work / "home") | {"PYTHONPATH": str(Path(birdbone.__file__).parents[1])}
        self._artefacts: list[str] = []
        self.work_cpu: list[float] = []

    def commit(self, file: Path) -> Cost:
        cost = self._run("commit", self._store, file.parent, *self._artefacts[-1:])
        self._artefacts.append(json.loads(cost.answer)["artefact"])
        return cost

    def checkout(self, number: int) -> tuple[Cost, Path]:
        out = self._folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        return self._run("checkout", self._store, self._artefacts[number], out), out / "model.safetensors"

    def stored_bytes(self) -> int:
        return size_of(self._store)

    @property
    def _store(self) -> Path:
        return self._folder / "store"

    def _run(self, *arguments: str | Path) -> Cost:
        program = Path(__file__).with_name("vault_operation.py")
        cost = run_costed([sys.executable, program, *arguments], cwd=self._folder, env=self._env)
        self.work_cpu.append(json.loads(cost.answer)["work_cpu_seconds"])
        return cost


def main() -> None:
    settings = _parse_settings()
    openers: dict[str, Opener] = {"birdbone": Birdbone, **open_peers(settings.peers, settings.work / "peers")}
    row = _provenance(settings) | _measure(openers, settings)
    line = json.dumps(row, ensure_ascii=False)
    if settings.output is not None:
        settings.output.write_text(line + "\n", encoding="utf-8")
    print(line)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Cost of a second version of a model.")
    parser.add_argument("--peers", nargs="*", default=["dvc", "lfs", "xet"], choices=["dvc", "lfs", "xet", "borg"])
    parser.add_argument("--no-birdbone", action="store_true", help="run the peers alone")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--num-layers", type=int, default=_NUM_LAYERS, help="fewer make a smaller file, for a trial")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=WORK_FOLDER)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


# The two versions.


def make_weights(*, num_layers: int, seed: int) -> Tensors:
    """Return the weights of a decoder: normal with a scale of its own for each matrix, norms near one."""
    generator = np.random.default_rng(seed)
    return {name: _draw(generator, shape) for name, shape in _shapes(num_layers)}


def prune(weights: Tensors, *, num_pruned: int) -> tuple[Tensors, int]:
    """Return the weights with the smallest tenth of each of `num_pruned` linears at zero, and how many became so."""
    linears = [name for name in weights if ".mlp." in name or ".self_attn." in name]
    chosen = [linears[index * len(linears) // num_pruned] for index in range(num_pruned)]
    pruned = {name: _without_smallest(weights[name]) for name in chosen}
    num_zeroed = sum(int((array == 0).sum()) - int((weights[name] == 0).sum()) for name, array in pruned.items())
    return weights | pruned, num_zeroed


def _shapes(num_layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (_VOCABULARY, _HIDDEN)
    for layer in range(num_layers):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", (_HIDDEN,)
        yield f"{prefix}.self_attn.q_proj.weight", (_HIDDEN, _HIDDEN)
        yield f"{prefix}.self_attn.k_proj.weight", (_KEY_VALUE, _HIDDEN)
        yield f"{prefix}.self_attn.v_proj.weight", (_KEY_VALUE, _HIDDEN)
        yield f"{prefix}.self_attn.o_proj.weight", (_HIDDEN, _HIDDEN)
        yield f"{prefix}.post_attention_layernorm.weight", (_HIDDEN,)
        yield f"{prefix}.mlp.gate_proj.weight", (_FEED_FORWARD, _HIDDEN)
        yield f"{prefix}.mlp.up_proj.weight", (_FEED_FORWARD, _HIDDEN)
        yield f"{prefix}.mlp.down_proj.weight", (_HIDDEN, _FEED_FORWARD)
    yield "model.norm.weight", (_HIDDEN,)
    yield "lm_head.weight", (_VOCABULARY, _HIDDEN)


def _draw(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if len(shape) == 1:
        return 1 + np.float32(0.1) * generator.standard_normal(shape, dtype=np.float32)
    scale = np.float32(math.exp(generator.uniform(math.log(0.01), math.log(0.1))))  # as the linears of small decoders
    return scale * generator.standard_normal(shape, dtype=np.float32)


def _without_smallest(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = weight.ravel().copy()
    flat[np.argpartition(np.abs(flat), int(flat.size * _PRUNED_SHARE))[: int(flat.size * _PRUNED_SHARE)]] = 0
    return flat.reshape(weight.shape)


# What is measured.


def _measure(openers: dict[str, Opener], settings: argparse.Namespace) -> dict[str, Any]:
    if settings.no_birdbone:
        del openers["birdbone"]
    settings.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.work, prefix="commit-") as name_of_folder:
        folder = Path(name_of_folder)
        _warm_up(openers, folder, settings)
        described, versions = _write_versions(folder / "versions", settings.num_layers, settings)
        turns = defaultdict(list)
        names = list(openers)
        for turn in range(settings.repeats):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                for figure, value in _one_turn(openers[name], folder / name, versions).items():
                    turns[f"{name}_{figure}"].append(value)
                print(f"turn {turn + 1}: {name}", file=sys.stderr)
    return described | _ratios(turns, names) | _all_spreads(turns)


def _warm_up(openers: dict[str, Opener], folder: Path, settings: argparse.Namespace) -> None:
    _, versions = _write_versions(folder / "small", 1, settings)
    for name, opener in openers.items():
        _one_turn(opener, folder / name, versions)


def _write_versions(
    folder: Path, num_layers: int, settings: argparse.Namespace
) -> tuple[dict[str, int], tuple[Path, Path]]:
    first = make_weights(num_layers=num_layers, seed=settings.seed)
    second, num_zeroed = prune(first, num_pruned=max(1, _NUM_PRUNED * num_layers // _NUM_LAYERS))
    paths = (folder / "1" / "model.safetensors", folder / "2" / "model.safetensors")
    for path, weights in zip(paths, (first, second), strict=True):
        path.parent.mkdir(parents=True)
        save_file(weights, path)
    described = {
        "num_tensors": len(first),
        "num_weights": sum(weight.size for weight in first.values()),
        "num_tensors_pruned": sum(first[name] is not second[name] for name in first),
        "num_weights_pruned": num_zeroed,
        "file_bytes": paths[0].stat().st_size,
    }
    return described, paths


def _one_turn(opener: Opener, folder: Path, versions: tuple[Path, Path]) -> dict[str, float]:
    folder.mkdir(parents=True)
    store = opener(folder)
    costs = [store.commit(versions[0])]
    sizes = [store.stored_bytes()]
    costs.append(store.commit(versions[1]))
    sizes.append(store.stored_bytes())
    costs += [_checked_out(store, number, versions) for number in (1, 0)]
    shutil.rmtree(folder)
    figures = {"v1_bytes": float(sizes[0]), "v2_added_bytes": float(sizes[1] - sizes[0])}
    for operation, cost in zip(_OPERATIONS, costs, strict=True):
        figures |= {
            f"{operation}_cpu_seconds": cost.cpu,
            f"{operation}_wall_seconds": cost.wall,
            f"{operation}_wall_flushed_seconds": cost.wall_flushed,
        }
    if isinstance(store, Birdbone):
        for operation, seconds in zip(_OPERATIONS, store.work_cpu, strict=True):
            figures[f"{operation}_work_cpu_seconds"] = seconds
    return figures


def _checked_out(store: Store, number: int, versions: tuple[Path, Path]) -> Cost:
    cost, path = store.checkout(number)
    if digest_of(path) != digest_of(versions[number]):
        raise SystemExit(f"{store.name} gave back other bytes than it was given.")
    return cost


def _ratios(turns: dict[str, list[float]], names: list[str]) -> dict[str, float]:
    """Return Birdbone's figures over those of each peer, turn by turn: what the bars are about first."""
    if "birdbone" not in names:
        return {}
    found: dict[str, float] = {}
    for peer in names[1:]:
        for ours, theirs in _COMPARED:
            pairs = zip(turns[f"birdbone_{ours}_seconds"], turns[f"{peer}_{theirs}_seconds"], strict=True)
            found |= _spread(f"{ours}_over_{peer}", [mine / other for mine, other in pairs])
    return found


def _all_spreads(turns: dict[str, list[float]]) -> dict[str, float]:
    return {key: value for name, values in turns.items() for key, value in _spread(name, values).items()}


def _spread(name: str, values: list[float]) -> dict[str, float]:
    figures = {name: statistics.median(values), f"{name}_min": min(values), f"{name}_max": max(values)}
    return {key: round(value, 4) for key, value in figures.items()}


def _provenance(settings: argparse.Namespace) -> dict[str, Any]:
    described = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    chosen = {name: value for name, value in vars(settings).items() if name not in ("output", "work")}
    hardware = describe_hardware()
    return {
        "bench": "vault/bench_commit",
        "commit": described.stdout.strip(),
        "machine": f"{hardware.cpu_model}, {hardware.num_available_cores} cores, load {os.getloadavg()[0]:.1f}",
        "settings": chosen,
        "settings_digest": digest_json(chosen),
    }


if __name__ == "__main__":
    main()
