"""Merging two versions: what one side changed is taken, what both changed differently needs a named strategy.

Nothing is chosen silently. A strategy is asked for conflicts only; a conflict that no strategy settles stops the merge
before anything is written; and the result tells of every tensor, file and key where it came from. The message of a
merge's version ends with a line that names the strategies and what each settled:

    Birdbone-Merge: {"bases":["b3:…"],"settled":{"linear:weight=0.5":["model.norm.weight"]}}
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from birdbone.vault.ancestry import lowest_common_ancestors
from birdbone.vault.errors import MergeConflictError, UnmergeableError
from birdbone.vault.folder import Vault
from birdbone.vault.history.commits import commit
from birdbone.vault.merging.blocks import Array
from birdbone.vault.merging.changes import Change, State, What
from birdbone.vault.merging.json_keys import join
from birdbone.vault.merging.plan import MergePlan, MetadataChange, TensorChange, plan_merge
from birdbone.vault.merging.strategies import (
    Arithmetic,
    StrategyRule,
    TakeAncestor,
    TakeOne,
    TakeOurs,
    TakeTheirs,
    describe,
    is_over_base,
    merge_by,
    parse_strategies,
)
from birdbone.vault.recompose import TensorContent, recompose
from birdbone.vault.records import PlainFile, TensorEntry
from birdbone.vault.refs.lookup import read_manifest, read_version, resolve, resolve_artefact
from birdbone.vault.refs.refs import move_ref, ref_target
from birdbone.vault.store.objects import read_object

Side = Literal["ours", "theirs"]

TRAILER = "Birdbone-Merge: "
_ARRAYS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_NUM_NAMED = 20  # conflicts that the message of an error spells out; its fields have all


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was done with one tensor, file, key or metadata.

    `strategy` is empty but for a conflict; there it is the strategy as a rule writes it, and `rule` the pattern that
    called for it.
    """

    name: str
    what: What
    state: State
    strategy: str = ""
    rule: str = ""

    @property
    def source(self) -> str:
        """Where the content comes from: `ours`, `theirs`, `base` or the arithmetic."""
        if self.state == "conflict":
            return self.strategy
        return "theirs" if self.state == "theirs" else "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """What a merge came to. `version` is where the ref points now; `decisions` is empty where nothing was merged."""

    outcome: Literal["up_to_date", "fast_forward", "merged"]
    version: str
    artefact: str
    bases: tuple[str, ...]
    decisions: tuple[Decision, ...] = ()


def merge(
    vault: Vault,
    ref: str,
    theirs: str,
    *,
    base: str | None = None,
    strategies: Sequence[str | StrategyRule] = (),
    message: str | None = None,
    author: str | None = None,
    allow_fast_forward: bool = True,
    time: dt.datetime | None = None,
    num_threads: int = 1,
) -> MergeResult:
    """Return what came of merging `theirs` into the branch `ref`, which then points at the merge.

    Args:
        theirs: a ref or version.
        base: see `plan_merge`.
        strategies: rules for conflicts, as text or parsed; the first that matches is used. Rules of arithmetic are for
            tensors; a plain file, a key or metadata takes `ours`, `theirs` or `base`.
        message: without the closing line about the strategies, which is added.
        allow_fast_forward: whether the ref may just move on when our side changed nothing; else a version with two
            parents is made then too.
        time: when; now, unless a test says otherwise. Nothing else depends on the clock.
        num_threads: share the blocks of a tensor; no bit of the result depends on it. One was the fastest where it was
            measured: Python's lock passes from thread to thread more often than the blocks are worth.

    Raises:
        MergeConflictError: conflicts that no strategy settles, all of them; nothing was written.
        BadStrategyError: a rule cannot be read.
        UnmergeableError: a tensor is not finite, or the artefacts are not of one kind; nothing was written.
        UnrelatedHistoriesError: there is no common ancestor and no `base` was given.
        RefConflictError: somebody moved the ref meanwhile; it stays there.
    """
    rules = parse_strategies(strategies)
    full = ref_target(vault, ref)
    our_id, their_id = resolve(vault, full), resolve(vault, theirs)
    common = tuple(sorted(lowest_common_ancestors(vault, our_id, their_id)))
    if common == (their_id,):
        return MergeResult(outcome="up_to_date", version=our_id, artefact=_artefact(vault, our_id), bases=common)
    if common == (our_id,) and allow_fast_forward:
        move_ref(vault, full, their_id, expected=our_id, reason=f"merge {theirs}: fast-forward", author=author)
        return MergeResult(outcome="fast_forward", version=their_id, artefact=_artefact(vault, their_id), bases=common)
    plan = plan_merge(vault, our_id, their_id, base)
    decisions = decide(plan, rules)
    artefact = write_merge(vault, plan, rules, num_threads=num_threads)
    version = commit(
        vault,
        artefact,
        ref=full,
        message=_message(message or f"Merge {theirs} into {ref}", plan, decisions),
        parents=[our_id, their_id],
        author=author,
        expected=our_id,
        time=time,
    )
    return MergeResult(outcome="merged", version=version.id, artefact=artefact, bases=plan.bases, decisions=decisions)


def decide(plan: MergePlan, strategies: Sequence[str | StrategyRule] = ()) -> tuple[Decision, ...]:
    """Return what a merge would do with everything in the plan, without reading a tensor.

    Raises:
        MergeConflictError: conflicts that no strategy settles, all of them with why.
        BadStrategyError: a rule cannot be read.
    """
    rules = parse_strategies(strategies)
    open_conflicts: list[dict[str, str]] = []
    decisions: list[Decision] = []
    for change in plan.changes:
        rule, fault = _settle(change, rules) if change.is_conflict else (None, "")
        if change.is_conflict and (rule is None or fault):
            open_conflicts.append({"name": change.name, "what": change.what, "reason": change.reason + fault})
        else:
            decisions.append(_decision(change, rule))
    if not open_conflicts and len(_frames(plan, rules)) > 1:
        open_conflicts = [
            {"name": change.name, "what": change.what, "reason": "metadata must all come from one side; here they mix"}
            for change in _differing_metadata(plan)
        ]
    if open_conflicts:
        raise _conflict_error(open_conflicts)
    return tuple(decisions)


def write_merge(
    vault: Vault, plan: MergePlan, strategies: Sequence[str | StrategyRule] = (), *, num_threads: int = 1
) -> str:
    """Return the artefact that a plan comes to, stored; no ref moves. Raises what `merge` does."""
    rules = parse_strategies(strategies)
    decide(plan, rules)
    frame: Side = _frames(plan, rules)[0]
    with ThreadPoolExecutor(num_threads) if num_threads > 1 else contextlib.nullcontext() as pool:
        tensors = {
            change.name: chosen
            for change in plan.tensors
            if _mark(chosen := _tensor(vault, change, rules, pool)) != _mark(_on(frame, change))
        }
    files: dict[str, PlainFile | bytes | None] = {
        change.name: chosen
        for change in plan.files
        if _mark(chosen := _chosen(change, rules)) != _mark(_on(frame, change))
    }
    for file in plan.keyed:
        values = {change.name: _chosen(change, rules) for change in file.keys}
        files[file.path] = join(file.path, file.ours, file.theirs, values)
    start = resolve_artefact(vault, plan.ours if frame == "ours" else plan.theirs)
    return recompose(vault, start, tensors=_placed(vault, plan, start, tensors), files=files)


def _artefact(vault: Vault, version: str) -> str:
    return read_version(vault, version).artefact


def _decision(change: Change[Any], rule: StrategyRule | None) -> Decision:
    return Decision(
        name=change.name,
        what=change.what,
        state=change.state,
        strategy=describe(rule.strategy) if rule else "",
        rule=rule.pattern if rule else "",
    )


def _message(message: str, plan: MergePlan, decisions: Iterable[Decision]) -> str:
    settled: dict[str, list[str]] = {}
    for decision in decisions:
        if decision.strategy:
            settled.setdefault(decision.strategy, []).append(decision.name)
    record = {"bases": plan.bases, "settled": settled}
    return f"{message}\n\n{TRAILER}{json.dumps(record, sort_keys=True, separators=(',', ':'), ensure_ascii=False)}"


def _conflict_error(conflicts: Sequence[Mapping[str, str]]) -> MergeConflictError:
    named = [f"{conflict['name']}: {conflict['reason']}" for conflict in conflicts[:_NUM_NAMED]]
    more = len(conflicts) - len(named)
    lines = "\n".join(f"  {line}" for line in [*named, *([f"and {more} more"] if more else [])])
    return MergeConflictError(
        f"{len(conflicts)} conflict{'s' if len(conflicts) > 1 else ''} without a strategy:\n{lines}",
        conflicts=list(conflicts),
    )


def _settle(change: Change[Any], rules: Sequence[StrategyRule]) -> tuple[StrategyRule | None, str]:
    """Return the first rule that matches, and why it cannot settle this conflict (empty: it can)."""
    rule = _rule_for(change, rules)
    if rule is None:
        return None, ""
    fault = _fault(change, rule.strategy)
    return rule, f"; {rule.text} cannot settle it: {fault}" if fault else ""


def _rule_for(change: Change[Any], rules: Sequence[StrategyRule]) -> StrategyRule | None:
    names = (change.name,) if change.what in ("tensor", "file") else (change.name, _path_of(change))
    for rule in rules:
        if rule.matches(*names) and (change.what == "tensor" or isinstance(rule.strategy, TakeOne)):
            return rule
    return None


def _path_of(change: Change[Any]) -> str:
    return change.name.removesuffix("::__metadata__") if change.what == "metadata" else change.name.split(":", 1)[0]


def _fault(change: Change[Any], strategy: TakeOne | Arithmetic) -> str:
    if isinstance(strategy, TakeOurs | TakeTheirs):
        return ""
    if change.what == "metadata":
        return "metadata can be ours or theirs only"
    has_one_base = all(_mark(base) == _mark(change.bases[0]) for base in change.bases)
    if isinstance(strategy, TakeAncestor) or is_over_base(strategy):
        if not has_one_base:
            return "there is no one base"
        if isinstance(strategy, TakeAncestor):
            return ""
    needed = (change.ours, change.theirs, *(change.bases[:1] if is_over_base(strategy) else ()))
    return _fault_of_entries(needed)


def _mark(value: Any) -> Any:
    """Return what two equal values share."""
    if isinstance(value, TensorEntry):
        return value.digest, value.dtype, value.shape
    return value.digest if isinstance(value, PlainFile) else value


def _fault_of_entries(entries: Sequence[TensorEntry | None]) -> str:
    present = [entry for entry in entries if entry is not None]
    if len(present) != len(entries):
        return "the arithmetic needs the tensor in each version"
    if len({(entry.dtype, entry.shape) for entry in present}) > 1:
        return "the dtypes or shapes differ"
    return "" if present[0].dtype in _ARRAYS else f"{present[0].dtype} has no arithmetic; {', '.join(_ARRAYS)} have"


def _frames(plan: MergePlan, rules: Sequence[StrategyRule]) -> list[Side]:
    """Return the side whose safetensors metadata the merge takes, or both where it would take some of each."""
    sides: set[Side] = set()
    for change in _differing_metadata(plan):
        sides.add("theirs" if _chosen(change, rules) is change.theirs else "ours")
    return sorted(sides) or ["ours"]


def _placed(
    vault: Vault, plan: MergePlan, start: str, tensors: Mapping[str, TensorEntry | TensorContent | None]
) -> dict[str, TensorEntry | TensorContent | None]:
    """Return `tensors`, those that `start` lacks named `path::name` by the shard where another version has them."""
    frame = read_manifest(vault, start)
    held = frame.located_tensors()
    paths = {file.path for file in frame.files if file.layout == "safetensors"}
    places: dict[str, str] = {}
    for version in (*plan.bases, plan.ours, plan.theirs):
        places |= {key: path for key, (path, _) in read_manifest(vault, version).located_tensors().items()}
    return {
        name if name in held or "::" in name or places[name] not in paths else f"{places[name]}::{name}": tensor
        for name, tensor in tensors.items()
    }


def _differing_metadata(plan: MergePlan) -> list[MetadataChange]:
    return [change for change in plan.metadata if change.ours != change.theirs]


def _on(frame: Side, change: Change[Any]) -> Any:
    return change.ours if frame == "ours" else change.theirs


def _chosen(change: Change[Any], rules: Sequence[StrategyRule]) -> Any:
    """Return what a thing that is not calculated becomes."""
    if not change.is_conflict:
        return change.theirs if change.state == "theirs" else change.ours
    rule = _rule_for(change, rules)
    match rule.strategy if rule else None:
        case TakeOurs():
            return change.ours
        case TakeTheirs():
            return change.theirs
        case TakeAncestor():
            return change.bases[0]
        case other:
            raise AssertionError(f"{change.name} came here with {other}")


def _tensor(
    vault: Vault, change: TensorChange, rules: Sequence[StrategyRule], pool: Executor | None
) -> TensorEntry | TensorContent | None:
    rule = _rule_for(change, rules) if change.is_conflict else None
    if rule is None or isinstance(rule.strategy, TakeOne):
        chosen: TensorEntry | None = _chosen(change, rules)
        return chosen
    ours, theirs, base = change.ours, change.theirs, change.bases[0]
    assert ours is not None, "`decide` has seen to it"
    assert theirs is not None, "`decide` has seen to it"
    before = _array(vault, base) if base is not None and is_over_base(rule.strategy) else None
    try:
        merged = merge_by(
            rule.strategy, _array(vault, ours), _array(vault, theirs), base=before, name=change.name, pool=pool
        )
    except UnmergeableError as error:
        raise UnmergeableError(f"{change.name} by {rule.text}: {error.message}", hint=error.hint) from error
    return TensorContent(dtype=ours.dtype, shape=ours.shape, content=merged.tobytes())


def _array(vault: Vault, entry: TensorEntry) -> Array:
    return np.frombuffer(read_object(vault, "blobs", entry.digest), _ARRAYS[entry.dtype]).reshape(entry.shape)
