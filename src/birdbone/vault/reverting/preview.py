"""What a revert will mean, before it happens: what moves, how much changes, which figures are known of the result."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from birdbone.vault.folder import Vault
from birdbone.vault.refs.lookup import read_manifest, read_version
from birdbone.vault.refs.refs import refs
from birdbone.vault.reverting.masks import OnlyMask
from birdbone.vault.reverting.observations import Figure, read_figures
from birdbone.vault.reverting.plan import MaskedTensor, RevertPlan

_MAX_NAMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFigure:
    """One figure before and after. None: not measured."""

    name: str
    now: Figure | None
    then: Figure | None

    def in_words(self) -> str:
        """Return it in one phrase, with its evidence."""
        return f"{self.name}: {_words(self.now)} now, {_words(self.then)} after"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactPreview:
    """What a planned revert will change."""

    refs: tuple[str, ...]
    """The refs that move."""
    other_refs: tuple[str, ...]
    """Refs that point at the same version and stay where they are."""
    tip: str
    target: str
    equals: str | None
    """A version of the history with exactly the resulting content; None: a content that no version had."""
    only_mask: OnlyMask | None
    tensors: tuple[str, ...]
    """Tensors that change."""
    num_positions: int | None
    """Elements put back, where only a mask is; else None."""
    files: tuple[str, ...]
    """Other files that change."""
    conflicts: tuple[str, ...]
    """Names that a later version changed too."""
    size_bytes: int
    """Bytes of all tensors and files that change, as they are after (before, for what goes)."""
    expected: tuple[ExpectedFigure, ...]
    """Every figure known of the tip or of the result."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data; a figure that came to no finite number is null."""
        plain = dataclasses.asdict(self)
        for row in plain["expected"]:
            for side in (row["now"], row["then"]):
                if side is not None and not math.isfinite(side["value"]):
                    side["value"] = None
        return cast("dict[str, Any]", json.loads(json.dumps(plain, allow_nan=False)))

    def in_words(self) -> str:
        """Return it as a few lines for a person."""
        result = f"the content of {short(self.equals)}" if self.equals else "a content that no version had"
        lines = [
            f"{', '.join(self.refs)} moves from {short(self.tip)} to {result}",
            f"{_count(len(self.tensors), 'tensor')}, {_count(len(self.files), 'file')}, {self.size_bytes:,} bytes",
        ]
        if self.num_positions is not None:
            lines.append(f"{self.num_positions:,} positions of their masks ({self.only_mask})")
        if self.conflicts:
            lines.append(f"changed later as well: {name_some(self.conflicts)}")
        if self.other_refs:
            lines.append(f"these stay where they are: {', '.join(self.other_refs)}")
        lines += [row.in_words() for row in self.expected] or ["nothing was measured on either"]
        return "\n".join(lines)


def preview_revert(vault: Vault, plan: RevertPlan) -> ImpactPreview:
    """Return what `plan` will change. Nothing is written and no tensor is read."""
    masked = [change for change in plan.tensors.values() if isinstance(change, MaskedTensor)]
    pointing = [ref for ref, version in refs(vault).items() if version == plan.tip and ref != plan.ref]
    return ImpactPreview(
        refs=(plan.ref,),
        other_refs=tuple(pointing),
        tip=plan.tip,
        target=plan.target,
        equals=plan.equals,
        only_mask=plan.only_mask,
        tensors=tuple(plan.tensors),
        num_positions=sum(change.num_returned for change in masked) if plan.only_mask else None,
        files=tuple(plan.files),
        conflicts=plan.conflicts,
        size_bytes=_size_bytes(vault, plan),
        expected=_expected(vault, plan),
    )


def name_some(names: Iterable[str]) -> str:
    """Return names as a list that stays readable: the first twenty, then how many more."""
    known = list(names)
    rest = len(known) - _MAX_NAMES
    return ", ".join(known[:_MAX_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def short(version: str) -> str:
    """Return the first ten hex digits of a digest."""
    return version.removeprefix("b3:")[:10]


def _size_bytes(vault: Vault, plan: RevertPlan) -> int:
    manifest = read_manifest(vault, plan.tip)
    from_tip = {name: entry.size_bytes for name, entry in manifest.tensors().items()}
    from_tip |= {file.path: file.size_bytes for file in manifest.files}
    total = 0
    for name, change in (*plan.tensors.items(), *plan.files.items()):
        if change is None:
            total += from_tip[name]
        else:
            total += change.tip.size_bytes if isinstance(change, MaskedTensor) else change.size_bytes
    return total


def _expected(vault: Vault, plan: RevertPlan) -> tuple[ExpectedFigure, ...]:
    now = _newest(vault, plan.tip)
    then = _newest(vault, plan.equals) if plan.equals else {}
    return tuple(
        ExpectedFigure(name=name, now=now.get(name), then=then.get(name)) for name in sorted(now.keys() | then.keys())
    )


def _newest(vault: Vault, version: str) -> dict[str, Figure]:
    record = read_version(vault, version)
    figures = read_figures(record.measurements, artefact=record.artefact)
    return {figure.name: figure for figure in reversed(figures)}


def _words(figure: Figure | None) -> str:
    if figure is None:
        return "not measured"
    if figure.outcome is not None:
        return f"{figure.outcome}{_evidence(figure)}"
    number = f"{figure.value:.6g}" if figure.is_finite else "no finite number"
    unit = "" if figure.unit in ("", "1") else f" {figure.unit}"
    return f"{number}{unit}{_evidence(figure)}"


def _evidence(figure: Figure) -> str:
    return f" ({figure.basis} on that very artefact{f' by run {figure.run_id}' if figure.run_id else ''})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
