"""The one place where bytes leave for a remote and come from it: files by their path, whole or not there.

A remote is laid out as a store is: `objects/packs/…`, `objects/artefacts/ab/…`, `objects/versions/ab/…`. Whoever wants
the bytes on a remote to be sealed gives a `Wrap`: a transport around this one that seals what is written and opens what
is read. The offsets and sizes that pass through it are those of the plain bytes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fsspec.core import url_to_fs

from birdbone.vault.errors import BadRemoteError, RemoteError
from birdbone.vault.folder import explain_write_errors, sync_folder

_COPY_BYTES = 8 << 20
_PUT_AT_ONCE_BYTES = 256 << 20  # what is larger is put from its file, part by part; no name appears before the last


class Transport(Protocol):
    """Files of a remote, by their path below its root, with `/`."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size in bytes of every file below a folder, by path; nothing if there is no such folder."""
        ...

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        """Return `size` bytes from `start` on, or all that follow; fewer if the file ends before.

        Raises:
            FileNotFoundError: there is no such file.
            RemoteError: it cannot be read now.
        """
        ...

    def write(self, path: str, content: bytes | Path) -> None:
        """Let `path` hold the content, of a local file if it is a path; nobody sees it before it is whole.

        Raises:
            RemoteError: it cannot be written now.
        """
        ...

    def create(self, path: str, content: bytes) -> bool:
        """Do as `write` if there is no such file yet; return whether there was none. Of several at once one does it."""
        ...


_CREATING = threading.Lock()

Wrap = Callable[[Transport], Transport]
"""What stands between a store and a remote: the seam where bytes are sealed."""


def unsealed(transport: Transport) -> Transport:
    """Return the transport as it is: bytes lie on the remote as they lie in the store."""
    return transport


@dataclass(frozen=True, slots=True)
class FolderTransport:
    """A remote in a folder of this machine. A file is written beside, flushed, and renamed."""

    folder: Path

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size of every file below a folder; see `Transport`."""
        found = {}
        with _explained(folder):
            for where, _, names in os.walk(self.folder / folder, onerror=_raise_unless_gone):
                for name in names:
                    path = Path(where) / name
                    with contextlib.suppress(FileNotFoundError):  # collected as garbage beside us
                        found[path.relative_to(self.folder).as_posix()] = path.stat().st_size
        return found

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        """Return bytes of a file; see `Transport`."""
        with _explained(path), (self.folder / path).open("rb") as stream:
            stream.seek(start)
            return stream.read() if size is None else stream.read(size)

    def write(self, path: str, content: bytes | Path) -> None:
        """Let `path` hold the content; see `Transport`."""
        with self._staged(content) as staged, explain_write_errors(self.folder):
            os.replace(staged, self._made(path))
            sync_folder((self.folder / path).parent)

    def create(self, path: str, content: bytes) -> bool:
        """Write what is not there yet; see `Transport`."""
        with self._staged(content) as staged, explain_write_errors(self.folder):
            try:
                os.link(staged, self._made(path))
            except FileExistsError:
                return False
            sync_folder((self.folder / path).parent)
        return True

    def _made(self, path: str) -> Path:
        target = self.folder / path
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(target.parent.parent)
        return target

    @contextlib.contextmanager
    def _staged(self, content: bytes | Path) -> Iterator[Path]:
        staged = self.folder / "objects" / "staging" / f"upload-{secrets.token_hex(8)}"
        with explain_write_errors(self.folder):
            staged.parent.mkdir(parents=True, exist_ok=True)
            try:
                with staged.open("xb") as stream:
                    for part in _parts(content):
                        stream.write(part)
                    stream.flush()
                    os.fsync(stream.fileno())
                yield staged
            finally:
                staged.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class ObjectTransport:
    """A remote in an object store, by `fsspec`. A put of an object is atomic there, and nothing is renamed."""

    files: Any
    root: str

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size of every file below a folder; see `Transport`."""
        with _explained(folder):
            self.files.invalidate_cache()
            try:
                found = self.files.find(f"{self.root}/{folder}", detail=True)
            except FileNotFoundError:
                return {}
        cut = len(self.files._strip_protocol(self.root)) + 1
        return {name[cut:]: int(entry["size"]) for name, entry in found.items() if entry.get("type") == "file"}

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        """Return bytes of a file; see `Transport`."""
        if size == 0:
            return b""
        with _explained(path):
            end = None if size is None else start + size
            return bytes(self.files.cat_file(f"{self.root}/{path}", start=start, end=end))

    def write(self, path: str, content: bytes | Path) -> None:
        """Let `path` hold the content; see `Transport`."""
        with _explained(path, may_lack=False):
            if isinstance(content, Path) and content.stat().st_size > _PUT_AT_ONCE_BYTES:
                self.files.put_file(str(content), f"{self.root}/{path}")
            else:
                self.files.pipe_file(f"{self.root}/{path}", b"".join(_parts(content)))

    def create(self, path: str, content: bytes) -> bool:
        """Write what is not there yet, by a conditional put; see `Transport`.

        An answer may be lost on its way, and drivers say "it is there" in several ways; so after any error the object
        is read, and whose content it holds decides. Two writers must therefore never create the same content.
        """
        try:
            with _CREATING:  # what is in the memory of this process has no conditional put
                self.files.pipe_file(f"{self.root}/{path}", content, mode="create")
        except FileExistsError:
            return False
        except Exception as error:
            if (found := self._read_if_there(path)) is None:
                raise _failed(path, error) from error
            is_ours = found == content
        else:
            is_ours = True
        return is_ours

    def _read_if_there(self, path: str) -> bytes | None:
        try:
            return self.read(path)
        except FileNotFoundError:
            return None


def open_transport(url: str) -> Transport:
    """Return the way to the remote at a URL that `settings.check_url` has let through.

    Raises:
        BadRemoteError: the package for this kind of store is not installed.
    """
    protocol, separator, path = url.partition("://")
    if not separator or protocol == "file":
        return FolderTransport(Path(path if separator else url))
    try:
        files, root = url_to_fs(url)
    except ImportError as error:
        package = _PACKAGES.get(protocol, "fsspec")
        raise BadRemoteError(
            f"{protocol}:// needs the package {package}, which is not installed.",
            hint=f"Run: pip install {package}",
            url=url,
        ) from error
    except Exception as error:
        raise _failed(url, error) from error
    return ObjectTransport(files, str(root).rstrip("/"))


_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


@contextlib.contextmanager
def _explained(path: str, *, may_lack: bool = True) -> Iterator[None]:
    """Turn whatever a driver raises into `RemoteError`, but for a file that may be not there."""
    try:
        yield
    except FileNotFoundError as error:
        if not may_lack:
            raise _failed(path, error) from error
        raise
    except Exception as error:  # each driver has a tree of errors of its own, and not all are an OSError
        raise _failed(path, error) from error


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _failed(path: str, error: Exception) -> RemoteError:
    return RemoteError(f"The remote failed at {path}: {type(error).__name__}: {error}", path=path)


def _parts(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as stream:
        while part := stream.read(_COPY_BYTES):
            yield part
