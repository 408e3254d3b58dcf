"""What may follow what in a plan, and what brings nothing where it is to run; each with its reason. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from birdbone.compress.config import CutKind, Target
from birdbone.compress.errors import PlanOrderError
from birdbone.compress.plan.techniques import Bits, Cut, Heal, LowRank, Plan, Step, Zeros

_COARSE_FIRST: tuple[CutKind, ...] = get_args(CutKind)
_CUTS_THAT_KEEP_LAYERS_ALIKE: frozenset[CutKind] = frozenset({"layer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a plan is carried out.

    Attributes:
        target: of the plan.
        holds_differing_layers: whether the exported format has layers of different sizes for this family of models.
    """

    target: Target = "cpu"
    holds_differing_layers: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why a plan should not be carried out as it is. One that is not fatal brings nothing, and costs."""

    step: str
    reason: str
    is_fatal: bool


def find_objections(plan: Plan, ground: Ground) -> tuple[Objection, ...]:
    """Return everything that speaks against a plan, in the order of its steps; empty where nothing does."""
    return tuple(found for place in range(len(plan.steps)) for found in _of_step(plan.steps, place, ground))


def require_compatible(plan: Plan, ground: Ground) -> None:
    """Check that a plan can be carried out, and that each of its steps brings something.

    Raises:
        PlanOrderError: it cannot, or a step does not (names the first reason).
    """
    for objection in find_objections(plan, ground):
        raise PlanOrderError(f"{objection.step}: {objection.reason}.", reason=objection.reason)


def _of_step(steps: tuple[Step, ...], place: int, ground: Ground) -> Iterator[Objection]:
    step, earlier = steps[place], steps[:place]
    if any(type(other) is type(step) and not isinstance(step, Cut) for other in earlier):
        yield _fatal(step, "it is done twice; give its settings once")
    match step:
        case Cut():
            yield from _of_cut(step, earlier, ground)
        case Zeros():
            if _has(earlier, Bits):
                yield _fatal(step, "weights that are rounded already would be chosen anew; put zeros before bits")
            yield _idle(step, "llama.cpp stores and reads zeros like any weight: they bring no bytes and no speed")
        case LowRank():
            if _has(earlier, Bits):
                yield _fatal(step, "factors of rounded weights are on no grid; factorise before bits")
            yield _idle(step, "GGUF has no factors: merged back they are as large as before, and only cost quality")
        case Heal():
            yield from _of_heal(step, earlier)
        case Bits():
            pass


def _of_cut(step: Cut, earlier: tuple[Step, ...], ground: Ground) -> Iterator[Objection]:
    before = [other.pattern for other in earlier if isinstance(other, Cut)]
    if _has(earlier, Bits):
        yield _fatal(step, "what stays is refitted, which takes rounded weights off their grid; cut before bits")
    if _has(earlier, Heal):
        yield _fatal(step, "healing answers to what was cut, and this cut comes after it; heal after all cuts")
    if _has(earlier, LowRank):
        yield _fatal(step, "a unit is no row of a factor any more; cut before low rank")
    if step.pattern in before:
        yield _fatal(step, "the same kind is cut twice; add the shares")
    elif any(_COARSE_FIRST.index(step.pattern) < _COARSE_FIRST.index(other) for other in before):
        yield _fatal(step, f"units already paid for would go with their {step.pattern}; cut the coarse first")
    if not ground.holds_differing_layers and step.pattern not in _CUTS_THAT_KEEP_LAYERS_ALIKE:
        yield _fatal(step, "it leaves layers of different sizes, which GGUF cannot hold for this family of models")


def _of_heal(step: Heal, earlier: tuple[Step, ...]) -> Iterator[Objection]:
    cuts = [other.pattern for other in earlier if isinstance(other, Cut)]
    if _has(earlier, Bits):
        yield _fatal(step, "learning moves rounded weights off their grid; heal before bits")
    if not cuts and not _has(earlier, Zeros) and not _has(earlier, LowRank):
        yield _idle(step, "nothing was cut, so there is nothing to heal")
    if "layer" in cuts:
        yield _fatal(step, "blocks learn from the dense block of the same layer, and layers are gone")


def _has(steps: tuple[Step, ...], kind: type[Step]) -> bool:
    return any(isinstance(step, kind) for step in steps)


def _fatal(step: Step, reason: str) -> Objection:
    return Objection(step=step.words, reason=reason, is_fatal=True)


def _idle(step: Step, reason: str) -> Objection:
    return Objection(step=step.words, reason=reason, is_fatal=False)
