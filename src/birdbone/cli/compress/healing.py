"""What `compress heal` does and prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from rich.table import Table

from birdbone.cli.compress.bars import Told, part_bar, part_of
from birdbone.cli.compress.sampling import JudgedSample
from birdbone.cli.errors import UsageError
from birdbone.cli.output import new_table, talk
from birdbone.compress.config import HealConfig
from birdbone.compress.errors import NoZerosError
from birdbone.compress.healing import (
    HealReport,
    Placed,
    Recovery,
    heal_model,
    masks_of_zeros,
    share_won_back,
    write_adapters,
)
from birdbone.compress.healing.masking import Masks
from birdbone.core import Measurement, digest_json
from birdbone.data import load_texts, token_windows
from birdbone.evaluate import paired_ratio
from birdbone.evaluate.benchmarks.opening import find_candidate
from birdbone.evaluate.divergence import divergence, model_logits
from birdbone.evaluate.perplexity import perplexity_from_nll, token_nll
from birdbone.evaluate.statistics import MIN_WINDOWS
from birdbone.models import LoadedModel, load_model, save_model, use_threads
from birdbone.models.tensors import as_token_ids
from birdbone.watch import choose_num_threads

_JUDGED_BATCH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(JudgedSample):
    """The text that is learned from and judged on, and the seed of what is drawn."""

    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What it may take."""

    cpu_minutes: float | None
    num_threads: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What healing did, measured on the folder as written and loaded again."""

    model: str
    dense: str
    config: HealConfig
    sample: Sample
    report: HealReport
    measurements: tuple[Measurement, ...]
    won_back: Recovery | None
    num_zeros: int
    num_revived: int
    written: tuple[Path, ...]

    def figure(self, name: str) -> Measurement | None:
        """Return a measurement by its name, or None where it was not taken."""
        return next((each for each in self.measurements if each.name == name), None)


def config_of(method: str, **given: Any) -> HealConfig:
    """Return the settings that a person asked for; what is None stays as the method has it.

    Raises:
        UsageError: there is no such method, it has no such setting, or a value is out of its bounds.
    """
    values = {"kind": method} | {name: value for name, value in given.items() if value is not None}
    union: TypeAdapter[HealConfig] = TypeAdapter(Annotated[HealConfig, Field(discriminator="kind")])
    try:
        return union.validate_python(values)
    except ValidationError as error:
        fault = error.errors()[0]
        if fault["type"] == "union_tag_invalid":
            raise UsageError(f"--method takes blockwise, distill, lora, qlora; {method!r} came.") from error
        place = ".".join(str(part) for part in fault["loc"][1:])
        words = "is no setting of this method" if fault["type"] == "extra_forbidden" else fault["msg"]
        raise UsageError(f"{method}: {place}: {words}; {fault['input']!r} came.") from error


def heal(
    model: str, dense: str, config: HealConfig, *, sample: Sample, out: Path, adapter: Path | None, limits: Limits
) -> Found:
    """Heal a model, write it, load it again, judge it, and return what that brought.

    Raises:
        UsageError: adapters are to be written by a method that has none.
        NoZerosError, ModelsDifferError: there is no mask, or the dense model is another; nothing was written.
        ModelError, DataError, CompressError: a model, the text, or healing itself; nothing was written.
    """
    if adapter is not None and config.kind not in ("lora", "qlora"):
        raise UsageError(f"--adapter is for lora and qlora; {config.kind} has no updates of its own.")
    before = use_threads(limits.num_threads or choose_num_threads())
    try:
        with part_bar() as tell:
            job = _Job(config=config, sample=sample, out=out, adapter=adapter, limits=limits, tell=tell)
            return _heal(load_model(model), load_model(dense), job)
    finally:
        use_threads(before)


def as_json(found: Found) -> dict[str, Any]:
    """Return everything as plain data."""
    settings = found.config.model_dump(mode="json")
    report = asdict(found.report)
    return {
        "model": found.model,
        "dense": found.dense,
        "settings": settings,
        "settings_digest": digest_json(settings),
        "text": asdict(found.sample),
        "measurements": [each.model_dump(mode="json", exclude_none=True) for each in found.measurements],
        "won_back": None if found.won_back is None else asdict(found.won_back),
        "num_zeros": found.num_zeros,
        "num_revived": found.num_revived,
        "healing": report,
        "written": [str(path) for path in found.written],
    }


def tables(found: Found) -> Iterator[Table]:
    """Yield perplexities, then what it took."""
    rows = []
    for name, words in (("dense", "dense"), ("pruned", "pruned"), ("healed", "healed, as written")):
        figure = found.figure(f"{name}_perplexity")
        if figure is not None:
            apart = found.figure(f"{name}_kl")
            kl = "" if apart is None else f"{apart.value:.4f} nats"
            rows.append((words, f"{figure.value:.3f}", _ends(figure.low, figure.high), kl))
    title = f"{found.model}: {found.sample.num_judged} judged windows of {found.sample.window} tokens"
    yield new_table(("model", "perplexity", "95 % interval", "divergence from dense"), rows, title=title)
    report = found.report
    taken = [
        ("way", found.config.kind),
        ("steps", f"{report.num_steps:,}"),
        ("tokens learned from", f"{report.num_tokens:,}"),
        ("numbers that learned", f"{report.num_learned:,}"),
        ("CPU seconds", f"{report.cpu_seconds:.1f}"),
        ("zeros revived", f"{found.num_revived} of {found.num_zeros:,}"),
    ]
    if report.loss_before is not None and report.loss_after is not None:
        taken.append(("loss on windows held back", f"{report.loss_before:.4f} to {report.loss_after:.4f} nats"))
    yield new_table(("healing", ""), taken)


def verdict(found: Found) -> str:
    """Return in words what it won back, whichever way it fell."""
    if not found.report.is_kept:
        return "Healing did not help on the windows held back from it: the model is as it was."
    if found.won_back is None:
        return "Pruning cost nothing that these windows can show, so nothing can be won back."
    share = f"{100 * found.won_back.value:.0f} %"
    if found.won_back.low is None or found.won_back.high is None:
        return f"{share} of the lost log-perplexity won back; {MIN_WINDOWS} judged windows give an interval."
    ends = f"[{100 * found.won_back.low:.0f}, {100 * found.won_back.high:.0f}]"
    if found.won_back.low <= 0 <= found.won_back.high:
        return f"No effect of healing can be shown: {share} {ends} of the lost log-perplexity."
    told = f"{share} {ends} of the lost log-perplexity won back."
    return f"{told} More than was lost: it has learned the text too." if found.won_back.low > 1 else told


def _masks_of(pruned: LoadedModel, dense: LoadedModel) -> Masks:
    """Return the zeros of the model as its masks; one that lost structures need not have any."""
    try:
        return masks_of_zeros(pruned.model, pruned.architecture)
    except NoZerosError:
        if pruned.model.num_parameters() == dense.model.num_parameters():
            raise
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What is asked for, and who is told how far it is."""

    config: HealConfig
    sample: Sample
    out: Path
    adapter: Path | None
    limits: Limits
    tell: Told


