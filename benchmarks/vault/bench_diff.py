"""What it takes to say what changed between two versions of a model.

Question: how long do the diff of two manifests, and the full report of a pruning step (changed, zeroed, regrown, L2,
cosine, effective rank, mask, levels, by tensor, layer and role), take on two versions of 535 MB? The bars are 5 ms and
3 s of wall clock.
Method: 354 tensors of a decoder's shapes (32 layers, width 576, tied embeddings), normal random float32 from a fixed
seed, stored in a vault. In the second version every fourth tensor, 89 in all, has the tenth of its weights that is
smallest set to zero. The manifest diff is timed on manifests that are in memory, and with reading both from the store;
the report from the two names to the finished comparison, and the page from that. Median and range of several runs; wall
clock, and CPU seconds of the process with all its threads. The blobs are in the page cache.
Peer: weightscope 0.4.3 from PyPI, its `diff` of the same two files, in an environment of its own and in a process of
its own, with its start. `--peer-python` names that environment's Python; without it the peer's figures are absent.

Run: `python benchmarks/vault/bench_diff.py [--repeats 5] [--peer-python PATH] [--output PATH]`. Prints one JSON row;
`make bench` stores it in `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from birdbone.core import digest_json
from birdbone.vault import Vault, open_vault, put_folder, read_manifest
from birdbone.vault.diff import Comparison, compare_versions, diff_manifests, render_page

_SEED = 535
_VOCABULARY = 35_840


def main() -> None:
    settings = _parse_settings()
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        row = _measure(Path(folder), settings)
    line = json.dumps(row, ensure_ascii=False)
    if settings.output is not None:
        settings.output.write_text(line + "\n", encoding="utf-8")
    print(line)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time to say what changed between two versions.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--manifest-repeats", type=int, default=51)
    parser.add_argument("--num-layers", type=int, default=32)
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--num-threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, default=None, help="where the versions are made; 3 GB")
    parser.add_argument("--peer-python", type=Path, default=None)
    parser.add_argument("--peer-repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


def _measure(folder: Path, settings: argparse.Namespace) -> dict[str, Any]:
    sides = [_write_version(folder / name, settings, is_pruned=name == "after") for name in ("before", "after")]
    vault = open_vault(folder / "store")
    before, after = (put_folder(vault, side, kind="model") for side in sides)
    found, reports = _reports(vault, before, after, settings)
    pages = [_timed(lambda: render_page(found)) for _ in range(settings.repeats)]
    return {
        **_provenance(settings),
        "size_bytes": (sides[0] / "model.safetensors").stat().st_size,
        "num_tensors": len(found.before.manifest.tensors()),
        "num_changed_tensors": len(found.tensors),
        "num_changed_elements": sum(tensor.num_changed or 0 for tensor in found.tensors),
        "num_ranks_measured": sum(tensor.rank_basis == "measured" for tensor in found.tensors),
        "num_ranks_estimated": sum(tensor.rank_basis == "estimated" for tensor in found.tensors),
        **_manifest_figures(vault, before, after, settings),
        **_spread("report_wall_seconds", [wall for wall, _ in reports]),
        **_spread("report_cpu_seconds", [cpu for _, cpu in reports]),
        **_spread("page_wall_seconds", [wall for wall, _ in pages]),
        **_without_ranks(vault, before, after, settings),
        **_peer(sides, settings),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _reports(
    vault: Vault, before: str, after: str, settings: argparse.Namespace
) -> tuple[Comparison, list[tuple[float, float]]]:
    def report() -> None:
        found.append(compare_versions(vault, before, after, num_threads=settings.num_threads))

    found: list[Comparison] = []
    report()
    return found[0], [_timed(report) for _ in range(settings.repeats)]


def _without_ranks(vault: Vault, before: str, after: str, settings: argparse.Namespace) -> dict[str, float]:
    def report() -> None:
        compare_versions(vault, before, after, has_ranks=False, num_threads=settings.num_threads)

    turns = [_timed(report) for _ in range(settings.repeats)]
    return {
        **_spread("report_without_ranks_wall_seconds", [wall for wall, _ in turns]),
        **_spread("report_without_ranks_cpu_seconds", [cpu for _, cpu in turns]),
    }


def _manifest_figures(vault: Vault, before: str, after: str, settings: argparse.Namespace) -> dict[str, float]:
    old, new = read_manifest(vault, before), read_manifest(vault, after)
    diffs = [_timed(lambda: diff_manifests(old, new)) for _ in range(settings.manifest_repeats)]
    reads = [
        _timed(lambda: diff_manifests(read_manifest(vault, before), read_manifest(vault, after)))
        for _ in range(settings.manifest_repeats)
    ]
    return {
        **_spread("manifest_diff_milliseconds", [1e3 * wall for wall, _ in diffs]),
        **_spread("manifest_read_and_diff_milliseconds", [1e3 * wall for wall, _ in reads]),
    }


def _peer(sides: list[Path], settings: argparse.Namespace) -> dict[str, float]:
    if settings.peer_python is None:
        return {}
    command = [settings.peer_python.parent / "weightscope", "diff", *sides]
    turns = [_timed_child(command) for _ in range(settings.peer_repeats)]
    return {
        **_spread("weightscope_wall_seconds", [wall for wall, _ in turns]),
        **_spread("weightscope_cpu_seconds", [cpu for _, cpu in turns]),
    }


def _timed_child(command: list[Any]) -> tuple[float, float]:
    wall, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def _write_version(folder: Path, settings: argparse.Namespace, *, is_pruned: bool) -> Path:
    """Write one version; the weights are drawn again from the same seed, so one tensor at a time is in memory."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"hidden_size": settings.width, "is_pruned": is_pruned}))
    shapes = dict(_shapes(settings.num_layers, settings.width))
    generator = np.random.default_rng(_SEED)
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(_header(shapes))
        for index, shape in enumerate(shapes.values()):
            weights = generator.standard_normal(shape, dtype=np.float32)
            if is_pruned and index % 4 == 0:
                weights[np.abs(weights) <= np.quantile(np.abs(weights), 0.1)] = 0
            stream.write(weights.tobytes())
    return folder


