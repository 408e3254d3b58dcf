"""What `compress shed` and `compress restore` do and print."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from birdbone.cli.compress.plating import Sample, windows_of
from birdbone.cli.errors import UsageError
from birdbone.cli.evaluate.bars import question_bar
from birdbone.compress.budget import spread_sparsity
from birdbone.compress.config import (
    AdaptivePattern,
    BlockPattern,
    EvenBudget,
    LossBudget,
    MaskConfig,
    NOfMPattern,
    ProtectConfig,
    ShedPattern,
    StructuralKind,
    StructuralPattern,
    TargetedPattern,
    UnstructuredPattern,
    ZeroPattern,
)
from birdbone.compress.errors import BadArchiveError
from birdbone.compress.growth import build_dependency_graph, match_structures
from birdbone.compress.masks import drop_only, prune_blocks
from birdbone.compress.shedding.archive import Archive, from_archive, to_archive
from birdbone.compress.shedding.choosing import Choice
from birdbone.compress.shedding.cutting import cut_model
from birdbone.compress.shedding.effect import CutEffect, weigh_graph, weigh_structures
from birdbone.compress.shedding.planning import plan_cut
from birdbone.compress.shedding.restoring import restore_structures
from birdbone.core import write_json
from birdbone.evaluate.perplexity import token_nll
from birdbone.models import LoadedModel, describe_architecture, load_model, save_model

_ARCHIVE, _TENSORS, _DATA = "shed", "tensors.safetensors", "shed.json"
_JUDGED_BATCH = 2

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A pattern, and what stays."""

    pattern: ShedPattern
    protect: ProtectConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a cut took and brought; `out` is None where nothing was written."""

    model: str
    pattern: ShedPattern
    structures: tuple[str, ...]
    effect: CutEffect
    sparsity: float | None
    out: Path | None


def wanted(pattern: str, *, share: float, structures: Sequence[str], multiple: int, protect: Sequence[str]) -> Wanted:
    """Return the pattern that a person named.

    Raises:
        UsageError: there is no such pattern, or its numbers are out of bounds.
    """
    values: dict[str, Any] = {"kind": pattern, "share": share}
    if pattern in get_args(StructuralKind) or pattern == "adaptive":
        values["width_multiple"] = multiple
    elif pattern == "targeted":
        values = {"kind": pattern, "structures": tuple(structures)}
    elif ":" in pattern:
        kept, _, group = pattern.partition(":")
        values = {"kind": "n:m"} | ({} if pattern == "n:m" else {"num_kept": kept, "group": group})
    try:
        found: ShedPattern = TypeAdapter(ShedPattern).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--pattern {pattern}: {first['msg']}") from error
    return Wanted(pattern=found, protect=ProtectConfig(also=tuple(protect)))


def shed(
    model: str, wanted: Wanted, sample: Sample, *, out: Path | None, refits: bool, num_judged: int, is_dry: bool
) -> Told:
    """Cut a model, write it, and return what that brought.

    Raises:
        UsageError: there is nowhere to write to.
        ModelError, DataError, CompressError: the model, the text, or the pattern; nothing was written.
    """
    if out is None and not is_dry:
        raise UsageError("Say where the lighter model goes (--out FOLDER), or ask for a --dry-run.")
    loaded = load_model(model)
    windows_NT, judged_NT = windows_of(loaded, sample, heldout=num_judged)
    with question_bar("shedding") as tell:
        progress: Progress = tell if tell is not None else lambda _done, _total: None
        work = _Work(loaded=loaded, windows_NT=windows_NT, judged_NT=judged_NT, refits=refits, progress=progress)
        if isinstance(wanted.pattern, UnstructuredPattern | NOfMPattern | BlockPattern):
            found = work.zero(wanted.pattern)
        else:
            found = work.cut(wanted.pattern, wanted.protect, is_dry=is_dry)
    if out is not None and not is_dry:
        _write(loaded, found.archive, out)
        return replace(found.told, out=out)
    return found.told


def restore(folder: Path, out: Path, *, structures: Sequence[str]) -> tuple[str, ...]:
    """Put structures back, write the model, and return their names.

    Raises:
        BadArchiveError: `compress shed` kept nothing there.
        UnknownStructureError: a glob fits nothing that went.
    """
    try:
        data = json.loads((folder / _ARCHIVE / _DATA).read_bytes())
        tensors = load_file(folder / _ARCHIVE / _TENSORS)
    except (OSError, ValueError) as error:
        raise BadArchiveError(f"{folder} holds nothing that a cut kept ({_ARCHIVE}/{_DATA}).") from error
    kept = from_archive(tensors, data)
    back = match_structures(structures, kept.structures) if structures else kept.structures
    loaded = load_model(str(folder))
    save_model(restore_structures(loaded.model, kept, back), loaded.tokenizer, out)
    return tuple(structure.name for structure in back)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a cut brought, and what undoes it; a pattern of zeros keeps nothing."""

    told: Told
    archive: Archive | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """A model in hand, and the text that it is seen on."""

    loaded: LoadedModel
    windows_NT: Tensor
    judged_NT: Tensor | None
    refits: bool
    progress: Progress

    def zero(self, pattern: ZeroPattern) -> _Found:
        """Put zeros on every linear; sizes stay."""
        model, architecture = self.loaded.model, self.loaded.architecture
        before, weights = self._perplexity(), weigh_graph(build_dependency_graph(architecture))
        config = MaskConfig(pattern=pattern, budget=LossBudget() if self.refits else EvenBudget())
        shares = spread_sparsity(model, architecture, self.windows_NT, config, progress=self.progress)
        report = prune_blocks(
            model,
            architecture,
            self.windows_NT,
            config,
            sparsities=shares,
            solve=None if self.refits else drop_only,
            progress=self.progress,
        )
        effect = CutEffect(before=weights, after=weights, perplexity_before=before, perplexity_after=self._perplexity())
        told = Told(
            model=self.loaded.name, pattern=pattern, structures=(), effect=effect, sparsity=report.sparsity, out=None
        )
        return _Found(told=told, archive=None)

    def cut(
        self, pattern: StructuralPattern | TargetedPattern | AdaptivePattern, protect: ProtectConfig, *, is_dry: bool
    ) -> _Found:
        """Take structures out, or only say which would go."""
        model, graph = self.loaded.model, build_dependency_graph(self.loaded.architecture)
        choice = plan_cut(model, graph, pattern, self.windows_NT, protect=protect, progress=self.progress)
        if is_dry:
            return _Found(told=self._told(pattern, choice, weigh_structures(graph, choice)), archive=None)
        before = self._perplexity()
        shed = cut_model(
            model,
            graph,
            choice.structures,
            windows_NT=self.windows_NT if self.refits else None,
            progress=self.progress,
        )
        after = weigh_graph(build_dependency_graph(describe_architecture(model)))
        effect = CutEffect(
            before=weigh_graph(graph), after=after, perplexity_before=before, perplexity_after=self._perplexity()
        )
        return _Found(told=self._told(pattern, choice, effect), archive=to_archive(shed))

    def _told(self, pattern: ShedPattern, choice: Choice, effect: CutEffect) -> Told:
        names = tuple(structure.name for structure in choice.structures)
        return Told(model=self.loaded.name, pattern=pattern, structures=names, effect=effect, sparsity=None, out=None)

    def _perplexity(self) -> float | None:
        if self.judged_NT is None:
            return None
        nll_NP = token_nll(self.loaded.model, self.judged_NT.numpy(), batch_size=_JUDGED_BATCH, progress=self.progress)
        return float(np.exp(nll_NP.mean()))


def _write(loaded: LoadedModel, archive: Archive | None, out: Path) -> None:
    save_model(loaded.model, loaded.tokenizer, out)
    if archive is not None:
        folder = out / _ARCHIVE
        folder.mkdir(exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in archive.tensors.items()}, folder / _TENSORS)
        write_json(folder / _DATA, archive.data)
