"""Each version that a ref came to point at, judged once an environment, rung by rung.

Theory of operation. What is to be done is read from two files that only grow: the log of the ref's moves, and the
ledger of judgements. So a watch that was stopped goes on where it was, two versions that came at once are judged one
after the other, and a version that was judged is not judged again. A version is compared with the newest one that was
accepted in this environment, not with the one before it: otherwise a fall in many small steps would pass at each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from birdbone.evaluate.continuous.ledger import Judgement, Ledger, RungVerdict, now
from birdbone.evaluate.continuous.rungs import RUNGS, Rung, rules_on
from birdbone.evaluate.errors import NonFiniteLogitsError, UnpairedError
from birdbone.evaluate.gates import Outcome, Verdict, worst_of
from birdbone.evaluate.gates.evidence import Evidence
from birdbone.evaluate.gates.judging import judge_rules
from birdbone.evaluate.gates.rule_sets import RuleSet
from birdbone.models import ModelError
from birdbone.vault import Vault, move_ref, read_ref, read_reflog, read_version
from birdbone.vault.names import full_ref_name
from birdbone.vault.refs.notes import add_note

Measure = Callable[[str, str, Rung, RuleSet], Evidence]
"""Gives the evidence that rules need: of a version, against another, as far as a rung asks."""

_FAULTS_OF_THE_MODEL = (ModelError, NonFiniteLogitsError, UnpairedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """Follows a ref in one environment."""

    vault: Vault
    ledger: Ledger
    ref: str
    """A branch, or a ref's full name."""
    environment: str
    """Name of the set of gates; empty for the rules that always hold."""
    rules: RuleSet
    measure: Measure
    last_rung: Rung = RUNGS[-1]
    """Up to which rung a version climbs."""
    baseline: str | None = None
    """The version that all are compared with; the newest accepted one unless given."""
    promotes: str | None = None
    """A branch that moves to each version that is accepted."""

    def catch_up(self) -> Iterator[Judgement]:
        """Yield the judgement of each version that waits for one, oldest first; each is written down before it comes.

        Raises:
            UnknownNameError: there is no such ref.
            BirdboneError: what `measure` raises, except where the fault is the model's own, which is a fail.
        """
        full = full_ref_name(self.ref)
        for version in unjudged(self.vault, full, self._past(full)):
            judgement = self._judge(full, version)
            add_note(self.vault, version, f"judged, {judgement.words}"[:2000])
            self.ledger.append(judgement)
            if self.promotes is not None and judgement.is_accepted:
                move_ref(self.vault, self.promotes, version, reason=f"accepted, {judgement.words}"[:500])
            yield judgement

    def _past(self, full: str) -> list[Judgement]:
        return self.ledger.read(ref=full, environment=self.environment)

    def _judge(self, full: str, version: str) -> Judgement:
        accepted = [judgement for judgement in self._past(full) if judgement.is_accepted]
        baseline = self.baseline or _baseline(self.vault, version, accepted)
        first = accepted[0].baseline or accepted[0].version if accepted else baseline
        rungs: tuple[RungVerdict, ...] = ()
        if baseline is not None and baseline != version:
            rungs = judge_version(
                version, baseline, first=first, rules=self.rules, measure=self.measure, last_rung=self.last_rung
            )
        return Judgement(
            ref=full,
            environment=self.environment,
            version=version,
            baseline=baseline if baseline != version else None,
            outcome=rungs[-1].outcome if rungs else "warn",
            rungs=rungs,
            at=now(),
        )


def unjudged(vault: Vault, ref: str, past: list[Judgement]) -> list[str]:
    """Return the versions that a ref was moved to and that nobody judged, oldest first.

    Of a ref that was never followed it is the one that it points at now, not its whole past.

    Args:
        ref: its full name.
        past: its judgements so far.

    Raises:
        UnknownNameError: there is no such ref.
    """
    tip = read_ref(vault, ref)
    if tip is None:
        read_version(vault, ref)  # says that there is no such name, with what is near it
    judged = {judgement.version for judgement in past}
    if not past:
        return [] if tip is None else [tip]
    moves = [move.new for move in read_reflog(vault, ref) if move.new is not None]
    begun = moves.index(past[0].version) if past[0].version in moves else 0
    return list(dict.fromkeys(version for version in moves[begun:] if version not in judged))


def judge_version(
    version: str,
    baseline: str,
    *,
    rules: RuleSet,
    measure: Measure,
    first: str | None = None,
    last_rung: Rung = RUNGS[-1],
) -> tuple[RungVerdict, ...]:
    """Return what each rung said of a version, up to the first that fails or to the last.

    Before the last rung only what is sure fails: a rule that few items leave undecided is left to the next rung.

    Args:
        version: what is judged.
        baseline: the version that it is compared with.
        first: the version that the cumulative rules compare with; the baseline unless given.
        rules: those of the environment.
        measure: gives the evidence.
        last_rung: where it ends.

    Raises:
        BirdboneError: what `measure` raises, except where the model itself cannot be loaded, gives no finite figure, or
            splits text into other tokens than the baseline: that is a fail, with its reason.
    """
    said: list[RungVerdict] = []
    for rung in RUNGS[: RUNGS.index(last_rung) + 1]:
        chosen = rules_on(rung, rules)
        if not any(chosen.all_rules()) and rung != last_rung:
            continue
        try:
            evidence, at_first = measure(version, baseline, rung, chosen), None
            if first is not None and first != baseline and chosen.cumulative:
                at_first = measure(version, first, rung, RuleSet(cumulative=chosen.cumulative))
            verdict = judge_rules(chosen, evidence, first=at_first)
        except _FAULTS_OF_THE_MODEL as error:
            said.append(RungVerdict(rung=rung.name, outcome="fail", reasons=(error.message,)))
            break
        outcome = verdict.outcome if rung == last_rung else _sure(verdict)
        said.append(RungVerdict(rung=rung.name, outcome=outcome, reasons=verdict.reasons))
        if outcome == "fail":
            break
    return tuple(said)


def _sure(verdict: Verdict) -> Outcome:
    """Return the outcome with what is undecided as a warning at most."""
    outcomes: list[Outcome] = [
        "warn" if finding.is_undecided and finding.outcome == "fail" else finding.outcome
        for finding in verdict.findings
    ]
    return worst_of(outcomes, default="fail")


def _baseline(vault: Vault, version: str, accepted: list[Judgement]) -> str | None:
    """Return the newest accepted version, or else the version's parent."""
    if accepted:
        return accepted[-1].version
    parents = read_version(vault, version).parents
    return parents[0] if parents else None
