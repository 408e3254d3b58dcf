"""What `compress quantize` does and prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from rich.table import Table

from birdbone.cli.compress.bars import part_bar, part_of
from birdbone.cli.errors import UsageError
from birdbone.cli.output import new_table, talk
from birdbone.compress.calibration import choose_windows
from birdbone.compress.config import CalibrationChoiceConfig, QuantizeConfig
from birdbone.compress.quantize import QuantizedModel, dequantized, quantize_model
from birdbone.compress.quantize.mixed import Tell
from birdbone.core import Measurement, digest_file
from birdbone.data import DataConfig
from birdbone.evaluate import paired_ratio
from birdbone.evaluate.divergence import divergence, model_logits
from birdbone.evaluate.perplexity import perplexity_from_nll, token_nll
from birdbone.evaluate.statistics import MIN_WINDOWS
from birdbone.models import LoadedModel, load_model, use_threads
from birdbone.models.gguf import GgufReport, write_gguf
from birdbone.models.gguf.adapter import LowRankUpdate, write_gguf_adapter
from birdbone.models.llamacpp import file_nll
from birdbone.models.tensors import as_token_ids
from birdbone.pipeline.report.bits_page import LABELS, BitsReport, bits_data, bits_words, type_rows, write_bits_page
from birdbone.pipeline.report.wording import NOT_MEASURED, interval_words
from birdbone.pipeline.steps.materials import cut_windows
from birdbone.watch import choose_num_threads

_SEED = 0
_POOL = 4
"""Windows that a choice by diversity picks from, times those it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a person asked for, checked."""

    config: QuantizeConfig
    data: DataConfig
    choice: CalibrationChoiceConfig
    num_windows: int
    adapter_rank: int

    @property
    def words(self) -> dict[str, str]:
        """The settings that decide, for people."""
        allocation, wanted = self.config.format.allocation, self.config.format
        return {
            "target": f"{allocation.bits_per_weight:g} bits a weight" if allocation is not None else wanted.linears,
            "embedding": wanted.embedding,
            "rounding": self.config.rounding.kind,
            **({"adapter": f"rank {self.adapter_rank}"} if self.adapter_rank else {}),
            "calibration": f"{self.num_windows} windows of {self.data.window} tokens, {self.choice.kind}",
            "text": self.data.source,
        }


def plan_of(
    *,
    bits: float | None,
    linears: str,
    types: str | None,
    embedding: str,
    rounding: str,
    learning_steps: int,
    text: str,
    num_windows: int,
    window_tokens: int,
    num_heldout: int,
    choice: str,
    adapter_rank: int = 0,
) -> Plan:
    """Return the plan that a person asked for.

    Raises:
        UsageError: a type, a rounding or a choice that there is not, or a number out of its bounds.
    """
    chosen_from = {} if types is None else {"types": tuple(types.split(","))}
    allocation = None if bits is None else {"bits_per_weight": bits, **chosen_from}
    if types is not None and bits is None:
        raise UsageError("--types says what --bits may choose from; give --bits too.")
    try:
        return Plan(
            config=QuantizeConfig.model_validate(
                {
                    "format": {"linears": linears, "embedding": embedding, "allocation": allocation},
                    "rounding": {
                        "kind": rounding,
                        "should_search_scales": rounding == "feedback",
                        "order": "loudest_first" if rounding == "descent" else "stored",
                        "num_learning_steps": learning_steps,
                    },
                }
            ),
            choice=CalibrationChoiceConfig.model_validate({"kind": choice}),
            data=DataConfig(
                source=text,
                window=window_tokens,
                num_calibration_windows=num_windows if choice == "first" else _POOL * num_windows,
                num_healing_windows=1,
                num_heldout_windows=num_heldout,
            ),
            num_windows=num_windows,
            adapter_rank=adapter_rank,
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{place}: {first['msg']}; {first['input']!r} came.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Files that are wanted."""

    model: Path | None
    adapter: Path | None
    page: Path | None


