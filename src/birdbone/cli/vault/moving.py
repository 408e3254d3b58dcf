"""Moving HEAD together with the files of the work folder, so that neither is ever ahead of the other unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from birdbone.cli.vault.telling import busy, short_digest
from birdbone.cli.vault.work import (
    Work,
    bring,
    check_clean,
    check_nothing_lost,
    compare_work,
    has_work,
    lost_files,
    open_store,
    open_work,
)
from birdbone.core import Workspace
from birdbone.vault.artefacts import checkout
from birdbone.vault.errors import BadNameError, NotABranchError, UnknownNameError
from birdbone.vault.folder import Vault, open_vault
from birdbone.vault.names import BRANCHES, HEAD
from birdbone.vault.refs.branches import describe_head, switch
from birdbone.vault.refs.lookup import read_manifest, resolve
from birdbone.vault.refs.refs import read_head, read_head_before, read_ref

_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Where `HEAD` and the files are now. `num_files` were written or removed; None where there is no work folder."""

    branch: str | None
    version: str | None
    folder: str | None
    num_files: int | None
    is_dry_run: bool = False

    def in_words(self) -> str:
        """Return it in a line."""
        where = f"on branch {self.branch}" if self.branch else f"HEAD is detached at {short_digest(self.version or '')}"
        if self.num_files is None:
            return f"{where}; no file was touched"
        count = f"{self.num_files} file{'' if self.num_files == 1 else 's'}"
        if self.is_dry_run:
            return f"would be {where}; {count} in {self.folder} would be written or removed"
        if not self.num_files:
            return f"{where}; the files in {self.folder} are the same"
        return f"{where}; {count} in {self.folder} written or removed"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedOut:
    """A folder that was written."""

    version: str
    folder: str
    num_files: int
    size_bytes: int
    is_dry_run: bool

    def in_words(self) -> str:
        """Return it in a line."""
        return f"would write {self.num_files} files to {self.folder}" if self.is_dry_run else self.folder

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def check_out(name: str, destination: Path | None, *, force: bool, is_dry_run: bool) -> CheckedOut | Moved:
    """Return what was written: a new folder, or, where none is named, the work folder, which HEAD goes along with."""
    if destination is None:
        return check_out_here(name, force=force, is_dry_run=is_dry_run)
    return check_out_into(name, destination, is_dry_run=is_dry_run)


def check_out_into(name: str, destination: Path, *, is_dry_run: bool) -> CheckedOut:
    """Return the new folder that holds the files of `name`; `HEAD` stays. Raises what `checkout` does."""
    vault = open_store()
    manifest = read_manifest(vault, name)
    if not is_dry_run:
        with busy(f"writing {destination}"):
            checkout(vault, name, destination)
    return CheckedOut(
        version=name,
        folder=str(destination),
        num_files=len(manifest.files),
        size_bytes=manifest.size_bytes,
        is_dry_run=is_dry_run,
    )


def check_out_here(name: str, *, force: bool, is_dry_run: bool) -> Moved:
    """Return where `HEAD` and the files are, after both went to `name`: its branch, or, detached, its version.

    Raises:
        WorkChangedError: files would be lost, and that was not forced.
        UnknownNameError: nothing is called so.
    """
    work = open_work()
    version = resolve(work.vault, name)
    if not force:
        check_nothing_lost(work, version)
    branch = _branch_called(work.vault, name)
    if is_dry_run:
        return _moved(work, branch=branch, version=version, num_files=_num_stale(work, version), is_dry_run=True)
    if name not in (HEAD, "@"):
        switch(work.vault, branch or version, detach=branch is None)
    with busy(f"writing {work.folder}"):
        num_files = bring(work, version)
    head = describe_head(work.vault)
    return _moved(work, branch=head.branch, version=head.version, num_files=num_files)


def switch_with_files(target: str, *, create: bool, at: str, detach: bool, force: bool) -> Moved:
    """Return where `HEAD` and the files are, after `HEAD` was told to stand for `target`.

    Where there is no work folder, only `HEAD` moves. Raises what `switch` and `check_nothing_lost` do.
    """
    work = open_work()
    version = _version_of(work.vault, at if create else target)
    follows = has_work(work) and version is not None
    if follows and version and not force:
        check_nothing_lost(work, version)
    head = switch(work.vault, target, create=create, at=at, detach=detach)
    num_files = bring(work, version) if follows and version else None
    return _moved(work, branch=head.branch, version=head.version, num_files=num_files)


def with_files(ref: str, change: Callable[[Vault], _Done]) -> tuple[_Done, Moved | None]:
    """Return what `change` gave after it moved `ref`, and where the files are, if they had to follow.

    Raises:
        WorkChangedError: `HEAD` stands for `ref`, and the work folder has changes that are not committed; nothing was
            done.
    """
    work = open_work()
    follows = has_work(work) and ref in (HEAD, "@", read_head(work.vault), read_head(work.vault)[len(BRANCHES) :])
    if follows:
        check_clean(work)
    done = change(work.vault)
    head = describe_head(work.vault)
    if not follows or head.version is None:
        return done, None
    if lost_files(work, head.version):
        return done, _moved(work, branch=head.branch, version=head.version, num_files=None)
    return done, _moved(work, branch=head.branch, version=head.version, num_files=bring(work, head.version))


def bring_head(workspace: Workspace) -> Moved:
    """Return where the files are, after those of `HEAD` were written to the folder of a new workspace."""
    vault = open_vault(workspace.vault_folder)
    work = Work(workspace=workspace, vault=vault, folder=workspace.folder.parent, only=None, state=None)
    head = describe_head(vault)
    version = resolve(vault, HEAD)
    check_nothing_lost(work, version)
    return _moved(work, branch=head.branch, version=version, num_files=bring(work, version))


def _moved(
    work: Work, *, branch: str | None, version: str | None, num_files: int | None, is_dry_run: bool = False
) -> Moved:
    return Moved(
        branch=branch,
        version=version,
        folder=None if num_files is None else str(work.folder),
        num_files=num_files,
        is_dry_run=is_dry_run,
    )


def _num_stale(work: Work, version: str) -> int:
    return sum(change.change != "new" for change in compare_work(work, version).changes)


def _branch_called(vault: Vault, name: str) -> str | None:
    """Return the short name of the branch that `name` is; None if it is a tag, a version or has steps."""
    if name in (HEAD, "@"):
        return describe_head(vault).branch
    if name.startswith("refs/") and not name.startswith(BRANCHES):
        return None
    try:
        found = read_ref(vault, name)
    except BadNameError:
        return None  # it has steps, or is a digest
    return name.removeprefix(BRANCHES) if found is not None and found == resolve(vault, name) else None


def _version_of(vault: Vault, name: str) -> str | None:
    if name == "-":
        before = read_head_before(vault, 1)
        name = before or HEAD
    try:
        return resolve(vault, name)
    except (UnknownNameError, NotABranchError):
        return None  # `switch` says so better, or makes the branch