def _heal(pruned: LoadedModel, dense: LoadedModel, job: _Job) -> Found:
    sample, masks = job.sample, _masks_of(pruned, dense)
    healing_NT, judged_NT = _windows(dense, sample)
    judge = _Judge(dense=dense, judged_NT=judged_NT, seed=sample.seed, tell=job.tell)
    judged = {"dense": judge(dense, "dense"), "pruned": judge(pruned, "pruned")}
    talk(f"{pruned.name}: {job.config.kind}, {len(healing_NT)} windows of {sample.window} tokens")
    learned: list[Placed] = []
    report = heal_model(
        pruned.model,
        dense.model,
        pruned.architecture,
        windows_NT=as_token_ids(healing_NT),
        masks=masks,
        config=job.config,
        progress=part_of(job.tell, "healing"),
        should_stop=_out_of_time(job.limits),
        keep_adapters=learned.append,
    )
    written = [save_model(pruned.model, pruned.tokenizer, job.out)]
    if job.adapter is not None and report.is_kept:
        written.append(write_adapters(job.adapter, learned[0]))
    healed = load_model(str(job.out))
    judged["healed"] = judge(healed, "healed")
    nll = {name: each.nll_NP for name, each in judged.items()}
    return Found(
        model=pruned.name,
        dense=dense.name,
        config=job.config,
        sample=sample,
        report=report,
        measurements=tuple(_measurements(judged, sample)),
        won_back=share_won_back(nll["dense"], nll["pruned"], nll["healed"], seed=sample.seed),
        num_zeros=sum(int((~mask_FD).sum()) for mask_FD in masks.values()),
        num_revived=_num_revived(healed, masks),
        written=tuple(written),
    )


