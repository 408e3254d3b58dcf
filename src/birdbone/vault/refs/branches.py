"""Branches, tags and `switch`, with git's meanings. Nothing here touches a folder of files: `checkout` writes those."""

from __future__ import annotations

from dataclasses import dataclass

from birdbone.vault.ancestry import walk_ancestors
from birdbone.vault.errors import (
    BranchInUseError,
    NotABranchError,
    RefConflictError,
    UnknownNameError,
    UnmergedBranchError,
)
from birdbone.vault.folder import Vault, hold_lock
from birdbone.vault.names import BRANCHES, HEAD, TAGS, full_ref_name
from birdbone.vault.refs.lookup import resolve
from birdbone.vault.refs.permissions import check_move, identify
from birdbone.vault.refs.refs import drop_ref, point_head, read_head, read_head_before, read_ref, refs, swap_ref

_PREVIOUS = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A branch: its short name, the version it points at, and whether `HEAD` stands for it."""

    name: str
    version: str
    is_current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag: its short name and the version it stands for."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What `HEAD` stands for: a branch (short name; None if it is detached) and a version (None if there is none)."""

    branch: str | None
    version: str | None


def describe_head(vault: Vault) -> Head:
    """Return what `HEAD` stands for."""
    full = read_head(vault)
    return Head(branch=None if full == HEAD else full.removeprefix(BRANCHES), version=read_ref(vault, HEAD))


def list_branches(vault: Vault) -> list[Branch]:
    """Return all branches by name."""
    head = read_head(vault)
    return [
        Branch(name=full.removeprefix(BRANCHES), version=version, is_current=full == head)
        for full, version in refs(vault).items()
        if full.startswith(BRANCHES)
    ]


def list_tags(vault: Vault) -> list[Tag]:
    """Return all tags by name."""
    found = refs(vault).items()
    return [Tag(name=full.removeprefix(TAGS), version=version) for full, version in found if full.startswith(TAGS)]


def create_branch(vault: Vault, name: str, *, at: str = HEAD, force: bool = False, author: str | None = None) -> Branch:
    """Return the new branch `name` at the version that `at` means.

    Args:
        force: if there is a branch of this name, move it.

    Raises:
        RefConflictError: there is a branch of this name.
        BranchInUseError: it is to be moved, and `HEAD` stands for it.
        UnknownNameError: nothing is called `at`.
        AccessDeniedError, ProtectedRefError: the identity may not do this.
    """
    full, version = _branch(name), resolve(vault, at)
    with hold_lock(vault):
        if force and read_head(vault) == full and read_ref(vault, full) is not None:
            raise BranchInUseError(f"HEAD stands for {full}.", ref=full)
        swap_ref(
            vault,
            full,
            version,
            expected=... if force else None,
            reason=f"branch: at {at}",
            author=author,
            force=force,
        )
    return Branch(name=name, version=version, is_current=read_head(vault) == full)


def rename_branch(vault: Vault, old: str, new: str, *, force: bool = False, author: str | None = None) -> None:
    """Give the branch `old` the name `new`; `HEAD` goes with it. A crash in between leaves both names, never none.

    Args:
        force: if there is a branch `new`, move it; say so too if `old` is protected.

    Raises:
        UnknownNameError: there is no branch `old`.
        RefConflictError: there is a branch `new`.
        AccessDeniedError, ProtectedRefError: the identity may not take away `old` or make `new`.
    """
    source, target = _branch(old), _branch(new)
    reason = f"branch: renamed from {old} to {new}"
    with hold_lock(vault):
        version = read_ref(vault, source)
        if version is None:
            raise UnknownNameError(f"There is no branch {old!r}.", name=old)
        if source == target:
            return
        check_move(vault, source, old=version, new=None, identity=identify(author), force=force)
        expected = ... if force else None
        swap_ref(vault, target, version, expected=expected, reason=reason, author=author, force=force)
        if read_head(vault) == source:
            point_head(vault, target, author=author)
        drop_ref(vault, source, expected=version, reason=reason, author=author, force=force)


