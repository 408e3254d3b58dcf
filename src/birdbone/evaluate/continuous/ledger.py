"""The ledger of continuous validation: what was judged, by which gates, and what came of it. It only grows."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, ValidationError

from birdbone.core import Strict
from birdbone.evaluate.continuous.rungs import RungName
from birdbone.evaluate.gates import Outcome
from birdbone.vault import Vault
from birdbone.vault.folder import hold_lock
from birdbone.vault.journal import append_line, canonical_line, parse_line, read_journal


class RungVerdict(Strict):
    """What one rung said."""

    rung: RungName
    """The rung."""
    outcome: Outcome
    """Its outcome; what is undecided does not fail before the last rung."""
    reasons: tuple[str, ...]
    """One a rule, or why the model could not be judged."""


class Judgement(Strict):
    """What came of one version in one environment."""

    format: Literal["birdbone.judgement/1"] = "birdbone.judgement/1"
    """Generation of this record."""
    ref: str
    """Full name of the ref that was followed."""
    environment: str
    """The named set of gates; empty for the rules that always hold."""
    version: str
    """The version that was judged."""
    baseline: str | None
    """The version that it was compared with; None for the first, which nothing could be compared with."""
    outcome: Outcome
    """That of the last rung that was asked."""
    rungs: tuple[RungVerdict, ...]
    """The rungs that were asked, in order."""
    at: AwareDatetime
    """When, in UTC."""

    @property
    def is_accepted(self) -> bool:
        """Whether it may be what later versions are compared with."""
        return self.outcome != "fail"

    @property
    def words(self) -> str:
        """The judgement in one line."""
        where = f"{self.environment}: " if self.environment else ""
        if not self.rungs:
            return f"{where}first version, nothing to compare with"
        last = self.rungs[-1]
        why = "; ".join(last.reasons) if last.outcome != "pass" else f"{len(last.reasons)} rule(s) kept"
        return f"{where}{self.outcome} at {last.rung}: {why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The file of judgements of one vault."""

    vault: Vault
    path: Path

    def read(self, *, ref: str, environment: str) -> list[Judgement]:
        """Return the judgements of a ref in an environment, oldest first; a line that is none is passed over."""
        found = []
        for line in read_journal(self.path).lines:
            plain = parse_line(line)
            if plain is None or (plain.get("ref"), plain.get("environment")) != (ref, environment):
                continue
            try:
                found.append(Judgement.model_validate_json(line))
            except ValidationError:
                continue
        return found

    def append(self, judgement: Judgement) -> None:
        """Write a judgement down; it is durable then.

        Raises:
            VaultBusyError: another process holds the vault for too long.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(self.vault):
            torn = read_journal(self.path).torn
            append_line(self.path, canonical_line(judgement.model_dump(mode="json")), torn=torn)


def now() -> dt.datetime:
    """Return the time in UTC."""
    return dt.datetime.now(dt.UTC)
