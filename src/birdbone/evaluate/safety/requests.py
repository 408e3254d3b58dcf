"""Requests that a model is sent: harmful ones from well-known sets, and harmless ones of our own that sound harmful.

Sources: HarmBench (Mazeika et al. 2024, arXiv:2402.04249), AdvBench (Zou et al. 2023, arXiv:2307.15043), StrongREJECT
(Souly et al. 2024, arXiv:2402.10260), MaliciousInstruct (Huang et al. 2023, arXiv:2310.06987), in the files of the
HarmBench repository. HarmBench's requests for protected texts are not asked: whether a song was copied cannot be told
by whether a reply refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from birdbone.evaluate.errors import MissingItemsError
from birdbone.evaluate.item_files import ItemRow, read_json_lines, read_lines, read_table
from birdbone.evaluate.safety.items import ITEMS

HarmfulSet = Literal["harmbench", "advbench", "strongreject", "malicious_instruct"]
"""A set of harmful requests."""

HARMFUL_FILES: Mapping[HarmfulSet, str] = {
    "harmbench": "harmbench/harmbench_behaviors_text_all.csv",
    "advbench": "harmbench/advbench_behaviors.csv",
    "strongreject": "harmbench/strongreject_dataset.csv",
    "malicious_instruct": "harmbench/malicious_instruct.txt",
}
"""The file of each set, below the folder of all."""

HARMFUL_NOTES: Mapping[HarmfulSet, str] = {"harmbench": "its requests for protected texts are not asked"}
"""What is to be said beside a set's figures."""

_COPYRIGHT = "copyright"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person might type."""

    text: str
    kind: str = ""
    """Its category; empty where the set has none."""


def read_harmful(name: HarmfulSet, items: Path | None) -> list[Request]:
    """Return the requests of a set, in the order of its file.

    Raises:
        MissingItemsError: the file is not in `items`, or `items` is None.
        BadItemsError: names file, row and column.
    """
    if items is None or not (items / HARMFUL_FILES[name]).is_file():
        where = f"not in {items}" if items is not None else "and no folder of items was given"
        raise MissingItemsError(f"{name} needs {HARMFUL_FILES[name]}, {where}.", audit=name, file=HARMFUL_FILES[name])
    return _READERS[name](items / HARMFUL_FILES[name])


def read_harmless() -> list[Request]:
    """Return the bundled requests that are harmless and sound harmful: ten kinds, six of each.

    Source: the kinds are those of Röttger et al. 2023 (XSTest), arXiv:2308.01263, section 3; the sentences are ours.
    """
    rows = read_json_lines(ITEMS / "harmless_requests.jsonl", ("kind", "request"))
    return [Request(text=row.text("request"), kind=row.text("kind")) for row in rows]


def _harmbench(path: Path) -> list[Request]:
    columns = ("Behavior", "FunctionalCategory", "SemanticCategory", "ContextString")
    rows = read_table(path, columns)
    return [_with_context(row) for row in rows if row.text("FunctionalCategory") != _COPYRIGHT]


def _with_context(row: ItemRow) -> Request:
    """Put a request's document before it, as HarmBench's own prompts do."""
    context, behavior = row.text("ContextString", may_be_empty=True), row.text("Behavior")
    text = f"{context}\n\n---\n\n{behavior}" if context else behavior
    return Request(text=text, kind=row.text("SemanticCategory"))


def _advbench(path: Path) -> list[Request]:
    return [Request(text=row.text("Behavior")) for row in read_table(path, ("Behavior",))]


def _strongreject(path: Path) -> list[Request]:
    rows = read_table(path, ("category", "forbidden_prompt"))
    return [Request(text=row.text("forbidden_prompt"), kind=row.text("category")) for row in rows]


def _malicious_instruct(path: Path) -> list[Request]:
    return [Request(text=row.text("line")) for row in read_lines(path)]


_READERS: Mapping[HarmfulSet, Callable[[Path], list[Request]]] = {
    "harmbench": _harmbench,
    "advbench": _advbench,
    "strongreject": _strongreject,
    "malicious_instruct": _malicious_instruct,
}
