"""What the commands of canaries do and print."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from birdbone.cli import words
from birdbone.cli.errors import UsageError
from birdbone.cli.vault.committing import on_artefact, read_figures
from birdbone.cli.vault.looking import check_has_version
from birdbone.cli.vault.moving import Moved, with_files
from birdbone.cli.vault.ruling import find_rule, is_built_in, rules_in
from birdbone.cli.vault.telling import plain, short_digest
from birdbone.cli.vault.work import open_store
from birdbone.core import Measurement
from birdbone.vault.folder import Vault
from birdbone.vault.names import BRANCHES
from birdbone.vault.refs.lookup import read_version
from birdbone.vault.reverting import (
    Canary,
    CanaryObservation,
    SingleRule,
    judge_canary,
    judgeable_rules,
    list_canaries,
    observe_canary,
    read_canary,
    settle_canary,
    start_canary,
)
from birdbone.vault.reverting.rules import GateRule, ThresholdRule

_WOULD = {"wait": "would go on", "promote": "would be promoted", "roll_back": "would be rolled back"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person said to `canary start`."""

    name: str
    candidate: str
    ref: str
    rules: str | None
    only: tuple[str, ...]
    num_observations: int
    max_failures: int
    author: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A canary after a command: data for a program, lines for a person."""

    canary: Canary
    told: tuple[str, ...]
    moved: Moved | None = None

    @property
    def is_rolled_back(self) -> bool:
        """Whether the candidate failed."""
        return self.canary.state == "rolled_back"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**canary_json(self.canary), "files": self.moved.to_dict() if self.moved else None}

    def lines(self) -> list[str]:
        """Return it in lines."""
        return [*self.told, self.moved.in_words()] if self.moved else list(self.told)


def start(request: Request) -> Trial:
    """Return the trial that has begun.

    Raises:
        UsageError: no built-in rule fits what was measured on the ref, or a rule cannot judge a single version.
        and what `start_canary` raises.
    """
    store = open_store()
    for name in (request.ref, request.candidate):
        check_has_version(store, name)
    rules, notes = _choose_rules(store, request)

    def act(vault: Vault) -> Canary:
        return start_canary(
            vault,
            request.name,
            request.candidate,
            ref=request.ref,
            rules=rules,
            num_observations=request.num_observations,
            max_failures=request.max_failures,
            author=request.author,
        )

    canary, moved = with_files(f"{BRANCHES}canary/{request.name}", act)
    told = (
        f"canary/{canary.name} is at {short_digest(canary.candidate)}; {_short_ref(canary)} stays at "
        f"{short_digest(canary.base)}",
        f"  judged by: {', '.join(rule.name for rule in canary.rules)}",
        *notes,
    )
    return Trial(canary=canary, told=told, moved=moved)


def observe(name: str, figures: Path, *, settles: bool, author: str | None) -> Trial:
    """Return the trial after one more observation was judged; acted upon if it `settles`.

    The observation is kept even if the ref cannot be moved then.

    Raises:
        UnreadableValueError: the file holds no figures.
        UsageError: a figure was taken on another artefact than the candidate's.
        and what `observe_canary` and `settle_canary` raise.
    """
    vault = open_store()
    rows = _figures_of(vault, read_canary(vault, name), figures)
    canary = observe_canary(vault, name, rows, now=dt.datetime.now(dt.UTC))
    seen = canary.observations[-1]
    told = (f"observation {len(canary.observations)}: {seen.verdict}", *_reason_lines(canary, seen))
    if not settles:
        return Trial(canary=canary, told=(*told, _count_words(canary)))
    settled = settle(name, author=author, is_dry_run=False)
    return Trial(canary=settled.canary, told=(*told, *settled.told), moved=settled.moved)


def settle(name: str, *, author: str | None, is_dry_run: bool) -> Trial:
    """Return the trial after it was promoted or rolled back, if the observations decide. Raises as `settle_canary`."""
    store = open_store()
    canary = read_canary(store, name)
    asked = judge_canary(canary)
    if is_dry_run and canary.state == "running":
        return Trial(canary=canary, told=(f"{_WOULD[asked]}: {_count_words(canary)}",))

    def act(vault: Vault) -> Canary:
        return settle_canary(vault, name, now=dt.datetime.now(dt.UTC), author=author)

    if asked == "wait" or canary.state != "running":
        return Trial(canary=act(store), told=(f"running: {_count_words(canary)}",))
    ended, moved = with_files(canary.ref if asked == "promote" else canary.canary_ref, act)
    return Trial(canary=ended, told=tuple(_outcome_lines(ended)), moved=moved)


def show(name: str) -> Canary:
    """Return a trial. Raises what `read_canary` does."""
    return read_canary(open_store(), name)


def find_all() -> list[Canary]:
    """Return all trials by name. Raises what `list_canaries` does."""
    return list_canaries(open_store())


def canary_json(canary: Canary) -> dict[str, Any]:
    """Return a trial as plain data, with its ref and what its observations ask for."""
    asks_for = judge_canary(canary) if canary.state == "running" else None
    return {"canary_ref": canary.canary_ref, "asks_for": asks_for, **canary.model_dump(mode="json")}


def canary_line(canary: Canary) -> str:
    """Return a trial in one line."""
    what = f"{short_digest(canary.candidate)} for {_short_ref(canary)}"
    return f"{canary.name} {_state(canary)} {what}: {_count_words(canary)}"


def canary_lines(canary: Canary) -> Iterator[str]:
    """Yield a trial in lines, each observation with what every rule said."""
    yield f"canary    {canary.name}: {_state(canary)}"
    yield f"candidate {short_digest(canary.candidate)} on canary/{canary.name}"
    yield f"against   {short_digest(canary.base)} on {_short_ref(canary)}"
    yield f"rules     {', '.join(rule.name for rule in canary.rules)}"
    yield f"so far    {_count_words(canary)}"
    for seen in canary.observations:
        yield f"{words.moment(seen.at)} {seen.verdict}"
        yield from _reason_lines(canary, seen)


def _choose_rules(vault: Vault, request: Request) -> tuple[tuple[SingleRule, ...], list[str]]:
    """Return the rules of a trial, and lines on those of the file that are none of them.

    Rules of a person's own file all count. Of the built-in ones those count whose figure was measured on the ref:
    another would leave every observation undecided.
    """
    known = rules_in(request.rules)
    if request.only:
        return tuple(find_rule(known, name) for name in request.only), []
    single = tuple(rule for rule in known.rules if isinstance(rule, ThresholdRule | GateRule))
    chosen = judgeable_rules(vault, request.ref, single) if is_built_in(request.rules) else single
    if not chosen:
        raise UsageError(
            f"No rule can judge a candidate for {request.ref} by itself: nothing that they watch was measured there.",
            hint="Commit the version with `--measurements FILE`, or give rules of your own with `--rules FILE`.",
        )
    lacking = [rule.name for rule in single if rule not in chosen]
    serial = [rule.name for rule in known.rules if rule not in single]
    notes = [f"  nothing measured on {request.ref} for: {', '.join(lacking)}"] if lacking else []
    return chosen, [*notes, *([f"  only for a history of versions: {', '.join(serial)}"] if serial else [])]


def _figures_of(vault: Vault, canary: Canary, file: Path) -> list[Measurement]:
    artefact = read_version(vault, canary.candidate).artefact
    rows = on_artefact(read_figures(file), artefact)
    for row in rows:
        if row.artefact not in ("", artefact):
            raise UsageError(
                f"{plain(row.name)} was taken on {plain(short_digest(row.artefact))}, and the candidate is "
                f"{short_digest(artefact)}.",
                hint=f"Take the figures on what canary/{canary.name} holds.",
            )
    return rows


def _reason_lines(canary: Canary, seen: CanaryObservation) -> Iterator[str]:
    for rule, reason in zip(canary.rules, seen.reasons, strict=True):
        yield f"  {plain(rule.name)}: {plain(reason)}"


def _count_words(canary: Canary) -> str:
    verdicts = [seen.verdict for seen in canary.observations]
    num_unknown = verdicts.count("unknown")
    counted = f"{len(verdicts) - num_unknown} of {words.count(canary.num_observations, 'observation')}"
    unknown = f", {num_unknown} more undecided" if num_unknown else ""
    return f"{counted}, {verdicts.count('bad')} bad ({canary.max_failures} allowed){unknown}"


def _outcome_lines(canary: Canary) -> Iterator[str]:
    match canary.state:
        case "promoted":
            yield f"promoted: {_short_ref(canary)} is at {short_digest(canary.candidate)}"
        case "rolled_back":
            back = f"canary/{canary.name} is back at {short_digest(canary.base)}"
            yield f"rolled back: {back}; {_short_ref(canary)} was left alone"
        case "running":
            yield f"running: {_count_words(canary)}"


def _state(canary: Canary) -> str:
    return canary.state.replace("_", " ")


def _short_ref(canary: Canary) -> str:
    return canary.ref.removeprefix(BRANCHES)
