"""Bisection: the first bad version between good ones and a bad one, with few tests, as `git bisect` finds it.

Symbols: B the known bad version; C the candidates, all that B follows (itself included) and no known good version
does. One of C is the first bad one, if a version after a bad one is bad. Testing x of C leaves those of C that x
follows if x is bad, and the others if it is good. So the x whose smaller share is the largest is tested next; on a
line of n candidates that takes at most ceil(log2 n) tests. Source: git's bisect-lk2009. Differs: the shares are
counted exactly, with a bit set a version.

A good version that B does not follow says something only if where their lines part is good too; that is asked first.
The state is one file in the store, written after each answer, so a bisection goes on after a crash. `HEAD` stays where
it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from birdbone.core.files import write_json
from birdbone.core.schema import Strict
from birdbone.vault.ancestry import comes_before, lowest_common_ancestors, walk_ancestors
from birdbone.vault.errors import BisectionError, CorruptObjectError, NoBisectionError
from birdbone.vault.folder import Vault, explain_write_errors, hold_lock, sync_folder
from birdbone.vault.history.commits import walk_versions
from birdbone.vault.loading import load_version
from birdbone.vault.names import Digest
from birdbone.vault.records import Version
from birdbone.vault.refs.lookup import resolve

Verdict = Literal["good", "bad", "skip"]
"""Of one version: without the fault, with it, or not to be tested."""

_SKIP_EXIT_CODE = 125
_LAST_BAD_EXIT_CODE = 127


class BisectState(Strict):
    """What is known in a bisection, as it is saved."""

    format: Literal["birdbone.bisect/1"] = "birdbone.bisect/1"
    """Generation of this record."""
    bad: Digest
    """The earliest version that is known to be bad."""
    good: tuple[Digest, ...]
    """Versions that are known to be good."""
    skipped: tuple[Digest, ...] = ()
    """Versions that cannot be tested."""
    num_tests: int = Field(default=0, ge=0)
    """Answers so far, skips included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectStep:
    """Where a bisection stands: what to test next, or the first bad version, or suspects that only skips keep apart."""

    next: str | None
    first_bad: str | None
    suspects: tuple[str, ...]
    num_candidates: int
    num_tests: int

    @property
    def max_tests_left(self) -> int:
        """The tests that are left if the history is one line; a branched one may need more."""
        return max(self.num_candidates - 1, 0).bit_length()


def start_bisection(vault: Vault, *, bad: str, good: Sequence[str]) -> BisectStep:
    """Return the first step of a new bisection, which takes the place of one that is under way.

    Args:
        bad: name of a version with the fault.
        good: names of versions without it, at least one.

    Raises:
        UnknownNameError: a name means nothing.
        BisectionError: no good version was given, or a good one follows the bad one.
    """
    state = BisectState(bad=resolve(vault, bad), good=tuple(dict.fromkeys(resolve(vault, name) for name in good)))
    if not state.good:
        raise BisectionError("A bisection starts with at least one good version.", hint="Give a good version.")
    with hold_lock(vault):
        step = _find_step(vault, state)
        _write(vault, state)
    return step


