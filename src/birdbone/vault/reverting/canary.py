"""A candidate that is tried on a ref of its own before the main ref follows.

`canary/<name>` points at the candidate; whoever serves that ref reports observations. Each is judged by thresholds and
gates against the figures of the version that the main ref had at the start. More failures than allowed: the canary ref
goes back to that version, and the main ref was never touched. Enough observations without: the main ref moves.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, Field, JsonValue, ValidationError

from birdbone.core.files import write_json
from birdbone.core.measurement import Measurement
from birdbone.core.schema import Strict
from birdbone.vault.errors import BadRevertError, DecisionError, RefConflictError, UnsupportedFormatError
from birdbone.vault.folder import Vault, explain_write_errors, hold_lock
from birdbone.vault.history.commits import log
from birdbone.vault.names import check_kind
from birdbone.vault.refs.lookup import read_version, resolve
from birdbone.vault.refs.refs import move_ref, read_ref, ref_target
from birdbone.vault.reverting.observations import Observation, read_figures
from birdbone.vault.reverting.rules import SingleRule
from birdbone.vault.reverting.violations import judge_each

Verdict = Literal["good", "bad", "unknown"]


class CanaryObservation(Strict):
    """One observation of the candidate and what the rules said."""

    at: AwareDatetime
    """When."""
    measurements: tuple[dict[str, JsonValue], ...]
    """The figures, as `Measurement` rows."""
    verdict: Verdict
    """The worst of the rules; `unknown`: some rule had no figure, so the observation does not count."""
    reasons: tuple[str, ...]
    """One a rule."""


class Canary(Strict):
    """A trial of a candidate: plain data, one JSON file in `reverts/canaries/`."""

    format: Literal["birdbone.canary/1"] = "birdbone.canary/1"
    """Generation of this record."""
    name: str
    """Its name; its ref is `canary/<name>`."""
    ref: str
    """Full name of the main ref."""
    base: str
    """What the main ref pointed at when the trial began."""
    candidate: str
    """The version on trial; it follows `base`."""
    rules: tuple[SingleRule, ...] = Field(min_length=1)
    """What is judged in each observation."""
    num_observations: int = Field(ge=1)
    """How many judged observations decide."""
    max_failures: int = Field(default=0, ge=0)
    """How many of them may be bad."""
    observations: tuple[CanaryObservation, ...] = ()
    """What was seen so far."""
    state: Literal["running", "promoted", "rolled_back"] = "running"
    """What became of it."""
    closed_at: AwareDatetime | None = None
    """When it ended."""

    @property
    def canary_ref(self) -> str:
        """Full name of the ref that is moved first."""
        return f"refs/heads/canary/{self.name}"


def judge_canary(canary: Canary) -> Literal["wait", "promote", "roll_back"]:
    """Return what the observations so far ask for. Pure."""
    verdicts = [seen.verdict for seen in canary.observations if seen.verdict != "unknown"]
    if verdicts.count("bad") > canary.max_failures:
        return "roll_back"
    return "promote" if len(verdicts) >= canary.num_observations else "wait"


def start_canary(
    vault: Vault,
    name: str,
    candidate: str,
    *,
    ref: str,
    rules: Sequence[SingleRule],
    num_observations: int,
    max_failures: int = 0,
    author: str | None = None,
) -> Canary:
    """Return the trial that has begun: `canary/<name>` points at the candidate, `ref` is untouched.

    Args:
        name: lower case and plain, such as `wave-7`.
        candidate: a version that follows what `ref` points at; a revert committed on a branch of its own is one.

    Raises:
        BadRevertError: the candidate does not follow what `ref` points at.
        DecisionError: a trial of this name is running.
    """
    full = ref_target(vault, ref)
    base, tried = resolve(vault, full), resolve(vault, candidate)
    if base == tried or base not in {version.id for version in log(vault, tried)}:
        raise BadRevertError(f"{tried} does not follow {base}, which {full} points at.", version=tried)
    canary = Canary(
        name=check_kind(name),
        ref=full,
        base=base,
        candidate=tried,
        rules=tuple(rules),
        num_observations=num_observations,
        max_failures=max_failures,
    )
    if _path(vault, name).exists() and (known := read_canary(vault, name)) != canary and known.state == "running":
        raise DecisionError(f"The canary {name} is running with another candidate.", name=name)
    _write(vault, canary)
    move_ref(vault, canary.canary_ref, tried, reason=f"canary {name} begins", author=author)
    return canary


def read_canary(vault: Vault, name: str) -> Canary:
    """Return a trial.

    Raises:
        DecisionError: there is none of this name.
    """
    path = _path(vault, name)
    try:
        return Canary.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DecisionError(f"There is no canary {name}.", name=name) from error
    except ValidationError as error:
        raise UnsupportedFormatError(f"{path.name} is no canary.", path=str(path)) from error


def observe_canary(
    vault: Vault, name: str, measurements: Sequence[Measurement | Mapping[str, Any]], *, now: dt.datetime
) -> Canary:
    """Return the trial with one more observation, judged against the figures of its base.

    Args:
        measurements: figures taken on the candidate's artefact.

    Raises:
        DecisionError: there is no such trial, or it has ended.
    """
    with hold_lock(vault):
        canary = _running(vault, name)
        rows = tuple(row.model_dump(mode="json") if isinstance(row, Measurement) else dict(row) for row in measurements)
        base, tried = _observation(vault, canary.base), _observation(vault, canary.candidate, rows=rows)
        judged = [judge_each(rule, (base, tried))[-1] for rule in canary.rules]
        states = {one.state for one in judged}
        verdict: Verdict = "bad" if "bad" in states else "unknown" if "unknown" in states else "good"
        seen = CanaryObservation(at=now, measurements=rows, verdict=verdict, reasons=tuple(one.words for one in judged))
        canary = canary.model_copy(update={"observations": (*canary.observations, seen)})
        _write(vault, canary)
    return canary


def settle_canary(vault: Vault, name: str, *, now: dt.datetime, author: str | None = None) -> Canary:
    """Return the trial after it was acted upon: promoted, rolled back, or still running. Doing it again does no harm.

    Raises:
        DecisionError: there is no such trial, or it has ended.
        RefConflictError: the main ref has moved since the trial began, so what was tried is not what would result; it
            stays where it is and the trial goes on.
    """
    canary = _running(vault, name)
    match judge_canary(canary):
        case "wait":
            return canary
        case "promote":
            if read_ref(vault, canary.ref) not in (canary.base, canary.candidate):
                raise RefConflictError(f"{canary.ref} has moved since the canary {name} began.", ref=canary.ref)
            if read_ref(vault, canary.ref) == canary.base:
                move_ref(
                    vault,
                    canary.ref,
                    canary.candidate,
                    expected=canary.base,
                    reason=f"canary {name} passed {canary.num_observations} observations",
                    author=author,
                )
            return _close(vault, canary, state="promoted", now=now)
        case "roll_back":
            reason = f"canary {name} failed: {canary.observations[-1].reasons[0]}"
            move_ref(vault, canary.canary_ref, canary.base, reason=reason, author=author)
            return _close(vault, canary, state="rolled_back", now=now)


def _running(vault: Vault, name: str) -> Canary:
    canary = read_canary(vault, name)
    if canary.state != "running":
        raise DecisionError(f"The canary {name} has ended: {canary.state}.", name=name)
    return canary


def _observation(vault: Vault, version: str, *, rows: Sequence[Mapping[str, Any]] | None = None) -> Observation:
    record = read_version(vault, version)
    figures = read_figures(record.measurements if rows is None else rows, artefact=record.artefact)
    return Observation(version=version, artefact=record.artefact, figures=figures)


def _close(vault: Vault, canary: Canary, *, state: Literal["promoted", "rolled_back"], now: dt.datetime) -> Canary:
    closed = canary.model_copy(update={"state": state, "closed_at": now})
    _write(vault, closed)
    return closed


def _path(vault: Vault, name: str) -> Path:
    return vault.folder / "reverts" / "canaries" / f"{check_kind(name)}.json"


def _write(vault: Vault, canary: Canary) -> None:
    path = _path(vault, canary.name)
    with explain_write_errors(path):
        write_json(path, canary.model_dump(mode="json"))
