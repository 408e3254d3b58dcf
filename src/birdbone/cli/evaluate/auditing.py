"""What `eval fairness` and `eval safety` do and print."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, get_args

from rich.table import Table

from birdbone.cli.evaluate.asking import On, find_judged
from birdbone.cli.evaluate.bars import question_bar
from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.output import new_table, print_json, print_table, talk
from birdbone.core import Measurement
from birdbone.evaluate.audits import AuditResult
from birdbone.evaluate.benchmarks.opening import open_judge
from birdbone.evaluate.fairness import FAIRNESS_AUDITS, AuditName
from birdbone.evaluate.fairness.running import prepare_fairness, run_fairness
from birdbone.evaluate.safety import HARMFUL_FILES, HarmfulSet
from birdbone.evaluate.safety.replies import Reply
from birdbone.evaluate.safety.running import HARMLESS, prepare_safety, run_safety
from birdbone.watch import choose_num_threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person wants to know."""

    items: Path | None = None
    limit: int | None = None
    only: tuple[str, ...] = ()


def audit_fairness(model: str, wanted: Wanted, on: On) -> Iterator[AuditResult]:
    """Yield the result of each audit of fairness as it is known.

    Raises:
        UsageError: a name that there is not.
        ModelError, EvaluateError: the model, the items, or the asking.
    """
    named: tuple[AuditName, ...] = tuple(one_of(name, AuditName, "--only") for name in wanted.only)
    names = named or _there(tuple(FAIRNESS_AUDITS), [row.is_in(wanted.items) for row in FAIRNESS_AUDITS.values()])
    prepared = prepare_fairness(names, items=wanted.items, limit=wanted.limit)
    candidate = find_judged(model, on)
    threads = on.threads or choose_num_threads()
    talk(f"{candidate.name} in {candidate.engine}, {threads} thread(s)")
    with open_judge(candidate, num_threads=threads) as judge:
        yield from run_fairness(judge, prepared, artefact=candidate.artefact, progress=question_bar)


def audit_safety(
    model: str, wanted: Wanted, on: On, *, max_new_tokens: int, replies: Path | None = None
) -> Iterator[AuditResult]:
    """Yield the result of each audit of safety as it is known.

    Args:
        model: as a person named it.
        wanted: which audits, of what.
        on: what runs the model.
        max_new_tokens: length of a reply.
        replies: file that gets every request with its reply, those of an audit as soon as it is done.

    Raises:
        UsageError: a name that there is not.
        ModelError, EvaluateError: the model, the items, or the asking.
    """
    known = (*get_args(HarmfulSet), HARMLESS)
    named: tuple[Any, ...] = tuple(one_of(name, known, "--only") for name in wanted.only)
    is_there = [wanted.items is not None and (wanted.items / file).is_file() for file in HARMFUL_FILES.values()]
    names = named or (*_there(tuple(HARMFUL_FILES), is_there), HARMLESS)
    harmful = [name for name in names if name != HARMLESS]
    prepared = prepare_safety(harmful, items=wanted.items, with_harmless=HARMLESS in names, limit=wanted.limit)
    candidate = find_judged(model, on)
    threads = on.threads or choose_num_threads()
    talk(f"{candidate.name} in {candidate.engine}, {threads} thread(s)")
    with ExitStack() as stack:
        file = None if replies is None else stack.enter_context(replies.open("w", encoding="utf-8"))
        judge = stack.enter_context(open_judge(candidate, num_threads=threads))
        yield from run_safety(
            judge,
            prepared,
            artefact=candidate.artefact,
            max_new_tokens=max_new_tokens,
            progress=question_bar,
            told=lambda name, some: None if file is None else _write_replies(file, name, some),
        )


def _write_replies(file: TextIO, audit: str, replies: Sequence[Reply | None]) -> None:
    rows = (_reply_json(audit, reply) for reply in replies if reply is not None)
    file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    file.flush()


def print_audits(results: Iterator[AuditResult], *, as_json: bool) -> None:
    """Print the results: one table an audit as it is known, or one JSON document of all."""
    if as_json:
        print_json([result.model_dump(mode="json") for result in results])
        return
    for result in results:
        print_table(audit_table(result), *_notes(result))


def audit_table(result: AuditResult) -> Table:
    """Return the figures of an audit as a table."""
    rows = [
        (
            figure.name.removeprefix(f"{result.audit}."),
            _value(figure),
            f"{figure.low:.3f} to {figure.high:.3f}" if figure.low is not None and figure.high is not None else "-",
            f"{result.expected[figure.name]:g}" if figure.name in result.expected else "-",
            f"{figure.sample_size:,}" if figure.sample_size is not None else "-",
            figure.method,
        )
        for figure in result.measurements
    ]
    columns = ("figure", "value", "95 % interval", "without fault", "of", "method")
    return new_table(columns, rows, title=f"{result.audit}: {result.method}")


def _notes(result: AuditResult) -> list[str]:
    skipped = [f"left out: {number:,} {reason}" for reason, number in result.skipped.items()]
    return [*skipped, *(f"not measured: {name}, {reason}" for name, reason in result.not_measured.items())]


def _value(figure: Measurement) -> str:
    return f"{figure.value:.3f}" if figure.unit == "1" else f"{figure.value:.3f} {figure.unit}"


def _there(names: Sequence[Any], is_there: Sequence[bool]) -> tuple[Any, ...]:
    """Return the names whose files are there, and say of the others that they are not measured."""
    for name, is_one in zip(names, is_there, strict=True):
        if not is_one:
            talk(f"not measured: {name}, its file is not in the folder of items (--items)")
    return tuple(name for name, is_one in zip(names, is_there, strict=True) if is_one)


def _reply_json(audit: str, reply: Reply) -> dict[str, str]:
    kind, stance = reply.request.kind, reply.stance
    return {"audit": audit, "kind": kind, "request": reply.request.text, "reply": reply.text, "stance": stance}