def quantize(model: str, plan: Plan, *, outputs: Outputs, num_threads: int | None) -> tuple[BitsReport, list[Path]]:
    """Return what fewer bits did to a model, and the paths of what was written.

    Raises:
        UsageError: an adapter without the file that it belongs to.
        ModelError: there is no such model, or it cannot be written as GGUF.
        DataError: there is too little text.
        CompressError: the target cannot be met, or a weight cannot be rounded.
    """
    if outputs.adapter is not None and outputs.model is None:
        raise UsageError("An adapter belongs to one file: give --out too.")
    before = use_threads(num_threads or choose_num_threads())
    try:
        with part_bar() as tell:
            found, report = _quantize(load_model(model), plan, outputs, tell=tell)
    finally:
        use_threads(before)
    written = [path for path in (outputs.model, outputs.adapter) if path is not None]
    if report is not None:
        for limit in report.limits:
            talk(f"note: {limit}")
    if outputs.page is not None:
        written.append(write_bits_page(outputs.page, found))
    return found, written


def as_json(found: BitsReport) -> dict[str, Any]:
    """Return everything as plain data."""
    return bits_data(found)


def tables(found: BitsReport) -> Iterator[Table]:
    """Yield the figures with their evidence, then the types."""
    rows: list[tuple[str, str, str, str]] = [
        (LABELS[each.name], bits_words(each), interval_words(each), each.basis) for each in found.measurements
    ]
    rows += [(LABELS[name], f"{NOT_MEASURED}: {reason}", "", "") for name, reason in found.not_measured.items()]
    yield new_table(("figure", "value", "95 % interval", "basis"), rows, title=found.model)
    yield new_table(
        ("type", "bits a weight", "linears", "weights", "bytes"),
        [(kind, f"{bits:.2f}", str(n), f"{w:,}", f"{size:,}") for kind, bits, n, w, size in type_rows(found)],
        title="types of the linears",
    )


def _quantize(loaded: LoadedModel, plan: Plan, outputs: Outputs, *, tell: Tell) -> tuple[BitsReport, GgufReport | None]:
    out = outputs.model
    windows, _ = cut_windows(plan.data, loaded)
    calibration_NT = choose_windows(
        loaded.model,
        loaded.architecture,
        as_token_ids(windows["calibration"]),
        count=plan.num_windows,
        config=plan.choice,
    )
    quantized = quantize_model(
        loaded.model,
        loaded.architecture,
        windows_NT=calibration_NT,
        config=plan.config,
        adapter_rank=plan.adapter_rank if outputs.adapter is not None else 0,
        tell=tell,
    )
    report = None if out is None else _write(out, loaded, quantized)
    # What a person is told was measured on the file, loaded again, where there is one.
    candidate = dequantized(loaded.model, quantized) if out is None else load_model(str(out)).model
    artefact = "in memory, not stored" if out is None else digest_file(out)
    measured, absent = _measure(loaded.model, candidate, windows["heldout"], artefact=artefact, tell=tell)
    counted, unknown = _counted(quantized, report, artefact=artefact)
    if out is not None and outputs.adapter is not None:
        measured += _adapt(loaded, quantized, out, outputs.adapter, windows["heldout"], tell=tell)
    figures = {figure.name: figure for figure in (*measured, *counted)}
    return (
        BitsReport(
            model=loaded.name,
            linears=quantized.linears,
            measurements=tuple(figures[name] for name in LABELS if name in figures),
            not_measured={**absent, **unknown},
            settings=plan.words,
        ),
        report,
    )


def _write(out: Path, loaded: LoadedModel, quantized: QuantizedModel) -> GgufReport:
    return write_gguf(
        out,
        model_config=loaded.model.config,
        state_tensors=loaded.model.state_dict() | dict(quantized.tensors),
        tokenizer=loaded.tokenizer,
        name=loaded.name,
        license_name=loaded.licence or "",
    )


