"""Whether every bit comes back, and whether every flipped bit in a store is found before it is used.

Question: do tensors of any dtype with any bits come back identical, by themselves and as changes of others; and of
single-bit flips anywhere in a store, how many are found, and does any reach a user?
Method: (1) tensors of every dtype of the format, with NaN payloads, minus zero, infinities, denormals, no elements and
no axes among them, are put in a chain of artefacts, each with the one before as its base and with a wrong low-rank
hint now and then, and are checked out and compared byte by byte, before and after garbage collection. (2) A store with
a dense model, three pruned versions on it, a merge, a chunked file, a tag, a note and an audit is copied; one bit of
one file is flipped, at a place drawn uniformly over the bytes of the store; then every ref is checked out, and
must either be refused or come out as it was put; then `verify` and `verify_audit` must say that something is wrong;
then the bit is put back. A flip is found if a check says so or a checkout is refused.
Peer: none here; research for this project saw DVC, Git LFS and Oxen restore a changed byte without a word.

Run: `python benchmarks/vault/bench_integrity.py [--tensors 2000] [--flips 1000] [--seed 0]`. Prints one JSON row.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from birdbone.core import digest_json
from birdbone.vault import (
    Vault,
    VaultError,
    checkout,
    collect_garbage,
    commit,
    log,
    move_ref,
    open_vault,
    put_folder,
    verify,
)
from birdbone.vault.formats.safetensors import DTYPE_BITS, encode_header
from birdbone.vault.merging import merge
from birdbone.vault.refs.audit import verify_audit
from birdbone.vault.refs.notes import add_note
from birdbone.vault.store.codec.low_rank import LowRankUpdate
from birdbone.vault.store.packs import forget_index

Tensor = tuple[str, tuple[int, ...], bytes]
_PATTERNS = {  # zero, minus zero, a denormal, infinities, quiet and signalling NaNs with a payload, all ones
    1: (0, 0x80, 1, 0x7C, 0xFC, 0x7E, 0x7D, 0xFF),
    2: (0, 0x8000, 1, 0x7C00, 0xFC00, 0x7E55, 0x7C55, 0x7F80, 0x7FC1, 0x7F81, 0xFFFF),
    4: (0, 1 << 31, 1, 0x7F800000, 0xFF800000, 0x7FC00055, 0x7F800055, 0xFFFFFFFF),
    8: (0, 1 << 63, 1, 0x7FF << 52, 0xFFF << 52, 0xFFF << 51 | 85, 0x7FF << 52 | 85, (1 << 64) - 1),
}
_TENSORS_PER_MODEL = 50
_REFS = ("main", "other", "refs/tags/v1")


def main() -> None:
    settings = _parse_settings()
    rng = np.random.default_rng(settings.seed)
    with tempfile.TemporaryDirectory(prefix="birdbone-integrity-") as name:
        row = _row(settings) | _fuzz(Path(name, "fuzz"), rng, num_tensors=settings.tensors)
        row |= _flip(Path(name, "flips"), rng, num_flips=settings.flips)
    print(json.dumps(row, ensure_ascii=False))


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzzed tensors come back; flipped bits are found.")
    parser.add_argument("--tensors", type=int, default=2000)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _row(settings: argparse.Namespace) -> dict[str, Any]:
    commit_id = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    chosen = vars(settings)
    return {
        "bench": "vault/bench_integrity",
        "commit": commit_id,
        "machine": platform.machine(),
        "settings": chosen,
        "settings_digest": digest_json(chosen),
    }


# Fuzzed tensors.


def _fuzz(folder: Path, rng: np.random.Generator, *, num_tensors: int) -> dict[str, Any]:
    vault, state, base = open_vault(folder / "store"), {}, None
    put: dict[str, bytes] = {}
    for number in range(-(-num_tensors // _TENSORS_PER_MODEL)):
        state = {f"t{place}": _next_tensor(rng, state.get(f"t{place}")) for place in range(_TENSORS_PER_MODEL)}
        model = folder / f"model-{number}"
        model.mkdir(parents=True)
        (model / "model.safetensors").write_bytes(_checkpoint(state))
        base = put_folder(vault, model, kind="model", base=base, updates=_wrong_updates(rng, state))
        put[base] = _checkpoint(state)
        commit(vault, base, ref="main", message=str(number))
    different = _differing(vault, put, folder / "out")
    collect_garbage(vault, dry_run=False, grace_seconds=-1)
    different += _differing(vault, put, folder / "out-after")
    dtypes = Counter(dtype for dtype, _, _ in state.values())
    return {
        "num_tensors": len(put) * _TENSORS_PER_MODEL,
        "num_dtypes_in_the_last_model": len(dtypes),
        "num_files_that_differ": different,
    }


def _next_tensor(rng: np.random.Generator, before: Tensor | None) -> Tensor:
    """Return a new tensor, or the one before with zeros, flips or signs in it."""
    if before is None or rng.random() < 0.2:
        return _any_tensor(rng)
    dtype, shape, raw = before
    content = bytearray(raw)
    for _ in range(int(rng.integers(0, 1 + len(content) // 4 + 1))):
        place = int(rng.integers(0, max(1, len(content))))
        if content:
            content[place] = (0, content[place] ^ 0x80, int(rng.integers(256)))[int(rng.integers(3))]
    return dtype, shape, bytes(content)


def _any_tensor(rng: np.random.Generator) -> Tensor:
    dtype = sorted(DTYPE_BITS)[int(rng.integers(len(DTYPE_BITS)))]
    while True:
        shape = tuple(int(size) for size in rng.integers(0, 40, size=int(rng.integers(0, 3))))
        num_bits = int(np.prod(shape, dtype=np.int64)) * DTYPE_BITS[dtype]
        if num_bits % 8 == 0:
            break
    width = max(1, DTYPE_BITS[dtype] // 8) if DTYPE_BITS[dtype] % 8 == 0 else 1
    raw = np.frombuffer(rng.bytes(num_bits // 8), f"<u{width}").copy()
    peculiar = rng.random(len(raw)) < 0.3
    raw[peculiar] = np.array(_PATTERNS[width], f"<u{width}")[rng.integers(0, len(_PATTERNS[width]), peculiar.sum())]
    return dtype, shape, raw.tobytes()


def _wrong_updates(rng: np.random.Generator, state: dict[str, Tensor]) -> dict[str, LowRankUpdate]:
    return {
        name: LowRankUpdate(
            a=rng.standard_normal((2, shape[1]), np.float32),
            b=rng.standard_normal((shape[0], 2), np.float32),
            scale=float(rng.choice([0.0, 1e-3, np.inf])),
        )
        for name, (_, shape, _) in state.items()
        if len(shape) == 2 and rng.random() < 0.3
    }


def _checkpoint(state: dict[str, Tensor]) -> bytes:
    forms = [(name, dtype, shape) for name, (dtype, shape, _) in state.items()]
    return encode_header(forms, metadata={}) + b"".join(raw for _, _, raw in state.values())


def _differing(vault: Vault, put: dict[str, bytes], out: Path) -> int:
    return sum(
        (checkout(vault, artefact, out / str(number)) / "model.safetensors").read_bytes() != content
        for number, (artefact, content) in enumerate(put.items())
    )


# Flipped bits.


def _flip(folder: Path, rng: np.random.Generator, *, num_flips: int) -> dict[str, Any]:
    vault = _make_history(folder, rng)
    good = {ref: _content(checkout(vault, ref, folder / "good" / ref.replace("/", "-"))) for ref in _REFS}
    files = sorted(path for path in vault.folder.rglob("*") if path.is_file() and path.stat().st_size)
    sizes = np.array([path.stat().st_size for path in files])
    tally: Counter[str] = Counter()
    for number in range(num_flips):
        path = files[int(rng.choice(len(files), p=sizes / sizes.sum()))] if number % 2 else files[number % len(files)]
        tally.update(_try_flip(vault, path, rng, good=good, out=folder / f"out-{number}"))
    return {
        "num_flips": num_flips,
        "num_found_by_a_check": tally["checked"],
        "num_found_at_use": tally["refused"],
        "num_found": tally["found"],
        "num_wrong_checkouts": tally["wrong"],
        "missed_in": sorted(name for name in tally if name.startswith("missed:")),
    }


def _make_history(folder: Path, rng: np.random.Generator) -> Vault:
    vault, base = open_vault(folder / "store"), None
    weights = {f"model.layers.{n}.w.weight": rng.standard_normal((48, 64)).astype(np.float32) for n in range(6)}
    notes = rng.bytes(300_000)
    for wave in range(4):
        if wave:
            weights = {name: np.where(np.abs(w) < 0.1 * wave, 0, w).astype(np.float32) for name, w in weights.items()}
        base = _commit(vault, folder / f"wave-{wave}", weights, notes, base=base, ref="main")
    first = log(vault, "main")[-1].id
    move_ref(vault, "other", first)
    theirs = {name: w + np.float32(1) if name.endswith("0.w.weight") else w for name, w in weights.items()}
    _commit(vault, folder / "theirs", theirs, notes, base=base, ref="other")
    merge(vault, "main", "other", strategies=["*=ours"])
    move_ref(vault, "refs/tags/v1", first)
    add_note(vault, "main", "looked at")
    return vault


def _commit(vault: Vault, folder: Path, weights: dict[str, Any], extra: bytes, *, base: str | None, ref: str) -> str:
    folder.mkdir(parents=True)
    state = {name: ("F32", w.shape, w.tobytes()) for name, w in weights.items()}
    (folder / "model.safetensors").write_bytes(_checkpoint(state))
    (folder / "tokenizer.bin").write_bytes(extra)
    artefact = put_folder(vault, folder, kind="model", base=base)
    commit(vault, artefact, ref=ref, message=folder.name)
    return artefact


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _try_flip(
    vault: Vault, path: Path, rng: np.random.Generator, *, good: dict[str, dict[str, bytes]], out: Path
) -> list[str]:
    before = path.read_bytes()
    place = int(rng.integers(len(before)))
    path.write_bytes(before[:place] + bytes([before[place] ^ 1 << int(rng.integers(8))]) + before[place + 1 :])
    try:
        seen = _look(vault, good, out)
    finally:
        path.write_bytes(before)
        forget_index(vault)
    if "checked" in seen or "refused" in seen:
        return ["found", *seen]
    return [f"missed:{path.relative_to(vault.folder)}", *seen]


def _look(vault: Vault, good: dict[str, dict[str, bytes]], out: Path) -> set[str]:
    seen = set()
    forget_index(vault)
    for ref in _REFS:  # as a user asks, by the name
        try:
            folder = checkout(vault, ref, out / ref.replace("/", "-"))
        except (VaultError, ValueError):
            seen.add("refused")
        else:
            seen |= set() if _content(folder) == good[ref] else {"wrong"}
    try:
        is_sound = verify(vault).is_sound and verify_audit(vault).is_whole
    except (VaultError, ValueError):
        is_sound = False
    return seen if is_sound else seen | {"checked"}


if __name__ == "__main__":
    main()