def delete_branch(vault: Vault, name: str, *, force: bool = False, author: str | None = None) -> str:
    """Return the version that the branch pointed at, after the branch was taken away.

    Args:
        force: even if no other ref reaches all its versions, or, as an admin, if it is protected.

    Raises:
        UnknownNameError: there is no such branch.
        BranchInUseError: `HEAD` stands for it.
        UnmergedBranchError: no other ref, and not `HEAD`, reaches its version.
        AccessDeniedError, ProtectedRefError: the identity may not do this.
    """
    full = _branch(name)
    with hold_lock(vault):
        version = read_ref(vault, full)
        if version is None:
            raise UnknownNameError(f"There is no branch {name!r}.", name=name)
        if read_head(vault) == full:
            raise BranchInUseError(f"HEAD stands for {full}.", ref=full)
        if not force and not _is_reached_without(vault, full, version):
            raise UnmergedBranchError(
                f"No other ref reaches {version}, where {full} points.", ref=full, version=version
            )
        drop_ref(vault, full, expected=version, reason="branch: deleted", author=author, force=force)
    return version


def create_tag(vault: Vault, name: str, *, at: str = HEAD, force: bool = False, author: str | None = None) -> Tag:
    """Return the new tag `name` at the version that `at` means. A tag is never moved unless that is forced.

    Raises:
        TagExistsError: it stands for another version; the same one again is no error.
        UnknownNameError: nothing is called `at`.
        AccessDeniedError, ProtectedRefError: the identity may not do this.
    """
    full, version = _tag(name), resolve(vault, at)
    with hold_lock(vault):
        swap_ref(vault, full, version, expected=..., reason=f"tag: at {at}", author=author, force=force)
    return Tag(name=full.removeprefix(TAGS), version=version)


def delete_tag(vault: Vault, name: str, *, force: bool = False, author: str | None = None) -> str:
    """Return the version that the tag stood for, after the tag was taken away.

    Raises:
        UnknownNameError: there is no such tag.
        AccessDeniedError, ProtectedRefError: the identity may not do this.
    """
    full = _tag(name)
    with hold_lock(vault):
        version = read_ref(vault, full)
        if version is None:
            raise UnknownNameError(f"There is no tag {name!r}.", name=name)
        drop_ref(vault, full, expected=version, reason="tag: deleted", author=author, force=force)
    return version


def switch(
    vault: Vault,
    target: str,
    *,
    create: bool = False,
    at: str = HEAD,
    detach: bool = False,
    author: str | None = None,
) -> Head:
    """Return what `HEAD` stands for, after it was told to stand for `target`.

    Args:
        target: a branch; `-` for what `HEAD` stood for before; with `detach` the name of any version.
        create: make the branch first, at `at`. In a store without versions it is made by its first commit.

    Raises:
        NotABranchError: a tag or a version is called so, and no branch.
        UnknownNameError: nothing is called so.
        RefConflictError: the branch to be made is there already.
        AccessDeniedError: the identity may not read the branch, or not make it.
    """
    with hold_lock(vault):
        point_head(
            vault, _find_target(vault, target, create=create, at=at, detach=detach, author=author), author=author
        )
        return describe_head(vault)


def _find_target(vault: Vault, target: str, *, create: bool, at: str, detach: bool, author: str | None) -> str:
    if target == _PREVIOUS:
        before = read_head_before(vault, 1)
        if before is None:
            raise UnknownNameError("HEAD stood for nothing else before.", name=target)
        return before
    if detach:
        return resolve(vault, target)
    full = _branch(target)
    if create:
        _make_branch(vault, full, at=at, author=author)
    elif read_ref(vault, full) is None:
        resolve(vault, target)  # if this is unknown too, that is the error to be shown
        raise NotABranchError(f"{target!r} is not a branch.", name=target)
    return full


def _make_branch(vault: Vault, full: str, *, at: str, author: str | None) -> None:
    if at != HEAD or read_ref(vault, HEAD) is not None:
        swap_ref(vault, full, resolve(vault, at), expected=None, reason=f"branch: at {at}", author=author)
    elif (found := read_ref(vault, full)) is not None:
        raise RefConflictError(f"{full} is there already.", ref=full, expected=None, found=found)


def _is_reached_without(vault: Vault, full: str, version: str) -> bool:
    others = {other for ref, other in refs(vault).items() if ref != full}
    head = read_ref(vault, HEAD)
    starts = others | ({head} if head else set())
    return any(found == version for found in walk_ancestors(vault, *sorted(starts)))


def _branch(name: str) -> str:
    full = full_ref_name(name)
    if not full.startswith(BRANCHES):
        raise NotABranchError(f"{name!r} is not the name of a branch.", name=name)
    return full


def _tag(name: str) -> str:
    return full_ref_name(name if name.startswith(TAGS) else TAGS + name)
