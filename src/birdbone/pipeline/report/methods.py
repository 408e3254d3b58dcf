"""Which methods a run used, each with its source. Only what a finished step did is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from birdbone.pipeline.service import RunView


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method: what it did here, and the work it comes from."""

    use: str
    source: str
    """Authors, year, title."""
    where: str = ""
    """arXiv number or place of publication."""


_WANDA = Method(
    use="Importance of a weight: its size times how loud its input is (Wanda).",
    source="Sun, Liu, Bair, Kolter 2023. A Simple and Effective Pruning Approach for Large Language Models",
    where="arXiv:2306.11695",
)
_MAGNITUDE = Method(
    use="Importance of a weight: its size.",
    source="Han, Pool, Tran, Dally 2015. Learning both Weights and Connections for Efficient Neural Networks",
    where="arXiv:1506.02626",
)
_REFIT = Method(
    use="Least-squares refit of the surviving weights by preconditioned conjugate gradients.",
    source="Meng, Behdin, Wang, Mazumder 2024. ALPS: Improved Optimization for Highly Sparse One-Shot Pruning for "
    "Large Language Models",
    where="arXiv:2406.07831",
)
_HEAL = Method(
    use="Healing: block by block, the pruned model learns the dense model's outputs with the mask held.",
    source="Frantar, Singh, Alistarh 2022. Optimal Brain Compression: A Framework for Accurate Post-Training "
    "Quantization and Pruning",
    where="arXiv:2208.11580",
)
_REGROW = Method(
    use="Regrowth of the shed weights with the largest loss gradient.",
    source="Evci, Gale, Menick, Castro, Elsen 2019. Rigging the Lottery: Making All Tickets Winners",
    where="arXiv:1911.11134",
)
_IMATRIX = Method(
    use="Block scales chosen with each weight's error weighted by its input's power (importance matrix).",
    source="The ggml authors. make_qx_quants",
    where="ggml, src/ggml-quants.c",
)
_FEEDBACK = Method(
    use="Rounding that feeds the error of each column forward into those not yet rounded.",
    source="Frantar, Ashkboos, Hoefler, Alistarh 2022. GPTQ: Accurate Post-Training Quantization for Generative "
    "Pre-trained Transformers",
    where="arXiv:2210.17323",
)
_LOW_RANK = Method(
    use="Low-rank correction of the block scales by a truncated singular value decomposition.",
    source="Eckart, Young 1936. The approximation of one matrix by another of lower rank",
    where="Psychometrika 1",
)
_BOOTSTRAP = Method(
    use="Intervals of perplexities and of their ratios: bootstrap-t over windows.",
    source="Efron, Tibshirani 1993. An Introduction to the Bootstrap",
    where="section 12.5",
)
_SIGN_TEST = Method(
    use="Intervals of decode rates: order statistics around the median.",
    source="Conover 1999. Practical Nonparametric Statistics",
    where="section 3.2",
)


def methods_used(view: RunView) -> tuple[Method, ...]:
    """Return the methods of the steps that are done, in the order of the recipe."""
    settings = {step["kind"]: step for step in view.run.recipe.get("steps", ())}
    return tuple(dict.fromkeys(_used(view, settings)))


def _used(view: RunView, settings: Mapping[str, Mapping[str, Any]]) -> Iterator[Method]:
    done = {step.kind for step in view.steps if step.status == "done"}
    if "waves" in done:
        yield from _used_in_waves(view, settings.get("waves", {}))
    if "quantize" in done:
        rounding = settings.get("quantize", {}).get("rounding", {}).get("kind")
        yield from {"importance": (_IMATRIX,), "feedback": (_FEEDBACK,)}.get(str(rounding), ())
    if "low_rank" in done:
        yield _LOW_RANK
    names = {row.name for row in view.measurements if row.low is not None}
    if names & {"perplexity", "perplexity_gguf", "perplexity_ratio"}:
        yield _BOOTSTRAP
    if names & {"decode_rate", "decode_speedup"}:
        yield _SIGN_TEST


def _used_in_waves(view: RunView, settings: Mapping[str, Any]) -> Iterator[Method]:
    score = settings.get("importance", {}).get("kind")
    yield from {"wanda": (_WANDA,), "magnitude": (_MAGNITUDE,)}.get(str(score), ())
    yield _REFIT
    notes = [step.result["notes"] for step in view.steps if step.kind == "waves" and step.result]
    if any(note.get("healing_errors_after") for note in notes):
        yield _HEAL
    if any(note.get("num_regrown") for note in notes):
        yield _REGROW
