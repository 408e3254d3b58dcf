"""Sources of other tools, made file by file in the formats that these tools document, so that a test can break them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from ..checkpoints import float32, safetensors_bytes

COMMIT = "c0ffee" + "0" * 34
WEIGHTS = safetensors_bytes({"w": float32(1.0, 2.0)}, metadata={"format": "pt"})
MODEL = {"config.json": b'{"model_type": "llama"}\r\n', "model.safetensors": WEIGHTS, "extra/notes.txt": b"light\n"}


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\x00" % len(content) + content).hexdigest()


def write_hub_cache(
    cache: Path, files: Mapping[str, bytes] = MODEL, *, repo: str = "models--org--name", commit: str = COMMIT
) -> Path:
    """As `snapshot_download` leaves it: weights by their SHA-256, small files by git's SHA-1."""
    folder = cache / repo
    write_files(folder, {"refs/main": commit.encode()})
    for path, content in files.items():
        etag = sha256(content) if path.endswith(".safetensors") else git_sha1(content)
        write_files(folder, {f"blobs/{etag}": content})
        link = folder / "snapshots" / commit / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("../" * (2 + path.count("/")) + f"blobs/{etag}")
    return folder


def write_dvc_repository(
    root: Path, files: Mapping[str, bytes] = MODEL, *, cache: str = ".dvc/cache", is_old: bool = False
) -> Path:
    """As `dvc add model` and `dvc add model.safetensors` leave it, without a checkout; returns the root."""
    objects = root / cache / ("" if is_old else "files/md5")
    write_files(root, {".dvc/config": b""})
    for content in files.values():
        write_files(objects, {f"{md5(content)[:2]}/{md5(content)[2:]}": content})
    listing = json.dumps([{"md5": md5(content), "relpath": path} for path, content in sorted(files.items())]).encode()
    write_files(objects, {f"{md5(listing)[:2]}/{md5(listing)[2:]}.dir": listing})
    write_dvc_file(root / "model.dvc", f"{md5(listing)}.dir", is_old=is_old)
    for path, content in files.items():
        if "/" not in path:
            write_dvc_file(root / f"{path}.dvc", md5(content), is_old=is_old, size_bytes=len(content))
    return root


def write_dvc_file(file: Path, digest: str, *, is_old: bool = False, size_bytes: int = 0) -> None:
    size = f"  size: {size_bytes}\n" if size_bytes else ""
    hash_name = "" if is_old else "  hash: md5\n"
    file.write_text(f"outs:\n- md5: {digest}\n{size}{hash_name}  path: {file.stem}\n")


def pointer(content: bytes) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(content)}\nsize {len(content)}\n".encode()


def write_lfs_repository(root: Path, files: Mapping[str, bytes] = MODEL) -> Path:
    """As a clone without the smudge filter leaves it after `git lfs fetch`: safetensors are pointers."""
    (root / ".git").mkdir(parents=True)
    for path, content in files.items():
        is_tracked = path.endswith(".safetensors")
        write_files(root, {path: pointer(content) if is_tracked else content})
        if is_tracked:
            oid = sha256(content)
            write_files(root / ".git/lfs/objects", {f"{oid[:2]}/{oid[2:4]}/{oid}": content})
    return root


def rewrite(path: Path, content: bytes) -> None:
    """Replace the bytes of a file with others of the same length, as a failing disk does."""
    assert path.is_file()
    assert len(content) == path.stat().st_size
    path.write_bytes(content)


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])
