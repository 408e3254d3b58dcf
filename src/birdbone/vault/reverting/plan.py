"""What a revert would do, worked out without writing anything.

Every revert is a three-way affair between the state that comes back (old), the state right after what is undone (base),
and the tip. A name that is alike in old and base was not touched by what is undone and is left alone. Where the tip is
still base, old comes back; where the tip already is old, nothing is to do; anything else was changed again later and is
a conflict. Going back *to* a version is the case base = tip, which has no conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from birdbone.core.digest import digest_bytes
from birdbone.vault.errors import BadRevertError, NothingToRevertError, RevertConflictError, UnknownNameError
from birdbone.vault.folder import Vault
from birdbone.vault.history.commits import log
from birdbone.vault.records import Manifest, PlainFile, TensorEntry, Version
from birdbone.vault.refs.lookup import read_manifest, read_version, resolve
from birdbone.vault.refs.refs import read_ref, ref_target
from birdbone.vault.reverting.masks import Conflicts, OnlyMask, can_return_mask, return_mask
from birdbone.vault.reverting.selection import Selection, select_files, select_tensors

_RANGE = ".."


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedTensor:
    """A tensor that keeps its values but for some positions: the entries it is made of, and what it comes to."""

    old: TensorEntry
    base: TensorEntry
    tip: TensorEntry
    only: OnlyMask
    digest: str
    num_returned: int
    num_conflicts: int


TensorReturn = TensorEntry | MaskedTensor | None
"""What a tensor becomes: an entry of an older manifest, the tip's with positions put back, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertPlan:
    """A revert that is worked out and not yet made. It holds only while its ref still points at `tip`."""

    ref: str
    tip: str
    target: str
    """The version whose state comes back."""
    undone: tuple[str, ...]
    """The versions whose changes are undone, newest first."""
    is_undo: bool
    """Whether later changes are kept (`undo`), or the state of `target` was asked for (`to`)."""
    selection: Selection
    only_mask: OnlyMask | None
    tensors: Mapping[str, TensorReturn]
    """Each tensor that changes, and what it becomes."""
    files: Mapping[str, PlainFile | None]
    """Each other file that changes, and what it becomes."""
    conflicts: tuple[str, ...]
    """Names that a later version changed too."""
    on_conflict: Conflicts
    equals: str | None
    """The newest version of the ref's history that has exactly the resulting content, if one has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _States:
    old: Manifest
    base: Manifest
    tip: Manifest


def plan_revert(
    vault: Vault,
    ref: str,
    *,
    undo: str | None = None,
    to: str | None = None,
    selection: Selection | None = None,
    only_mask: OnlyMask | None = None,
    on_conflict: Conflicts = "refuse",
) -> RevertPlan:
    """Return what a revert would do; nothing is written. Tensor bytes are read only for `only_mask`.

    Args:
        undo: a version whose changes are to go while later ones stay, or `A..B`: all after A up to B. A merge is
            undone against its first parent.
        to: a version of the ref's history whose state is to come back. Exactly one of `undo` and `to` is given.
        selection: what the revert is limited to; None: everything.
        only_mask: `values` or `zeros`, see `masks`; files other than checkpoints then stay as they are.
        on_conflict: `refuse` to go on, `keep` what the later version made, or `take` the old state all the same.

    Raises:
        BadRevertError: the versions are not in the ref's history, or a selector matches nothing.
        NothingToRevertError: the result would be what the ref holds.
        RevertConflictError: a later version changed the same names and `on_conflict` is `refuse`.
    """
    full = ref_target(vault, ref)
    tip = read_ref(vault, full)
    if tip is None:
        raise UnknownNameError(f"There is no ref {full}.", name=full)
    history = log(vault, tip)
    old, base, undone = _find_states(vault, history, undo=undo, to=to)
    manifests = [read_manifest(vault, version.artefact) for version in (old, base, history[0])]
    states = _States(old=manifests[0], base=manifests[1], tip=manifests[2])
    chosen = selection or Selection()
    is_exact = chosen.is_whole and only_mask is None and base.artefact == history[0].artefact
    if not is_exact:
        _check_checkpoints(states, is_whole=chosen.is_whole and only_mask is None)
    tensors, tensor_conflicts = _return_tensors(vault, states, chosen, only_mask=only_mask, on_conflict=on_conflict)
    files, file_conflicts = _return_files(states, chosen, only_mask=only_mask, on_conflict=on_conflict)
    conflicts = (*tensor_conflicts, *file_conflicts)
    if conflicts and on_conflict == "refuse":
        raise RevertConflictError(_conflict_words(conflicts), ref=full, names=list(conflicts))
    if not tensors and not files and not (is_exact and old.artefact != history[0].artefact):
        raise NothingToRevertError(f"{full} would stay as it is.", ref=full, conflicts=list(conflicts))
    return RevertPlan(
        ref=full,
        tip=tip,
        target=old.id,
        undone=undone,
        is_undo=undo is not None,
        selection=chosen,
        only_mask=only_mask,
        tensors=tensors,
        files=files,
        conflicts=conflicts,
        on_conflict=on_conflict,
        equals=old.id if is_exact else _find_equal(vault, history, states, tensors, files, first=old),
    )


def _find_states(
    vault: Vault, history: list[Version], *, undo: str | None, to: str | None
) -> tuple[Version, Version, tuple[str, ...]]:
    """Return the old and the base version, and the ids of what only the base's history has."""
    if (undo is None) == (to is None):
        raise BadRevertError("Give either the version to undo or the version to go back to.")
    if undo is None:
        base, old_id = history[0], resolve(vault, str(to))
        _in_history(history, old_id, name=str(to))
    else:
        start, separator, end = undo.rpartition(_RANGE)
        base = _in_history(history, resolve(vault, end), name=end)
        old_id = resolve(vault, start) if separator else _first_parent(base)
    before = {version.id for version in log(vault, old_id)}
    since = [version.id for version in log(vault, base.id)]
    if old_id not in since or (undo is not None and old_id == base.id):
        raise BadRevertError(f"{old_id} does not come before {base.id}.", undo=undo)
    return read_version(vault, old_id), base, tuple(version for version in since if version not in before)