def _shapes(num_layers: int, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "model.embed_tokens.weight", (_VOCABULARY, width)
    for layer in range(num_layers):
        stem = f"model.layers.{layer}"
        yield f"{stem}.input_layernorm.weight", (width,)
        yield f"{stem}.mlp.down_proj.weight", (width, 8 * width // 3)
        yield f"{stem}.mlp.gate_proj.weight", (8 * width // 3, width)
        yield f"{stem}.mlp.up_proj.weight", (8 * width // 3, width)
        yield f"{stem}.post_attention_layernorm.weight", (width,)
        yield f"{stem}.self_attn.k_norm.weight", (64,)
        yield f"{stem}.self_attn.k_proj.weight", (width // 3, width)
        yield f"{stem}.self_attn.o_proj.weight", (width, width)
        yield f"{stem}.self_attn.q_norm.weight", (64,)
        yield f"{stem}.self_attn.q_proj.weight", (width, width)
        yield f"{stem}.self_attn.v_proj.weight", (width // 3, width)
    yield "model.norm.weight", (width,)


def _header(shapes: dict[str, tuple[int, ...]]) -> bytes:
    entries, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + 4 * int(np.prod(shape))
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    return struct.pack("<Q", len(text)) + text


def _spread(name: str, values: list[float]) -> dict[str, float]:
    return {name: statistics.median(values), f"{name}_min": min(values), f"{name}_max": max(values)}


def _provenance(settings: argparse.Namespace) -> dict[str, Any]:
    described = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    places = ("output", "folder", "peer_python")
    chosen = {name: value for name, value in vars(settings).items() if name not in places}
    return {
        "bench": "vault/bench_diff",
        "commit": described.stdout.strip(),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "settings": chosen,
        "settings_digest": digest_json(chosen),
    }


if __name__ == "__main__":
    main()
