"""What to change when a gate fails: which setting, which way, from which rule, for the stage that failed.

`TABLE` has a row a stage and kind of failure. The steps are rules of thumb (half, double, the next type); what a change
does to a model is for the next verdict to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from birdbone.compress.config import BlockType
from birdbone.evaluate.config import GateRule
from birdbone.evaluate.gates import Finding
from birdbone.evaluate.gates.verdicts import Floor
from birdbone.pipeline.recipe import Recipe

Failure = Literal["perplexity", "divergence", "answers", "sparsity", "size", "speed"]
"""What kind of figure was beyond its limit."""
Direction = Literal["up", "down"]

LARGER_TYPES: tuple[str, ...] = tuple(kind for kind in get_args(BlockType) if kind != "iq4_nl")
"""Tensor types of blocks of 32, from the smallest to the largest; of two of one size, the one that holds zero."""

_OF_LIKE_SIZE = {
    **dict.fromkeys(("q2_k", "q3_k", "iq3_s", "iq4_xs", "iq4_nl", "q4_k"), "q4_0"),
    **{"q5_k": "q5_0", "q6_k": "q5_1"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """A setting of a recipe, and how it is turned."""

    path: str
    """As `--set` takes it: the step's kind first."""
    direction: Direction
    """Up to more, or to a larger type; down to less."""
    factor: float | None = None
    """What the value is multiplied by; None takes the next type. A map of types has each of them turned."""

    @property
    def words(self) -> str:
        """What to do, where no recipe is known."""
        size = "larger" if self.direction == "up" else "smaller"
        return f"{self.path} {self.direction}: " + (
            f"times {self.factor:g}" if self.factor is not None else f"the next {size} type"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A setting that is turned."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What one failed rule asks for."""

    rule: str
    """Name of the rule, with that of its floor."""
    stage: Floor
    """The stage that failed."""
    changes: tuple[Change, ...]
    """What can be turned; none where every setting is at its bound, or the recipe lacks the step."""

    @property
    def words(self) -> str:
        """The recommendation in one line."""
        told = ", ".join(f"{change.path} {change.before} -> {change.after}" for change in self.changes)
        return f"{told or 'no setting can go further'}, as {self.rule} failed"


_HALF_SHED = Knob(path="waves.shed.fraction", direction="down", factor=0.5)
_LONGER_HEALING = Knob(path="waves.heal.num_steps", direction="up", factor=2)
_MORE_HEALING_TEXT = Knob(path="waves.heal.num_windows", direction="up", factor=2)
_STRICTER_STOP = Knob(path="waves.stop_loss.max_total_rise", direction="down", factor=0.5)
_STRICTER_CUTS = Knob(path="shed.max_rise", direction="down", factor=0.5)
_LARGER_LINEARS = Knob(path="quantize.format.linears", direction="up")
_LARGER_ROLES = Knob(path="quantize.format.by_role", direction="up")
_LARGER_EMBEDDING = Knob(path="quantize.format.embedding", direction="up")
_SMALLER_LINEARS = Knob(path="quantize.format.linears", direction="down")
_SMALLER_ROLES = Knob(path="quantize.format.by_role", direction="down")
_SMALLER_EMBEDDING = Knob(path="quantize.format.embedding", direction="down")
_LONGER_CORRECTION = Knob(path="low_rank.num_steps", direction="up", factor=2)

TABLE: dict[tuple[Floor, Failure], tuple[Knob, ...]] = {
    ("waves", "perplexity"): (_HALF_SHED, _LONGER_HEALING),
    ("waves", "divergence"): (_HALF_SHED, _LONGER_HEALING),
    ("waves", "answers"): (_HALF_SHED, _MORE_HEALING_TEXT),
    ("waves", "sparsity"): (Knob(path="waves.max_waves", direction="up", factor=2),),
    ("quantize", "perplexity"): (_LARGER_LINEARS, _LARGER_ROLES),
    ("quantize", "divergence"): (_LARGER_LINEARS, _LARGER_ROLES, _LONGER_CORRECTION),
    ("quantize", "answers"): (_LARGER_LINEARS, _LARGER_ROLES, _LARGER_EMBEDDING),
    ("quantize", "size"): (_SMALLER_LINEARS, _SMALLER_ROLES),
    ("judge", "perplexity"): (_LARGER_LINEARS, _LARGER_ROLES),
    ("judge", "divergence"): (_LARGER_LINEARS, _LARGER_ROLES),
    ("judge", "answers"): (_LARGER_LINEARS, _LARGER_ROLES, _LARGER_EMBEDDING),
    ("judge", "size"): (_SMALLER_LINEARS, _SMALLER_ROLES, _SMALLER_EMBEDDING),
    ("judge", "speed"): (_SMALLER_LINEARS, _SMALLER_ROLES),
    ("cumulative", "perplexity"): (_STRICTER_STOP, _STRICTER_CUTS, _LARGER_LINEARS, _LARGER_ROLES),
    ("cumulative", "divergence"): (_STRICTER_STOP, _STRICTER_CUTS, _LARGER_LINEARS, _LARGER_ROLES),
    ("cumulative", "answers"): (_STRICTER_STOP, _STRICTER_CUTS, _LARGER_LINEARS, _LARGER_ROLES),
    ("cumulative", "size"): (_SMALLER_LINEARS, _SMALLER_ROLES),
    ("cumulative", "speed"): (_SMALLER_LINEARS, _SMALLER_ROLES),
}
"""What to turn, by the stage that failed and the kind of failure. A rule of the gate itself counts as `judge`."""

_KINDS: dict[str, Failure] = {
    "perplexity": "perplexity",
    "perplexity_gguf": "perplexity",
    "perplexity_ratio": "perplexity",
    "kl": "divergence",
    "kl_to_reference": "divergence",
    "kl_to_reference_p99": "divergence",
    "same_top1": "divergence",
    "difference": "answers",
    "no_worse": "answers",
    "retention": "answers",
    "flips": "answers",
    "sparsity": "sparsity",
    "stored_zeros": "sparsity",
    "size": "size",
    "bits_per_weight": "size",
    "bytes_per_token": "size",
    "decode_rate": "speed",
    "decode_speedup": "speed",
    "decode_cpu_time": "speed",
}
_ORDER: tuple[Floor, ...] = ("waves", "quantize", "judge", "cumulative")


def failure_of(finding: Finding) -> Failure | None:
    """Return which kind of failure a finding is; None for a figure that no setting is known to move."""
    rule = finding.rule
    if not isinstance(rule, GateRule):
        return _KINDS[rule.kind]
    return "answers" if rule.measurement.startswith("benchmark.") else _KINDS.get(rule.measurement)


def knobs_of(finding: Finding) -> tuple[Knob, ...]:
    """Return what to turn for a finding that failed; nothing where the table has no row, or nothing was measured."""
    failure = failure_of(finding)
    if finding.outcome != "fail" or failure is None or finding.figure is None:
        return ()
    return TABLE.get((finding.floor or "judge", failure), ())


def recommend(recipe: Recipe, findings: Sequence[Finding]) -> tuple[Recommendation, ...]:
    """Return what the failed findings ask for, the earliest stage first: what it mends, later ones need not."""
    found = [
        Recommendation(
            rule=finding.key, stage=finding.floor or "judge", changes=tuple(_changes(recipe, knobs_of(finding)))
        )
        for finding in findings
        if knobs_of(finding)
    ]
    return tuple(sorted(found, key=lambda each: _ORDER.index(each.stage)))


def earliest_step(recipe: Recipe, changes: Sequence[Change]) -> str:
    """Return the kind of the first step that a change belongs to: from there a run has to go on."""
    changed = {change.path.partition(".")[0] for change in changes}
    return next(step.kind for step in recipe.steps if step.kind in changed)


def find_setting(settings: BaseModel, path: Sequence[str]) -> tuple[Any, FieldInfo] | None:
    """Return a setting's value and its field, or None if the path leads nowhere."""
    value: Any = settings
    field: FieldInfo | None = None
    for name in path:
        if not isinstance(value, BaseModel) or name not in type(value).model_fields:
            return None
        field, value = type(value).model_fields[name], getattr(value, name)
    return None if field is None else (value, field)


def _changes(recipe: Recipe, knobs: Sequence[Knob]) -> Iterator[Change]:
    for knob in knobs:
        kind, *path = knob.path.split(".")
        step = recipe.step(kind)
        found = find_setting(step, path) if step is not None else None
        if found is None:
            continue
        before, field = found
        after = _turned(before, knob, field)
        if after != before:
            yield Change(path=knob.path, before=before, after=after)


def _turned(value: Any, knob: Knob, field: FieldInfo) -> Any:
    if isinstance(value, Mapping):
        return {name: _next_type(kind, knob.direction) for name, kind in value.items()}
    if knob.factor is None:
        return _next_type(value, knob.direction)
    return _within(field, value, value * knob.factor)


def _next_type(kind: str, direction: Direction) -> str:
    place = LARGER_TYPES.index(_OF_LIKE_SIZE.get(kind, kind)) + (1 if direction == "up" else -1)
    return LARGER_TYPES[min(max(place, 0), len(LARGER_TYPES) - 1)]


def _within(field: FieldInfo, before: float, after: float) -> float:
    """Return the new value held within the bounds of its field, a whole one for a whole one."""
    ends = {name: float(getattr(bound, name)) for bound in field.metadata for name in _ENDS if hasattr(bound, name)}
    if after <= ends.get("gt", -math.inf) or after >= ends.get("lt", math.inf):
        return before
    held = min(max(after, ends.get("ge", -math.inf)), ends.get("le", math.inf))
    return round(held) if isinstance(before, int) else held


_ENDS = ("ge", "gt", "le", "lt")