def _in_history(history: list[Version], version: str, *, name: str) -> Version:
    for known in history:
        if known.id == version:
            return known
    raise BadRevertError(f"{name} is not in the history of the ref.", version=version)


def _first_parent(version: Version) -> str:
    if not version.parents:
        raise BadRevertError(
            f"{version.id} is the first version: before it there is nothing to go back to.",
            hint="Go back to a version, or undo a later one.",
        )
    return version.parents[0]


def _check_checkpoints(states: _States, *, is_whole: bool) -> None:
    """Refuse what cannot be put back tensor by tensor: a checkpoint file as such, and its metadata."""
    if _metadata(states.old).keys() != _metadata(states.tip).keys():
        raise BadRevertError(
            "The checkpoint files themselves differ between the versions.",
            hint="Go back to the version as a whole; a tensor cannot be moved between files here.",
        )
    if is_whole and _metadata(states.old) != _metadata(states.base):
        raise BadRevertError(
            "What is to be undone changed the metadata of a checkpoint, and later versions stand on it.",
            hint="Name tensors and files (`*` for all of them): the metadata then stays as it is.",
        )


def _metadata(manifest: Manifest) -> dict[str, dict[str, str]]:
    return {file.path: file.metadata for file in manifest.files if file.layout == "safetensors"}


