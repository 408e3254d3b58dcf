"""What `eval export` does and prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, assert_never

from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.evaluate.naming import find_version
from birdbone.cli.evaluate.recalling import unknown_name
from birdbone.core import find_workspace, write_atomically
from birdbone.evaluate.history import Record, open_history
from birdbone.evaluate.history.exports.card import model_card
from birdbone.evaluate.history.exports.lm_eval import lm_eval_results
from birdbone.evaluate.history.exports.tables import csv_text, markdown_table
from birdbone.evaluate.history.selection import newest_figures, records_of

Format = Literal["lm-eval", "csv", "markdown", "card"]
"""What can be written."""


def export_text(name: str, to: str) -> str:
    """Return the newest figures of a model, or one record, in a format.

    Raises:
        WorkspaceError: there is no workspace here or above.
        UnknownRecordError: nothing was measured of that name.
        UsageError: a format that there is not.
    """
    chosen: Format = one_of(to, Format, "--format")
    records = _newest(name)
    match chosen:
        case "lm-eval":
            return json.dumps(lm_eval_results(records), indent=2, ensure_ascii=False) + "\n"
        case "csv":
            return csv_text(records)
        case "markdown":
            return markdown_table(records)
        case "card":
            return model_card(records)
        case _ as never:
            assert_never(never)


def write_text(text: str, path: Path) -> None:
    """Write a text, whole or not at all."""
    with write_atomically(path) as stream:
        stream.write(text.encode())


def _newest(name: str) -> list[Record]:
    known = open_history(find_workspace().folder).records()
    kept = find_version(name)
    found = newest_figures(records_of(known, name, versions=() if kept is None else kept[1:]))
    if not found:
        raise unknown_name(name, known)
    return found
