"""What eleven versions of a real decoder take when each is a wave of pruning after the one before.

Question: how many bytes does the vault need for the dense starter model and ten waves of pruning (7 % of the survivors
of each row a wave, to about 52 %), prune-only and with low-rank healing in every wave, against eleven full copies; does
every version come back bit for bit? The bars, in float32: at least 12 times smaller prune-only, 8 times healed.
Method: `pruned_versions.py` makes the versions: Wanda scores from the bundled text; rank-8 factors that each block
learns in a few steps on the bundled text, merged by the vault's merge. Each version is written as one safetensors file,
put with the version before as its base (and with the factors, where there are any), and committed. Bytes are those of
all files of the store: after the first commit, after the eleventh, and after garbage was collected. Then every version
is checked out and its BLAKE3 is compared with that of the file that was put. The starter is shipped in four bits, so
its float32 weights repeat and compress better than those of a model trained in more; the `dithered` rows take it off
that grid first, by noise within half a step.
Peer: on the same files the Xet client's own store; z4ai's deltas, tensor by tensor; computed here, not stored: each
copy in zstd (level 3), each distinct tensor once, each distinct tensor as the XOR to the version before in byte planes
under zstd (level 1), as ZipLLM's BitX does (arXiv:2505.06252); borg, if asked for.

Run: `python benchmarks/vault/bench_waves.py [--variants f32-pruned ...] [--peers xet ...] [--output PATH]`. It needs
up to 8 GB of room in `--work` and the starter's package. Prints one JSON row; `make bench` stores it in
`benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zstandard
from blake3 import blake3
from numpy.typing import NDArray
from peers import WORK_FOLDER, Store, digest_of, open_peers, size_of
from pruned_versions import ModelVersion, WaveSettings, make_versions
from torch import Tensor

from birdbone.core import digest_json
from birdbone.data import load_corpus, token_windows
from birdbone.models import LoadedModel, load_model
from birdbone.models.tensors import write_tensors
from birdbone.vault import Vault, checkout, collect_garbage, commit, open_vault, put_folder
from birdbone.watch import describe_hardware

_VARIANTS = (
    "f32-pruned",
    "f32-healed",
    "bf16-pruned",
    "bf16-healed",
    "f32-pruned-dithered",
    "f32-healed-dithered",
)
_COMPUTED = ("zstd_copies", "xor_planes")
_PEERS = ("xet", "z4ai", *_COMPUTED)
_DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
_FILE = "model.safetensors"


@dataclass(slots=True)
class Kept:
    """What the vault was given so far."""

    vault: Vault
    artefacts: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    commit_cpu_seconds: list[float] = field(default_factory=list)
    store_bytes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Computed:
    """Bytes that simpler ways would take, summed over the versions seen."""

    zstd_copies: int = 0
    distinct_tensors: int = 0
    xor_planes: int = 0
    seen: set[bytes] = field(default_factory=set)
    before: dict[str, NDArray[np.uint8]] = field(default_factory=dict)


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    row = _provenance(settings)
    for variant in settings.variants:
        row |= {f"{variant.replace('-', '_')}_{name}": value for name, value in _measure(variant, settings).items()}
    line = json.dumps(row, ensure_ascii=False)
    if settings.output is not None:
        settings.output.write_text(line + "\n", encoding="utf-8")
    print(line)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Bytes of eleven versions of a pruned decoder.")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--variants", nargs="+", default=list(_VARIANTS), choices=_VARIANTS)
    parser.add_argument("--peers", nargs="*", default=list(_PEERS), choices=[*_PEERS, "borg"])
    parser.add_argument("--waves", type=int, default=10)
    parser.add_argument("--fraction", type=float, default=0.07)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--steps-per-block", type=int, default=6)
    parser.add_argument("--num-calibration-windows", type=int, default=8)
    parser.add_argument("--num-healing-windows", type=int, default=4)
    parser.add_argument("--window-tokens", type=int, default=128)
    parser.add_argument("--signed-zeros", action="store_true", help="a shed negative weight becomes -0.0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=WORK_FOLDER)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


def _measure(variant: str, settings: argparse.Namespace) -> dict[str, Any]:
    settings.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.work, prefix=f"{variant}-") as folder:
        return _keep_all(variant, Path(folder), settings)


def _keep_all(variant: str, folder: Path, settings: argparse.Namespace) -> dict[str, Any]:
    kept, computed = Kept(open_vault(folder / "vault")), Computed()
    peers = dict(_open_stores(folder, settings))
    full_bytes, version = 0, None
    for version in _versions(variant, settings):
        path = folder / "put" / _FILE
        path.parent.mkdir(exist_ok=True)
        write_tensors(path, version.tensors)
        full_bytes += path.stat().st_size
        _keep(kept, version, path)
        _compute(computed, version, path, settings.peers)
        for peer in peers.values():
            peer.commit(path)
        path.unlink()
        print(f"{variant}: version {version.number}, {kept.store_bytes[-1]:,} bytes", file=sys.stderr)
    assert version is not None
    return {
        "num_versions": len(kept.artefacts),
        "sparsity": round(version.sparsity, 4),
        "healing_error_before": None if version.healing_errors is None else version.healing_errors[0],
        "healing_error_after": None if version.healing_errors is None else version.healing_errors[1],
        "full_copies_bytes": full_bytes,
        **_figures_of_vault(kept, folder, full_bytes),
        **_figures_of_peers(peers, computed, full_bytes),
    }


def _open_stores(folder: Path, settings: argparse.Namespace) -> Iterator[tuple[str, Store]]:
    names = [name for name in settings.peers if name not in _COMPUTED]
    for name, opener in open_peers(names, settings.work / "peers").items():
        (folder / name).mkdir()
        yield name, opener(folder / name)


def _versions(variant: str, settings: argparse.Namespace) -> Iterator[ModelVersion]:
    dtype, kind, *dithered = variant.split("-")
    loaded = load_model(settings.model)
    return make_versions(
        loaded,
        WaveSettings(
            num_waves=settings.waves,
            fraction=settings.fraction,
            dtype=_DTYPES[dtype],
            rank=settings.rank if kind == "healed" else 0,
            steps_per_block=settings.steps_per_block,
            is_dithered=bool(dithered),
            has_signed_zeros=settings.signed_zeros,
            seed=settings.seed,
        ),
        calibration_NT=_windows(loaded, load_corpus().calibration, settings.num_calibration_windows, settings),
        healing_NT=_windows(loaded, load_corpus().healing, settings.num_healing_windows, settings),
    )


def _windows(loaded: LoadedModel, texts: tuple[str, ...], count: int, settings: argparse.Namespace) -> Tensor:
    return torch.from_numpy(token_windows(texts, loaded.encode, window=settings.window_tokens, count=count))


# Birdbone.


def _keep(kept: Kept, version: ModelVersion, path: Path) -> None:
    began_at = time.process_time()
    base = kept.artefacts[-1] if kept.artefacts else None
    artefact = put_folder(kept.vault, path.parent, kind="model", base=base, updates=version.updates)
    commit(kept.vault, artefact, ref="main", message=f"wave {version.number}")
    kept.commit_cpu_seconds.append(time.process_time() - began_at)
    kept.artefacts.append(artefact)
    kept.digests.append(digest_of(path))
    kept.store_bytes.append(size_of(kept.vault.folder))


def _figures_of_vault(kept: Kept, folder: Path, full_bytes: int) -> dict[str, Any]:
    committed_bytes = kept.store_bytes[-1]
    last_seconds, is_last_same = _checked_out(kept, -1, folder)
    began_at = time.process_time()
    collect_garbage(kept.vault, dry_run=False, grace_seconds=0.0)
    collect_cpu = time.process_time() - began_at
    collected_bytes = size_of(kept.vault.folder)
    outs = [_checked_out(kept, number, folder) for number in range(len(kept.artefacts))]
    return {
        "store_bytes_after_each_commit": kept.store_bytes,
        "committed_bytes": committed_bytes,
        "collected_bytes": collected_bytes,
        "times_smaller_committed": round(full_bytes / committed_bytes, 3),
        "times_smaller_collected": round(full_bytes / collected_bytes, 3),
        "commit_cpu_seconds": [round(seconds, 3) for seconds in kept.commit_cpu_seconds],
        "collect_cpu_seconds": round(collect_cpu, 3),
        "checkout_last_wall_seconds": round(last_seconds, 3),
        "checkout_wall_seconds_after_collecting": [round(seconds, 3) for seconds, _ in outs],
        "num_bit_exact": sum(is_same for _, is_same in outs),
        "last_was_bit_exact_before_collecting": is_last_same,
    }


def _checked_out(kept: Kept, number: int, folder: Path) -> tuple[float, bool]:
    out = folder / "out"
    os.sync()
    began_at = time.perf_counter()
    checkout(kept.vault, kept.artefacts[number], out)
    seconds = time.perf_counter() - began_at
    is_same = digest_of(out / _FILE) == kept.digests[number]
    shutil.rmtree(out)
    return seconds, is_same


# The peers.


def _compute(computed: Computed, version: ModelVersion, path: Path, peers: Sequence[str]) -> None:
    if "zstd_copies" in peers:
        computed.zstd_copies += len(zstandard.ZstdCompressor(level=3).compress(path.read_bytes()))
    for name, tensor in version.tensors.items():
        data = _bytes_of(tensor)
        digest = blake3(data).digest()
        if digest in computed.seen:
            continue
        computed.seen.add(digest)
        computed.distinct_tensors += data.size
        if "xor_planes" in peers:
            before = computed.before.get(name)
            computed.xor_planes += _planes_bytes(data if before is None else data ^ before, tensor.element_size())
            computed.before[name] = data


def _bytes_of(tensor: Tensor) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    return array


def _planes_bytes(data: NDArray[np.uint8], width: int) -> int:
    """Return the bytes of each byte plane under zstd, or as it is where that is smaller."""
    planes = [data[start::width].tobytes() for start in range(width)]
    return sum(min(len(plane), len(zstandard.ZstdCompressor(level=1).compress(plane))) for plane in planes)


def _figures_of_peers(peers: Mapping[str, Store], computed: Computed, full_bytes: int) -> dict[str, Any]:
    sizes = {
        "distinct_tensors": computed.distinct_tensors,
        **{name: size for name in _COMPUTED if (size := getattr(computed, name))},
        **{name: peer.stored_bytes() for name, peer in peers.items()},
    }
    return {
        **{f"{name}_bytes": size for name, size in sizes.items()},
        **{f"{name}_times_smaller": round(full_bytes / size, 3) for name, size in sizes.items()},
    }


def _provenance(settings: argparse.Namespace) -> dict[str, Any]:
    described = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    chosen = {name: value for name, value in vars(settings).items() if name not in ("output", "work")}
    return {
        "bench": "vault/bench_waves",
        "commit": described.stdout.strip(),
        "machine": f"{describe_hardware().cpu_model}, {settings.num_threads} threads",
        "settings": chosen,
        "settings_digest": digest_json(chosen),
    }


if __name__ == "__main__":
    main()
