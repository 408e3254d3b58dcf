"""The audits of fairness there are, and the files that each needs. Light: nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from birdbone.evaluate.errors import MissingItemsError

AuditName = Literal["crows_pairs", "bbq", "winobias", "winogender", "substitution"]
"""Which audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessAudit:
    """One audit."""

    name: AuditName
    place: str
    """File or folder that it needs, below the folder of all; empty where it brings its own items."""
    licence: str
    """Of the items."""

    def is_in(self, items: Path | None) -> bool:
        """Return whether the folder `items` holds what it needs."""
        return not self.place or (items is not None and (items / self.place).exists())

    def path_in(self, items: Path | None) -> Path:
        """Return the file or folder that it needs. Raises MissingItemsError where that is not there."""
        if not self.is_in(items):
            where = f"not in {items}" if items is not None else "and no folder of items was given"
            raise MissingItemsError(f"{self.name} needs {self.place}, {where}.", audit=self.name, file=self.place)
        return (items or Path()) / self.place


FAIRNESS_AUDITS: Mapping[AuditName, FairnessAudit] = {
    audit.name: audit
    for audit in (
        FairnessAudit(name="crows_pairs", place="crows_pairs_anonymized.csv", licence="CC BY-SA 4.0"),
        FairnessAudit(name="bbq", place="bbq", licence="CC BY 4.0"),
        FairnessAudit(name="winobias", place="winobias", licence="MIT"),
        FairnessAudit(name="winogender", place="winogender_all_sentences.tsv", licence="MIT"),
        FairnessAudit(name="substitution", place="", licence="Apache-2.0, our own"),
    )
}
"""Every audit, in the order in which they run."""
