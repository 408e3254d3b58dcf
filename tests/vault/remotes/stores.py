"""Small stores with a history of waves, remotes of each kind, and a remote that fails."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from birdbone.vault import Vault, checkout, commit, log, open_vault, put_folder, refs
from birdbone.vault.errors import RemoteError
from birdbone.vault.remotes.transport import Transport

from ..checkpoints import content_of, write_model

SHAPE = (64, 256)
_numbers = itertools.count()


def memory_url() -> str:
    return f"memory://test-{next(_numbers)}"


def weights(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def commit_wave(vault: Vault, folder: Path, values: np.ndarray, *, ref: str = "main", base: str | None = None, **more):
    """Commit a model of one matrix, its embedding, and a tokenizer that is cut into chunks."""
    model = write_model(
        folder,
        weights=("F32", values.shape, values.tobytes()),
        embedding=("BF16", (16,), bytes(range(32))),
        **more,
    )
    (model / "tokenizer.json").write_bytes(np.random.default_rng(7).bytes(300_000))
    artefact = put_folder(vault, model, kind="model", base=base)
    return commit(vault, artefact, ref=ref, message=folder.name, author="Ada")


def make_waves(vault: Vault, tmp_path: Path, *, num_waves: int = 4) -> None:
    """Commit a dense model and waves of pruning on it, each stored as a change of the one before."""
    values, base = weights(), None
    for wave in range(num_waves + 1):
        if wave:
            values = np.where(np.abs(values) < 0.15 * wave, np.float32(0), values)
        base = commit_wave(vault, tmp_path / f"wave-{wave}", values, base=base).artefact


def new_store(folder: Path) -> Vault:
    return open_vault(folder)


def all_that_refs_give(vault: Vault, out: Path) -> dict[str, dict[str, bytes]]:
    """Check everything out that branches reach: by version, the bytes of its files."""
    versions = {version.id for ref in refs(vault) for version in log(vault, ref)}
    return {version: content_of(checkout(vault, version, out / version[3:])) for version in sorted(versions)}


@dataclass
class Failing:
    """A transport that fails after so many bytes went through it."""

    inner: Transport
    left: list[int]

    def spend(self, size_bytes: int) -> None:
        self.left[0] -= size_bytes
        if self.left[0] < 0:
            raise RemoteError("The line went dead.")

    def sizes(self, folder: str) -> dict[str, int]:
        self.spend(1)
        return self.inner.sizes(folder)

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        content = self.inner.read(path, start, size)
        self.spend(len(content))
        return content

    def write(self, path: str, content: bytes | Path) -> None:
        self.spend(len(content) if isinstance(content, bytes) else content.stat().st_size)
        self.inner.write(path, content)

    def create(self, path: str, content: bytes) -> bool:
        self.spend(len(content))
        return self.inner.create(path, content)


@dataclass
class Counting:
    """A transport that says what was written."""

    inner: Transport
    written: list[str] = field(default_factory=list)

    def sizes(self, folder: str) -> dict[str, int]:
        return self.inner.sizes(folder)

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        return self.inner.read(path, start, size)

    def write(self, path: str, content: bytes | Path) -> None:
        self.written.append(path)
        self.inner.write(path, content)

    def create(self, path: str, content: bytes) -> bool:
        self.written.append(path)
        return self.inner.create(path, content)
