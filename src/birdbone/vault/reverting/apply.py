"""Making a planned revert: a new version on the ref, never a history rewritten.

Where the result is what an earlier version held, that version's artefact is committed again, so the ref is byte-equal
to it and its figures, which were taken on that very artefact, come along. Otherwise a new artefact is composed of the
entries of both manifests; of it nothing is measured yet, and the version says nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from birdbone.vault.folder import Vault
from birdbone.vault.history.commits import commit
from birdbone.vault.recompose import TensorContent, recompose
from birdbone.vault.records import Lineage, TensorEntry, Version
from birdbone.vault.refs.lookup import read_manifest, read_version
from birdbone.vault.reverting.masks import Conflicts, OnlyMask, return_mask
from birdbone.vault.reverting.plan import MaskedTensor, RevertPlan, TensorReturn, plan_revert
from birdbone.vault.reverting.preview import name_some, short
from birdbone.vault.reverting.selection import ExpertChoice, LayerChoice, Selection


def revert(
    vault: Vault,
    ref: str,
    *,
    undo: str | None = None,
    to: str | None = None,
    tensors: Sequence[str] = (),
    layers: Sequence[LayerChoice] = (),
    experts: Sequence[ExpertChoice] = (),
    files: Sequence[str] = (),
    only_mask: OnlyMask | None = None,
    on_conflict: Conflicts = "refuse",
    message: str = "",
    author: str | None = None,
    time: dt.datetime | None = None,
) -> Version:
    """Return the new version on `ref` that undoes a version, or brings back an earlier one, as a whole or in part.

    Args:
        undo: a version, or `A..B`; later changes stay (see `plan_revert`).
        to: a version of the ref's history. Exactly one of the two is given.
        tensors: shell patterns. Selectors narrow each other; none of the four: everything.
        layers: numbers, ranges, or text such as `4-7`.
        experts: numbers or dotted parts of names.
        files: shell patterns over files that are no checkpoints.
        only_mask: `values` gives back what was zeroed, `zeros` zeroes again what had been zero (see `masks`).
        on_conflict: what to do with names that a later version changed too: `refuse`, `keep` theirs or `take` the old.
        message: why; what was reverted is written below it.
        author: who.
        time: when; now, unless somebody says otherwise.

    Raises:
        BadRevertError, NothingToRevertError, RevertConflictError: as `plan_revert` does.
        RefConflictError: the ref moved meanwhile; it stays where it was moved to.
    """
    selection = Selection(tensors=tuple(tensors), layers=tuple(layers), experts=tuple(experts), files=tuple(files))
    plan = plan_revert(vault, ref, undo=undo, to=to, selection=selection, only_mask=only_mask, on_conflict=on_conflict)
    return apply_plan(vault, plan, message=message, author=author, time=time)


def apply_plan(
    vault: Vault,
    plan: RevertPlan,
    *,
    message: str = "",
    author: str | None = None,
    lineage: Lineage | None = None,
    time: dt.datetime | None = None,
) -> Version:
    """Return the version that a plan makes, after its ref moved there.

    Args:
        lineage: what makes the revert, if a schedule or the engine does: the same one makes it only once.

    Raises:
        RefConflictError: the ref no longer points at the version that the plan was made for.
    """
    measurements: Sequence[Mapping[str, Any]] = ()
    if plan.equals is not None:
        source = read_version(vault, plan.equals)
        artefact, measurements = source.artefact, source.measurements
    else:
        artefact = recompose(vault, plan.tip, tensors=_changes(vault, plan), files=dict(plan.files))
    return commit(
        vault,
        artefact,
        ref=plan.ref,
        message=_message(plan, message),
        parents=[plan.tip],
        measurements=measurements,
        lineage=lineage,
        author=author,
        time=time,
    )


def _changes(vault: Vault, plan: RevertPlan) -> dict[str, TensorEntry | TensorContent | None]:
    """Return the changes as `recompose` wants them: a tensor that comes back is told to which file it belongs."""
    known = read_manifest(vault, plan.tip).tensors()
    old_files = read_manifest(vault, plan.target).files
    homes = {entry.name: file.path for file in old_files if file.layout == "safetensors" for entry in file.tensors}
    return {
        name if name in known or name not in homes else f"{homes[name]}::{name}": _change(vault, plan, change)
        for name, change in plan.tensors.items()
    }


def _change(vault: Vault, plan: RevertPlan, change: TensorReturn) -> TensorEntry | TensorContent | None:
    if not isinstance(change, MaskedTensor):
        return change
    made = return_mask(vault, change.old, change.base, change.tip, only=change.only, take=plan.on_conflict == "take")
    return TensorContent(dtype=change.tip.dtype, shape=change.tip.shape, content=made.content)


def _message(plan: RevertPlan, message: str) -> str:
    what = f"Undo {_range(plan)}" if plan.is_undo else f"Go back to {short(plan.target)}"
    lines = [f"{what}{_scope(plan)}"]
    if plan.tensors:
        lines.append(f"Tensors ({len(plan.tensors)}): {name_some(plan.tensors)}")
    if plan.files:
        lines.append(f"Files ({len(plan.files)}): {name_some(plan.files)}")
    if plan.conflicts:
        verb = "kept as the later version has them" if plan.on_conflict == "keep" else "taken from the old version"
        lines.append(f"Changed later too, {verb}: {name_some(plan.conflicts)}")
    lines.append(f"Reverted-to: {plan.target}")
    return "\n".join([*([message, ""] if message else []), *lines])


def _range(plan: RevertPlan) -> str:
    newest = short(plan.undone[0])
    return newest if len(plan.undone) == 1 else f"{short(plan.target)}..{newest}"


def _scope(plan: RevertPlan) -> str:
    if plan.only_mask is not None:
        return {"values": ": what its mask had zeroed", "zeros": ": what had been zero"}[plan.only_mask]
    return "" if plan.selection.is_whole else " in part"