def _adapt(
    loaded: LoadedModel,
    quantized: QuantizedModel,
    file: Path,
    adapter: Path,
    heldout_NT: NDArray[np.int64],
    *,
    tell: Tell,
) -> list[Measurement]:
    """Write the adapter and return its size and what it does to the file's perplexity in llama.cpp."""
    ranks = [factors.right_RD.shape[0] for factors in quantized.factors.values()]
    updates = {
        # llama.cpp counts alpha over each update's own rank, and there is one alpha.
        f"{path}.weight": LowRankUpdate(a_RD=found.right_RD, b_FR=found.left_FR * (rank / max(ranks)))
        for (path, found), rank in zip(quantized.factors.items(), ranks, strict=True)
    }
    write_gguf_adapter(
        adapter,
        model_config=loaded.model.config,
        state_tensors=loaded.model.state_dict(),
        updates=updates,
        alpha=float(max(ranks)),
    )
    bare_NP, adapted_NP = (
        file_nll(
            file,
            heldout_NT,
            num_threads=choose_num_threads(),
            adapter=path,
            progress=part_of(tell, f"perplexity in llama.cpp, {words}"),
        )
        for path, words in ((None, "bare"), (adapter, "with the adapter"))
    )
    artefact = digest_file(adapter)
    figures = [
        perplexity_from_nll(adapted_NP, generator=np.random.default_rng(_SEED)).measurement(
            artefact=artefact, name="adapter_perplexity"
        ),
        Measurement(
            name="adapter_bytes",
            value=adapter.stat().st_size,
            unit="byte",
            method="the adapter as written, header included",
            artefact=artefact,
        ),
    ]
    if len(heldout_NT) >= MIN_WINDOWS:
        ratio = paired_ratio(adapted_NP, bare_NP, seed=_SEED).measurement(artefact=artefact)
        figures.append(ratio.model_copy(update={"name": "adapter_ratio"}))
    return figures


def _measure(
    dense: Any, candidate: Any, heldout_NT: NDArray[np.int64], *, artefact: str, tell: Tell
) -> tuple[list[Measurement], dict[str, str]]:
    """Return perplexities, their paired ratio and the divergence, and why a figure is absent."""
    nll = {
        "dense_perplexity": token_nll(dense, heldout_NT, batch_size=1, progress=part_of(tell, "perplexity, dense")),
        "perplexity": token_nll(candidate, heldout_NT, batch_size=1, progress=part_of(tell, "perplexity")),
    }
    figures = [
        perplexity_from_nll(each, generator=np.random.default_rng(_SEED)).measurement(artefact=artefact, name=name)
        for name, each in nll.items()
    ]
    absent = {}
    if len(heldout_NT) >= MIN_WINDOWS:
        ratio = paired_ratio(nll["perplexity"], nll["dense_perplexity"], seed=_SEED)
        figures.append(ratio.measurement(artefact=artefact))
    else:
        absent["perplexity_ratio"] = f"{len(heldout_NT)} windows give no interval; {MIN_WINDOWS} do"
    apart = divergence(
        model_logits(dense),
        model_logits(candidate),
        heldout_NT,
        generator=np.random.default_rng(_SEED),
        progress=part_of(tell, "divergence from dense"),
    )
    return [*figures, *apart.measurements(artefact=artefact)], absent


def _counted(
    quantized: QuantizedModel, report: GgufReport | None, *, artefact: str
) -> tuple[list[Measurement], dict[str, str]]:
    """Return what was counted, what the allocation expected, and why a figure is absent."""
    num_weights = sum(each.num_weights for each in quantized.linears)
    size = sum(each.size_bytes for each in quantized.linears)
    rows = [
        ("bits_per_weight", quantized.bits_per_weight, "bit/weight", "bytes of all linears over their weights"),
        ("linear_bytes", size, "byte", "blocks of all linears, scales and mins included"),
        ("half_bytes", 2 * num_weights, "byte", "two bytes a weight"),
    ]
    absent = {}
    if report is None:
        absent["file_bytes"] = "no file was written (--out)"
    else:
        rows.append(("file_bytes", report.size_bytes, "byte", "the file as written, header included"))
    figures = [
        Measurement(name=name, value=value, unit=unit, method=method, artefact=artefact)
        for name, value, unit, method in rows
    ]
    return [*figures, *_expected(quantized, artefact=artefact)], absent


def _expected(quantized: QuantizedModel, *, artefact: str) -> Iterator[Measurement]:
    """Yield what the types were chosen by, where they were chosen."""
    allocation, calibration = quantized.chosen.allocation, quantized.chosen.calibration
    if allocation is None or calibration is None:
        return
    yield Measurement(
        name="estimated_damage",
        value=allocation.damage,
        unit="nat",
        method=f"second order, plain rounding, corrected by {calibration.num_measured} linears measured alone",
        artefact=artefact,
        basis="estimated",
    )
    if calibration.rank_agreement is not None:
        yield Measurement(
            name="rank_agreement",
            value=calibration.rank_agreement,
            unit="1",
            method=f"Spearman's correlation with the damage of {calibration.num_measured} linears rounded alone",
            artefact=artefact,
            sample_size=calibration.num_measured,
        )