def read_bisection(vault: Vault) -> BisectState | None:
    """Return what is known in the bisection under way, or None if there is none.

    Raises:
        CorruptObjectError: the file does not hold a bisection.
    """
    try:
        return BisectState.model_validate_json(_path(vault).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise CorruptObjectError("bisect.json does not hold a bisection.", hint="Reset it and start again.") from error


def describe_bisection(vault: Vault) -> BisectStep:
    """Return where the bisection under way stands.

    Raises:
        NoBisectionError: there is none.
    """
    return _find_step(vault, _read_state(vault))


def mark_version(vault: Vault, verdict: Verdict, name: str | None = None) -> BisectStep:
    """Return the step after a version was found good or bad or was skipped; the answer is durable then.

    Args:
        name: the version; left out, the one that was to be tested next.

    Raises:
        NoBisectionError: there is none, or nothing is left to test.
        BisectionError: the answers contradict each other; the last one was not taken.
    """
    with hold_lock(vault):
        state = _read_state(vault)
        version = resolve(vault, name) if name else _find_step(vault, state).next
        if version is None:
            raise NoBisectionError("Nothing is left to test in this bisection.")
        state = _with_answer(vault, state, version, verdict)
        step = _find_step(vault, state)
        _write(vault, state)
    return step


def run_bisection(vault: Vault, test: Callable[[Version], Verdict]) -> BisectStep:
    """Return the last step of the bisection under way, after `test` was asked until nothing is left to test.

    What `test` raises goes through; the answers before it are kept, so a second call goes on.

    Raises:
        NoBisectionError: there is none.
        BisectionError: the answers contradict each other.
    """
    step = describe_bisection(vault)
    while step.next:
        verdict = test(load_version(vault, step.next))
        step = mark_version(vault, verdict, step.next)
    return step


def reset_bisection(vault: Vault) -> None:
    """Forget the bisection under way, if there is one."""
    with hold_lock(vault), explain_write_errors(vault.refs), contextlib.suppress(FileNotFoundError):
        _path(vault).unlink()
        sync_folder(vault.refs)


def bisected_versions(vault: Vault) -> list[str]:
    """Return the versions that the bisection under way names: a collection of garbage keeps them."""
    state = read_bisection(vault)
    return sorted({state.bad, *state.good, *state.skipped}) if state else []


def verdict_of_exit_code(code: int) -> Verdict | None:
    """Return what a test command's exit code says, as in git: 0 good, 125 skip, 1 to 127 bad; None to stop."""
    if code == _SKIP_EXIT_CODE:
        return "skip"
    return "good" if code == 0 else "bad" if 0 < code <= _LAST_BAD_EXIT_CODE else None


def _with_answer(vault: Vault, state: BisectState, version: str, verdict: Verdict) -> BisectState:
    changed: dict[str, object] = {"num_tests": state.num_tests + 1}
    if verdict == "good":
        changed["good"] = tuple(dict.fromkeys((*state.good, version)))
    elif verdict == "skip":
        changed["skipped"] = tuple(dict.fromkeys((*state.skipped, version)))
    elif comes_before(vault, version, state.bad) or not comes_before(vault, state.bad, version):
        changed["bad"] = version  # a bad one after the bad one says nothing new
    return state.model_copy(update=changed)


def _find_step(vault: Vault, state: BisectState) -> BisectStep:
    good_side = set(walk_ancestors(vault, *state.good))
    if state.bad in good_side:
        raise BisectionError(
            f"{state.bad} is bad, but a version that follows it, or it itself, is good.",
            hint="If the fault was there and was mended, swap good and bad: the first good version is then found.",
            bad=state.bad,
            good=list(state.good),
        )
    order = [version.id for version in walk_versions(vault, [state.bad], hidden=good_side)]
    parting = _untested_parting(vault, state)
    best = parting or _choose(vault, order, skipped=set(state.skipped))
    is_found = len(order) == 1 and not parting
    return BisectStep(
        next=best,
        first_bad=state.bad if is_found else None,
        suspects=() if best or is_found else tuple(order),
        num_candidates=len(order),
        num_tests=state.num_tests,
    )


def _untested_parting(vault: Vault, state: BisectState) -> str | None:
    """Return an untested version where the line of a good version off the way to the bad one parts from it."""
    before_bad = set(walk_ancestors(vault, state.bad))
    proven = set(walk_ancestors(vault, *(good for good in state.good if good in before_bad)))
    for good in state.good:
        if good not in before_bad:
            partings = lowest_common_ancestors(vault, good, state.bad) - proven - set(state.skipped)
            if partings:
                return min(partings)
    return None


def _choose(vault: Vault, order: Sequence[str], *, skipped: set[str]) -> str | None:
    """Return the candidate whose test is sure to rule out the most; None if all but the bad one are skipped.

    Args:
        order: the candidates, children before parents; the known bad version is the first.
    """
    bit = {version: 1 << place for place, version in enumerate(order)}
    follows: dict[str, int] = {}
    for version in reversed(order):
        parents = load_version(vault, version).parents
        follows[version] = bit[version]
        for parent in parents:
            follows[version] |= follows.get(parent, 0)
    testable = [version for version in order[1:] if version not in skipped]
    return max(testable, key=lambda version: _sure_share(follows[version], len(order)), default=None)


def _sure_share(followed: int, num_candidates: int) -> int:
    count = followed.bit_count()
    return min(count, num_candidates - count)


def _read_state(vault: Vault) -> BisectState:
    state = read_bisection(vault)
    if state is None:
        raise NoBisectionError("No bisection is under way.")
    return state


def _write(vault: Vault, state: BisectState) -> None:
    with explain_write_errors(vault.refs):
        write_json(_path(vault), state.model_dump(mode="json"))


def _path(vault: Vault) -> Path:
    return vault.refs / "bisect.json"
