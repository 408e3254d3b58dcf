"""A model card for the Hugging Face hub: `model-index` metadata that leaderboards read, and the evidence in words.

Whoever publishes a model adds what a judgement does not know: its licence, its data, its purpose.
Source of the format: Mitchell et al. 2019, arXiv:1810.03993; huggingface_hub's `EvalResult` and `ModelCardData`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from birdbone.evaluate.benchmarks import BENCHMARKS
from birdbone.evaluate.errors import UnknownRecordError
from birdbone.evaluate.history.exports.tables import escape, evidence_lines, figures_table, standing_in
from birdbone.evaluate.history.records import Evidence, Record

_TASK = "text-generation"
_DATASETS: dict[str, tuple[str, str | None, str]] = {
    "mmlu": ("cais/mmlu", None, "test"),
    "gsm8k": ("openai/gsm8k", "main", "test"),
    "hellaswag": ("Rowan/hellaswag", None, "validation"),
    "arc_challenge": ("allenai/ai2_arc", "ARC-Challenge", "test"),
    "arc_easy": ("allenai/ai2_arc", "ARC-Easy", "test"),
    "truthfulqa_mc1": ("truthfulqa/truthful_qa", "multiple_choice", "validation"),
    "truthfulqa_mc2": ("truthfulqa/truthful_qa", "multiple_choice", "validation"),
    "winogrande": ("allenai/winogrande", "winogrande_xl", "validation"),
    "lambada": ("EleutherAI/lambada_openai", "default", "test"),
    "piqa": ("baber/piqa", None, "validation"),
    "blimp": ("nyu-mll/blimp", None, "train"),
    "humaneval": ("openai/openai_humaneval", None, "test"),
    "mbpp": ("google-research-datasets/mbpp", "full", "test"),
}
"""Of each benchmark the dataset's name on the hub, its configuration and its split, as lm-eval has them."""


def model_card(records: Sequence[Record]) -> str:
    """Return the card of one model out of its records, newest figures only, ready to be saved as README.md.

    Raises:
        UnknownRecordError: there is no record.
    """
    if not records:
        raise UnknownRecordError("A card needs at least one record.")
    subject = records[-1].subject
    results = [_eval_result(record, record.evidence) for record in records if record.evidence is not None]
    data = ModelCardData(model_name=subject.model, eval_results=results or None, tags=["birdbone"])
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n{_body(records)}")
    return str(card)


def _eval_result(record: Record, evidence: Evidence) -> EvalResult:
    asked, figure = evidence.asked, record.measurements[0]
    standing = "" if evidence.is_above_chance else f" ({standing_in(record)})"
    dataset, config, split = _DATASETS.get(asked.benchmark, (asked.benchmark, None, None))
    return EvalResult(
        task_type=_TASK,
        dataset_type=dataset,
        dataset_name=asked.benchmark,
        dataset_config=config,
        dataset_split=split,
        metric_type=asked.metric,
        metric_name=f"{asked.benchmark} {asked.metric}{standing}",
        metric_value=figure.value,
        metric_args=_metric_args(record, evidence),
    )


def _metric_args(record: Record, evidence: Evidence) -> dict[str, Any]:
    """Return the evidence as the metadata holds it; what is not known is left out."""
    figure, asked = record.measurements[0], evidence.asked
    known = {
        "low_95": figure.low,
        "high_95": figure.high,
        "num_items": figure.sample_size,
        "chance": evidence.chance,
        "standing": standing_in(record),
        "num_fewshot": asked.num_fewshot,
        "limit": asked.limit,
        "harness": asked.harness,
        "items": asked.items_source,
        "settings": dict(evidence.settings),
        "num_shortened": evidence.num_shortened or None,
        "artefact": record.subject.artefact,
        "record": record.id,
        "date": record.taken_at.date().isoformat(),
    }
    return {name: value for name, value in known.items() if value is not None}


def _body(records: Sequence[Record]) -> str:
    subject = records[-1].subject
    names = [record.evidence.asked.benchmark for record in records if record.evidence is not None]
    others = [name for name in dict.fromkeys(names) if name not in BENCHMARKS]
    chance = (
        "\nA score at chance lies less than two standard errors above a guess: it says nothing of the model.\n"
        if any(record.evidence is not None and record.evidence.is_above_chance is False for record in records)
        else ""
    )
    own = f"\nNot in the catalogue of well-known benchmarks: {escape(', '.join(others))}.\n" if others else ""
    return (
        f"\n# {escape(subject.model)}\n\n## Evaluation\n\n"
        "Every figure was measured on the files named below, with the interval that its number of items allows.\n\n"
        f"{figures_table(records)}{chance}{own}\n"
        f"### Evidence\n\n{evidence_lines(records)}"
    )
