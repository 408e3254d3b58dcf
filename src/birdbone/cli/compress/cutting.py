"""What `compress shed` and `compress restore` do and print."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from birdbone.cli.compress.bars import part_bar, part_of
from birdbone.cli.compress.sampling import Sample, windows_of
from birdbone.cli.errors import UsageError
from birdbone.compress.budget import spread_sparsity
from birdbone.compress.config import (
    EvenBudget,
    LossBudget,
    MaskConfig,
    ProtectConfig,
    ShedPattern,
    StructuralKind,
    StructuresPattern,
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
from birdbone.core import Measurement, write_json
from birdbone.evaluate import paired_ratio
from birdbone.evaluate.benchmarks.opening import find_candidate
from birdbone.evaluate.perplexity import token_nll
from birdbone.evaluate.statistics import MIN_WINDOWS
from birdbone.models import LoadedModel, describe_architecture, load_model, save_model

_ARCHIVE, _TENSORS, _DATA = "shed", "tensors.safetensors", "shed.json"
_JUDGED_BATCH, _SEED = 2, 0

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A pattern, and what stays."""

    pattern: ShedPattern
    protect: ProtectConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a cut took and brought; `out` is None where nothing was written, `ratio` where nothing was judged."""

    model: str
    pattern: ShedPattern
    structures: tuple[str, ...]
    effect: CutEffect
    sparsity: float | None
    out: Path | None = None
    ratio: Measurement | None = None


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
    """Cut a model, write it, and return what that brought; perplexity is judged on the folder, loaded again.

    Raises:
        UsageError: there is nowhere to write to.
        ModelError, DataError, CompressError: the model, the text, or the pattern; nothing was written.
    """
    if out is None and not is_dry:
        raise UsageError("Say where the lighter model goes (--out FOLDER), or ask for a --dry-run.")
    loaded = load_model(model)
    windows_NT, judged_NT = windows_of(loaded, sample, heldout=num_judged)
    with part_bar() as told:
        progress = part_of(told, "shedding")
        judged_NT = None if out is None or is_dry else judged_NT
        dense_nll_NP = None if judged_NT is None else _judge(loaded, judged_NT, part_of(told, "judging"))
        work = _Work(loaded=loaded, windows_NT=windows_NT, refits=refits, progress=progress)
        pattern = wanted.pattern
        if isinstance(pattern, ZeroPattern):
            found = work.zero(pattern)
        else:
            found = work.cut(pattern, wanted.protect, is_dry=is_dry)
        if out is None or is_dry:
            return found.told
        _write(loaded, found.archive, out)
        done = replace(found.told, out=out)
        if judged_NT is None or dense_nll_NP is None:
            return done
        return _judged(done, dense_nll_NP, _judge(load_model(str(out)), judged_NT, part_of(told, "judging")))


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
    refits: bool
    progress: Progress

    def zero(self, pattern: ZeroPattern) -> _Found:
        """Put zeros on every linear; sizes stay."""
        model, architecture = self.loaded.model, self.loaded.architecture
        weights = weigh_graph(build_dependency_graph(architecture))
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
        effect = CutEffect(before=weights, after=weights)
        told = Told(model=self.loaded.name, pattern=pattern, structures=(), effect=effect, sparsity=report.sparsity)
        return _Found(told=told, archive=None)

    def cut(self, pattern: StructuresPattern, protect: ProtectConfig, *, is_dry: bool) -> _Found:
        """Take structures out, or only say which would go."""
        model, graph = self.loaded.model, build_dependency_graph(self.loaded.architecture)
        choice = plan_cut(model, graph, pattern, self.windows_NT, protect=protect, progress=self.progress)
        if is_dry:
            return _Found(told=self._told(pattern, choice, weigh_structures(graph, choice)), archive=None)
        shed = cut_model(
            model,
            graph,
            choice.structures,
            windows_NT=self.windows_NT if self.refits else None,
            progress=self.progress,
        )
        after = weigh_graph(build_dependency_graph(describe_architecture(model)))
        told = self._told(pattern, choice, CutEffect(before=weigh_graph(graph), after=after))
        return _Found(told=told, archive=to_archive(shed))

    def _told(self, pattern: StructuresPattern, choice: Choice, effect: CutEffect) -> Told:
        names = tuple(structure.name for structure in choice.structures)
        return Told(model=self.loaded.name, pattern=pattern, structures=names, effect=effect, sparsity=None)


def _judge(loaded: LoadedModel, judged_NT: Tensor, progress: Progress) -> NDArray[np.float64]:
    return token_nll(loaded.model, judged_NT.numpy(), batch_size=_JUDGED_BATCH, progress=progress)


def _judged(told: Told, dense_nll_NP: NDArray[np.float64], nll_NP: NDArray[np.float64]) -> Told:
    before, after = (float(np.exp(each.mean())) for each in (dense_nll_NP, nll_NP))
    effect = told.effect.model_copy(update={"perplexity_before": before, "perplexity_after": after})
    is_enough = len(nll_NP) >= MIN_WINDOWS
    artefact = find_candidate(str(told.out), engine="torch", dtype="float32").artefact
    ratio = paired_ratio(nll_NP, dense_nll_NP, seed=_SEED).measurement(artefact=artefact) if is_enough else None
    return replace(told, effect=effect, ratio=ratio)


def _write(loaded: LoadedModel, archive: Archive | None, out: Path) -> None:
    save_model(loaded.model, loaded.tokenizer, out)
    if archive is not None:
        folder = out / _ARCHIVE
        folder.mkdir(exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in archive.tensors.items()}, folder / _TENSORS)
        write_json(folder / _DATA, archive.data)