def _return_tensors(
    vault: Vault, states: _States, selection: Selection, *, only_mask: OnlyMask | None, on_conflict: Conflicts
) -> tuple[dict[str, TensorReturn], list[str]]:
    old, base, tip = states.old.tensors(), states.base.tensors(), states.tip.tensors()
    chosen = select_tensors(selection, old.keys() | base.keys() | tip.keys())
    if only_mask is None:
        return _three_way(old, base, tip, chosen, same=_tensor_mark, on_conflict=on_conflict)
    found: dict[str, TensorReturn] = {}
    conflicts = []
    for name in sorted(chosen):
        entries = old.get(name), base.get(name), tip.get(name)
        if _tensor_mark(entries[0]) == _tensor_mark(entries[1]):
            continue
        if not can_return_mask(*entries):
            raise BadRevertError(
                f"{name} is not alike enough in both versions to put back only its mask.",
                hint="Leave it out, or revert it whole.",
                name=name,
            )
        masked = _mask(vault, *entries, only=only_mask, take=on_conflict == "take")  # type: ignore[arg-type]
        if masked.num_conflicts:
            conflicts.append(name)
        if masked.num_returned:
            found[name] = masked
    return found, conflicts


def _mask(
    vault: Vault, old: TensorEntry, base: TensorEntry, tip: TensorEntry, *, only: OnlyMask, take: bool
) -> MaskedTensor:
    made = return_mask(vault, old, base, tip, only=only, take=take)
    return MaskedTensor(
        old=old,
        base=base,
        tip=tip,
        only=only,
        digest=digest_bytes(made.content),
        num_returned=made.num_returned,
        num_conflicts=made.num_conflicts,
    )


def _return_files(
    states: _States, selection: Selection, *, only_mask: OnlyMask | None, on_conflict: Conflicts
) -> tuple[dict[str, PlainFile | None], list[str]]:
    old, base, tip = _plain_files(states.old), _plain_files(states.base), _plain_files(states.tip)
    if only_mask is not None and not selection.files:
        return {}, []
    chosen = select_files(selection, old.keys() | base.keys() | tip.keys())
    return _three_way(old, base, tip, chosen, same=_file_mark, on_conflict=on_conflict)


def _three_way(
    old: Mapping[str, Any],
    base: Mapping[str, Any],
    tip: Mapping[str, Any],
    names: frozenset[str],
    *,
    same: Callable[[Any], Any],
    on_conflict: Conflicts,
) -> tuple[dict[str, Any], list[str]]:
    found, conflicts = {}, []
    for name in sorted(names):
        was, then, now = same(old.get(name)), same(base.get(name)), same(tip.get(name))
        if was in (then, now):
            continue
        if then != now:
            conflicts.append(name)
        if then == now or on_conflict == "take":
            found[name] = old.get(name)
    return found, conflicts


def _plain_files(manifest: Manifest) -> dict[str, PlainFile]:
    return {file.path: file for file in manifest.files if file.layout == "file"}


def _tensor_mark(entry: TensorEntry | MaskedTensor | None) -> tuple[Any, ...] | None:
    if isinstance(entry, MaskedTensor):
        return (entry.digest, entry.tip.dtype, entry.tip.shape)
    return None if entry is None else (entry.digest, entry.dtype, entry.shape)


def _file_mark(file: PlainFile | None) -> str | None:
    return None if file is None else file.digest


def _find_equal(
    vault: Vault,
    history: list[Version],
    states: _States,
    tensors: Mapping[str, TensorReturn],
    files: Mapping[str, PlainFile | None],
    *,
    first: Version,
) -> str | None:
    result = (
        _marks({**states.tip.tensors(), **tensors}, _tensor_mark),
        _marks({**_plain_files(states.tip), **files}, _file_mark),
        _metadata(states.tip),
    )
    for version in (first, *history):
        manifest = read_manifest(vault, version.artefact)
        known = (
            _marks(manifest.tensors(), _tensor_mark),
            _marks(_plain_files(manifest), _file_mark),
            _metadata(manifest),
        )
        if known == result:
            return version.id
    return None


def _marks(entries: Mapping[str, Any], mark: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: found for name, entry in entries.items() if (found := mark(entry)) is not None}


def _conflict_words(conflicts: tuple[str, ...]) -> str:
    return f"{len(conflicts)} of the names were changed again later: {', '.join(conflicts)}."
