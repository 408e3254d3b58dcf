"""Records as CSV for a spreadsheet, and as a Markdown table for a reader. What was not measured is an empty cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from birdbone.core import Measurement
from birdbone.evaluate.benchmarks.standing import standing_words
from birdbone.evaluate.history.board import engine_words
from birdbone.evaluate.history.records import Record
from birdbone.evaluate.history.wording import (
    code_words,
    figure_words,
    machine_words,
    moment_words,
    percent_words,
    short_digest,
)

_PACKAGES = ("lm-eval", "torch", "transformers")
_HEADS = ("Figure", "Value [95 %]", "A guess", "Standing", "Items", "Examples", "Engine", "When", "Record")
_MARKS = r"\`*_<>|#"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(records: Sequence[Record]) -> str:
    """Return one line a figure, below a line of column names; empty without records.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    rows = [_csv_row(record, figure) for record, figure in _figures(records)]
    if not rows:
        return ""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def markdown_table(records: Sequence[Record]) -> str:
    """Return the figures as a table, and below it where and by what code they were taken."""
    rows = [(record.subject.model, *_cells(record, figure)) for record, figure in _figures(records)]
    return f"{_table(('Model', *_HEADS), rows)}\n{evidence_lines(records)}"


def figures_table(records: Sequence[Record]) -> str:
    """Return the figures of one model as a table."""
    return _table(_HEADS, [_cells(record, figure) for record, figure in _figures(records)])


def evidence_lines(records: Sequence[Record]) -> str:
    """Return a list of what stands behind figures: machines, code, harness, items and digests, each once."""
    told = {
        "Code": [code_words(record.environment) for record in records],
        "Machine": [machine_words(record.environment) for record in records],
        "Harness": [record.evidence.asked.harness for record in records if record.evidence],
        "Items": [
            f"{record.evidence.asked.benchmark} from {record.evidence.asked.items_source}"
            for record in records
            if record.evidence
        ],
        "Artefact": [f"{record.subject.model} is {record.subject.artefact}" for record in records],
        "Version": [
            f"{record.subject.model} is version {record.subject.version}"
            for record in records
            if record.subject.version
        ],
    }
    lines = [(name, words) for name, found in told.items() for words in dict.fromkeys(found)]
    return "".join(f"- {name}: {escape(words)}.\n" for name, words in lines)


def standing_in(record: Record) -> str:
    """Return whether a benchmark's score is more than a guess; nothing of other figures."""
    return "" if record.evidence is None else standing_words(record.evidence.is_above_chance)


def escape(text: str) -> str:
    """Return a text on one line that Markdown takes as it is."""
    return "".join(f"\\{letter}" if letter in _MARKS else letter for letter in " ".join(text.split()))


def _csv_row(record: Record, figure: Measurement) -> dict[str, object]:
    evidence, environment = record.evidence, record.environment
    asked = None if evidence is None else evidence.asked
    return {
        "model": record.subject.model,
        "artefact": record.subject.artefact,
        "version": record.subject.version,
        "ref": record.subject.ref,
        "figure": figure.name,
        "value": figure.value,
        "low": figure.low,
        "high": figure.high,
        "unit": figure.unit,
        "basis": figure.basis,
        "sample_size": figure.sample_size,
        "chance": None if evidence is None else evidence.chance,
        "standing": standing_in(record),
        "num_fewshot": None if asked is None else asked.num_fewshot,
        "limit": None if asked is None else asked.limit,
        "num_shortened": None if evidence is None else evidence.num_shortened,
        "method": figure.method,
        "engine": "" if evidence is None else engine_words(evidence),
        "items_source": None if asked is None else asked.items_source,
        "taken_at": record.taken_at.isoformat(),
        "birdbone": environment.birdbone,
        "source_commit": environment.source_commit,
        "commit": environment.commit,
        "python": environment.python,
        **{name: environment.packages.get(name) for name in _PACKAGES},
        "cpu": environment.cpu,
        "cores": environment.cores,
        "threads": environment.threads,
        "dtype": environment.dtype,
        "record": record.id,
    }


def _cells(record: Record, figure: Measurement) -> tuple[str, ...]:
    evidence = record.evidence
    return (
        figure.name.removeprefix("benchmark."),
        figure_words(figure),
        percent_words(evidence.chance) if evidence is not None and evidence.chance else "",
        standing_in(record),
        "" if figure.sample_size is None else f"{figure.sample_size:,}",
        "" if evidence is None else str(evidence.asked.num_fewshot),
        "" if evidence is None else engine_words(evidence),
        moment_words(record.taken_at),
        short_digest(record.id),
    )


def _figures(records: Sequence[Record]) -> list[tuple[Record, Measurement]]:
    return [(record, figure) for record in records for figure in record.measurements]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ("---",) * len(heads), *(tuple(map(escape, cells)) for cells in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