def _windows(loaded: LoadedModel, sample: Sample) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return windows to heal on and windows to judge on, from two splits without a common document."""
    corpus = load_texts(sample.source)
    return (
        token_windows(corpus.healing, loaded.encode, window=sample.window, count=sample.num_windows),
        token_windows(corpus.heldout, loaded.encode, window=sample.window, count=sample.num_judged),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What a model is worth on the judged text, and how far its predictions are from the dense model's."""

    artefact: str
    nll_NP: NDArray[np.float64]
    kl: Measurement | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """Judges models on one text, beside the dense one."""

    dense: LoadedModel
    judged_NT: NDArray[np.int64]
    seed: int
    tell: Told

    def __call__(self, loaded: LoadedModel, name: str) -> _Judged:
        """Return what a model as it was loaded is worth; the dense one is not compared with itself."""
        progress = part_of(self.tell, f"judging, {name}")
        artefact = find_candidate(loaded.spec, engine="torch", dtype="float32").artefact
        nll_NP = token_nll(loaded.model, self.judged_NT, batch_size=_JUDGED_BATCH, progress=progress)
        if loaded is self.dense:
            return _Judged(artefact=artefact, nll_NP=nll_NP, kl=None)
        apart = divergence(
            model_logits(self.dense.model),
            model_logits(loaded.model),
            self.judged_NT,
            generator=np.random.default_rng(self.seed),
            progress=progress,
        )
        return _Judged(artefact=artefact, nll_NP=nll_NP, kl=apart.measurements(artefact=artefact)[0])


def _measurements(judged: dict[str, _Judged], sample: Sample) -> Iterator[Measurement]:
    for name, each in judged.items():
        perplexity = perplexity_from_nll(each.nll_NP, generator=np.random.default_rng(sample.seed))
        yield perplexity.measurement(artefact=each.artefact, name=f"{name}_perplexity")
        if each.kl is not None:
            yield each.kl.model_copy(update={"name": f"{name}_kl"})
    if sample.num_judged >= MIN_WINDOWS:
        for base in ("pruned", "dense"):
            ratio = paired_ratio(judged["healed"].nll_NP, judged[base].nll_NP, seed=sample.seed)
            yield ratio.measurement(artefact=judged["healed"].artefact, name=f"healed_over_{base}")


def _num_revived(healed: LoadedModel, masks: Masks) -> int:
    return sum(
        int((healed.model.get_parameter(f"{path}.weight")[~mask_FD] != 0).sum()) for path, mask_FD in masks.items()
    )


def _out_of_time(limits: Limits) -> Callable[[], bool]:
    if limits.cpu_minutes is None:
        return lambda: False
    end = time.process_time() + 60 * limits.cpu_minutes
    return lambda: time.process_time() > end


def _ends(low: float | None, high: float | None) -> str:
    return "not measured" if low is None or high is None else f"{low:.3f} to {high:.3f}"
