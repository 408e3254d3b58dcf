"""A candidate that is tried on a ref of its own before the main ref follows.

`canary/<name>` points at the candidate; whoever serves that ref reports observations. Each is judged by thresholds and
gates against the figures of the version that the main ref had at the start. More failures than allowed: the canary ref
goes back to that version, and the main ref was never touched. Enough observations without: the main ref moves.

A share of a figure that was never taken on that version is no limit, and the version cannot get one later; so a rule
that would need it is refused at the start. Otherwise the candidate would pass as the first of its kind.
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
from birdbone.vault.errors import (
    BadRevertError,
    BadRulesError,
    DecisionError,
    RefConflictError,
    UnknownNameError,
    UnsupportedFormatError,
)
from birdbone.vault.folder import Vault, explain_write_errors, hold_lock
from birdbone.vault.history.commits import log
from birdbone.vault.names import check_kind
from birdbone.vault.refs.lookup import read_version, resolve
from birdbone.vault.refs.refs import move_ref, read_ref, ref_target, swap_ref
from birdbone.vault.reverting.observations import Observation, read_figures
from birdbone.vault.reverting.rules import SingleRule, ThresholdRule
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
    failed: tuple[str, ...] = ()
    """The reasons of the rules that found it bad."""


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
        BadRulesError: there is no rule, or one compares with a figure that was not measured on what `ref` points at.
        DecisionError: a trial of this name is running.
    """
    full = ref_target(vault, ref)
    base, tried = resolve(vault, full), resolve(vault, candidate)
    if base == tried or base not in {version.id for version in log(vault, tried)}:
        raise BadRevertError(
            f"{tried} does not follow {base}, which {full} points at.",
            hint="Merge the ref into the candidate's branch, and try what comes of it.",
            version=tried,
        )
    _check_rules(vault, base, rules)
    canary = Canary(
        name=_checked(name),
        ref=full,
        base=base,
        candidate=tried,
        rules=tuple(rules),
        num_observations=num_observations,
        max_failures=max_failures,
    )
    reason = f"canary {name} begins"
    with hold_lock(vault):
        if _path(vault, name).exists() and (known := read_canary(vault, name)) != canary and known.state == "running":
            raise DecisionError(f"The canary {name} is running already.", hint=_HINT_RUNNING, name=name)
        swap_ref(vault, canary.canary_ref, tried, expected=..., reason=reason, author=author)
        _write(vault, canary)
    return canary


def judgeable_rules(vault: Vault, name: str, rules: Sequence[SingleRule]) -> tuple[SingleRule, ...]:
    """Return those of `rules` whose figures were measured on the version that `name` means: a trial can go by them."""
    base = _observation(vault, resolve(vault, name))
    return tuple(rule for rule in rules if _has_baseline(rule, base) and judge_each(rule, [base])[0].state != "unknown")


def list_canaries(vault: Vault) -> list[Canary]:
    """Return all trials, whatever became of them, by name.

    Raises:
        UnsupportedFormatError: a record is not understood.
    """
    paths = (path for path in _folder(vault).glob("*.json") if not path.name.startswith("."))
    return [read_canary(vault, path.stem) for path in sorted(paths)]


def read_canary(vault: Vault, name: str) -> Canary:
    """Return a trial.

    Raises:
        UnknownNameError: there is none of this name.
    """
    path = _path(vault, name)
    try:
        return Canary.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        hint = "`birdbone vault canary list` names those that there are."
        raise UnknownNameError(f"There is no canary {name}.", hint=hint, name=name) from error
    except ValidationError as error:
        raise UnsupportedFormatError(f"{path.name} is no canary.", path=str(path)) from error


