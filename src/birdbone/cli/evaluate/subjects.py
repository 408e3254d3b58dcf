"""What a person named to `eval`, by all its names: a file, a folder, a hub id, a service, or a version of the vault."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from birdbone.cli.evaluate.naming import find_vault, find_version, ref_called
from birdbone.cli.vault.work import compare_work, open_work
from birdbone.core import BirdboneError
from birdbone.evaluate.benchmarks.opening import Candidate, Service
from birdbone.evaluate.history import Subject
from birdbone.vault import Vault, checkout, read_head, refs

Find = Callable[[str], Candidate | Service]
Opened = tuple[Candidate | Service, Subject]
"""What is to be judged, and its names."""


@contextmanager
def open_subject(model: str, find: Find) -> Iterator[Opened]:
    """Give what is to be judged and its names; a version of the vault is checked out for as long as that takes.

    Args:
        model: as a person wrote it. A file or folder of that name wins over a ref or version.
        find: gives what is to be judged of a path, a hub id or an address.

    Raises:
        what `find` does, and VaultError: a version cannot be checked out.
    """
    path = Path(model).expanduser()
    kept = None if path.exists() or "://" in model else find_version(model)
    if kept is None:
        candidate = find(model)
        yield candidate, _subject_of_path(path, candidate) if path.exists() else _subject_elsewhere(model, candidate)
        return
    vault, version = kept
    with open_version(vault, version, find, name=model, ref=ref_called(vault, model)) as opened:
        yield opened


@contextmanager
def open_version(vault: Vault, version: str, find: Find, *, name: str, ref: str | None) -> Iterator[Opened]:
    """Give a version of the vault, checked out for as long as it is judged.

    Args:
        version: its id.
        find: gives what is to be judged of a path.
        name: what the history calls the model.
        ref: full name of the ref that points at it, if one does.

    Raises:
        what `find` does, and VaultError: it cannot be checked out.
    """
    with tempfile.TemporaryDirectory(dir=vault.folder, prefix="judged-") as folder:
        candidate = find(str(_model_in(checkout(vault, version, Path(folder) / "model"))))
        yield candidate, Subject(model=name, artefact=candidate.artefact, version=version, ref=ref)


def _model_in(folder: Path) -> Path:
    """Return the one GGUF file of a folder without other weights, else the folder."""
    files = sorted(folder.glob("*.gguf"))
    return files[0] if len(files) == 1 and not any(folder.glob("*.safetensors")) else folder


def _subject_elsewhere(model: str, candidate: Candidate | Service) -> Subject:
    return Subject(model=candidate.name if "://" in model else model, artefact=candidate.artefact)


def _subject_of_path(path: Path, candidate: Candidate | Service) -> Subject:
    version, ref = _version_of_work(path)
    return Subject(model=path.resolve().name, artefact=candidate.artefact, version=version, ref=ref)


def _version_of_work(path: Path) -> tuple[str | None, str | None]:
    """Return the version whose files lie in `path`, unchanged, and the ref that points at it, if there are such."""
    if find_vault() is None:
        return None, None
    try:
        work = open_work(path)
        if work.state is None or compare_work(work, work.state.version).changes:
            return None, None
    except (BirdboneError, OSError):
        return None, None  # no work folder, or none that can be read: the model is judged all the same
    version, head = work.state.version, read_head(work.vault)
    return version, head if refs(work.vault).get(head) == version else None
