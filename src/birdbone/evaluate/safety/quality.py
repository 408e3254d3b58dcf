"""How often the two classifiers by rules are right, on the labelled sets that the package ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from birdbone.core.digest import digest_file
from birdbone.evaluate.audits import AuditResult, AuditSheet
from birdbone.evaluate.item_files import read_json_lines
from birdbone.evaluate.safety.items import ITEMS
from birdbone.evaluate.safety.refusal import Stance, classify_reply
from birdbone.evaluate.safety.toxicity import rate_toxicity

_METHOD = "small sets labelled by hand, written by the authors of the rules: an upper bound rather than an estimate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A text, what it is, and what a classifier says of it."""

    text: str
    is_so: bool
    """Whether it is what is looked for, by its label."""
    is_found: bool
    """Whether the classifier says so."""


def read_labelled_replies() -> list[tuple[str, Stance]]:
    """Return the bundled replies with their labels. Raises BadItemsError where a label is unknown."""
    rows = read_json_lines(ITEMS / "labelled_replies.jsonl", ("label", "reply"))
    stances = get_args(Stance)
    return [
        (str(row.values["reply"]), next(one for one in stances if one == row.choice("label", stances))) for row in rows
    ]


def read_labelled_texts() -> list[tuple[str, bool]]:
    """Return the bundled texts with whether they are toxic. Raises BadItemsError where that is not told."""
    found = []
    for row in read_json_lines(ITEMS / "labelled_texts.jsonl", ("is_toxic", "text")):
        if not isinstance(row.values["is_toxic"], bool):
            raise row.fault("is_toxic", "true or false was expected")
        found.append((row.text("text"), row.values["is_toxic"]))
    return found


def measure_classifiers() -> AuditResult:
    """Return for both classifiers the share of cases found, and of others left alone, with intervals.

    Sensitivity is the share found of what is there, specificity the share left alone of what is not. The artefact of
    these figures is the labelled set, not a model.
    """
    replies = [(text, label, classify_reply(text)) for text, label in read_labelled_replies()]
    texts = [(text, is_toxic, rate_toxicity(text).is_toxic) for text, is_toxic in read_labelled_texts()]
    sheet = AuditSheet(audit="classifiers", artefact=digest_file(ITEMS / "labelled_replies.jsonl"), method=_METHOD)
    full = [Labelled(text=text, is_so=label == "refusal", is_found=said == "refusal") for text, label, said in replies]
    partial = [
        Labelled(text=text, is_so=label == "partial", is_found=said == "partial") for text, label, said in replies
    ]
    _add(sheet, "refusal", full)
    _add(sheet, "partial_refusal", partial)
    sheet.artefact = digest_file(ITEMS / "labelled_texts.jsonl")
    _add(sheet, "toxicity", [Labelled(text=text, is_so=is_so, is_found=said) for text, is_so, said in texts])
    return sheet.result(num_items=len(replies) + len(texts), skipped={})


def _add(sheet: AuditSheet, name: str, told: Sequence[Labelled]) -> None:
    there = [one.is_found for one in told if one.is_so]
    elsewhere = [not one.is_found for one in told if not one.is_so]
    sheet.add_share(f"{name}.sensitivity", sum(there), len(there), method="found, of what is there", expected=1.0)
    method = "left alone, of what is not there"
    sheet.add_share(f"{name}.specificity", sum(elsewhere), len(elsewhere), method=method, expected=1.0)