def observe_canary(
    vault: Vault, name: str, measurements: Sequence[Measurement | Mapping[str, Any]], *, now: dt.datetime
) -> Canary:
    """Return the trial with one more observation, judged against the figures of its base.

    Args:
        measurements: figures taken on the candidate's artefact.

    Raises:
        UnknownNameError: there is no such trial.
        DecisionError: it has ended.
    """
    with hold_lock(vault):
        canary = _running(vault, name)
        rows = tuple(row.model_dump(mode="json") if isinstance(row, Measurement) else dict(row) for row in measurements)
        base, tried = _observation(vault, canary.base), _observation(vault, canary.candidate, rows=rows)
        judged = [judge_each(rule, (base, tried))[-1] for rule in canary.rules]
        states = {one.state for one in judged}
        verdict: Verdict = "bad" if "bad" in states else "unknown" if "unknown" in states else "good"
        seen = CanaryObservation(
            at=now,
            measurements=rows,
            verdict=verdict,
            reasons=tuple(one.words for one in judged),
            failed=tuple(one.words for one in judged if one.state == "bad"),
        )
        canary = canary.model_copy(update={"observations": (*canary.observations, seen)})
        _write(vault, canary)
    return canary


def settle_canary(vault: Vault, name: str, *, now: dt.datetime, author: str | None = None) -> Canary:
    """Return the trial after it was acted upon: promoted, rolled back, or still running. Doing it again does no harm.

    Raises:
        UnknownNameError: there is no such trial.
        DecisionError: it has ended.
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
            worst = [seen for seen in canary.observations if seen.verdict == "bad"][-1]
            reason = f"canary {name} failed: {'; '.join(worst.failed or worst.reasons)}"
            move_ref(vault, canary.canary_ref, canary.base, reason=reason, author=author)
            return _close(vault, canary, state="rolled_back", now=now)


def _running(vault: Vault, name: str) -> Canary:
    canary = read_canary(vault, name)
    if canary.state != "running":
        raise DecisionError(f"The canary {name} has ended: {canary.state}.", hint=_HINT_ENDED, name=name)
    return canary


def _observation(vault: Vault, version: str, *, rows: Sequence[Mapping[str, Any]] | None = None) -> Observation:
    record = read_version(vault, version)
    figures = read_figures(record.measurements if rows is None else rows, artefact=record.artefact)
    return Observation(version=version, artefact=record.artefact, figures=figures)


def _check_rules(vault: Vault, base: str, rules: Sequence[SingleRule]) -> None:
    if not rules:
        raise BadRulesError("A trial needs a rule: a threshold or a gate.")
    figures = _observation(vault, base)
    if lacking := [rule.name for rule in rules if not _has_baseline(rule, figures)]:
        raise BadRulesError(
            f"{', '.join(lacking)} cannot judge: the figure to compare with was not measured on {base}.",
            hint="Commit that version with its figures first, or go by other rules.",
            rules=lacking,
        )


def _has_baseline(rule: SingleRule, base: Observation) -> bool:
    """Return whether a rule has what it compares a candidate with."""
    is_relative = isinstance(rule, ThresholdRule) and rule.against != "nothing"
    return not is_relative or judge_each(rule, [base])[0].state == "good"


def _close(vault: Vault, canary: Canary, *, state: Literal["promoted", "rolled_back"], now: dt.datetime) -> Canary:
    with hold_lock(vault):  # an observation may have come since the record was read
        closed = read_canary(vault, canary.name).model_copy(update={"state": state, "closed_at": now})
        _write(vault, closed)
    return closed


def _folder(vault: Vault) -> Path:
    return vault.folder / "reverts" / "canaries"


def _path(vault: Vault, name: str) -> Path:
    return _folder(vault) / f"{_checked(name)}.json"


def _checked(name: str) -> str:
    return check_kind(name, what="The name of a canary")


def _write(vault: Vault, canary: Canary) -> None:
    path = _path(vault, canary.name)
    with explain_write_errors(path):
        write_json(path, canary.model_dump(mode="json"))


_HINT_RUNNING = "`birdbone vault canary show NAME` says how it stands. Choose another name for another candidate."
_HINT_ENDED = "`birdbone vault canary show NAME` says why. Start another trial to observe more."
