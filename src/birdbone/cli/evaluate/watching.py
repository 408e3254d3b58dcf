"""What `eval watch` does: versions come out of the vault, are measured, and their judgements go back into it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from birdbone.cli.evaluate.asking import Asked, On, find_judged
from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.evaluate.measuring import Measuring, measure
from birdbone.cli.evaluate.subjects import Opened, open_version
from birdbone.cli.output import talk
from birdbone.core import find_workspace
from birdbone.evaluate.benchmarks.opening import Candidate, Service
from birdbone.evaluate.continuous import RUNGS, Follower, Judgement, Ledger, Rung
from birdbone.evaluate.gates.evidence import Evidence
from birdbone.evaluate.gates.gathering import Extent
from birdbone.evaluate.gates.rule_sets import RuleSet, read_gates
from birdbone.vault import Vault, open_vault, read_ref, read_version
from birdbone.vault.names import full_ref_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person said to `eval watch`."""

    ref: str
    rules: Path
    environment: str
    baseline: str | None
    until: str
    promote: str | None
    window: int
    asked: Asked
    on: On


@dataclass(slots=True)
class _Versions:
    """Versions written out of the vault and found again as models, each once for as long as one of them is judged."""

    vault: Vault
    request: Request
    _judged: str = ""
    _open: dict[str, Opened] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def begin(self, version: str) -> None:
        """Let go of what another version's judgement needed."""
        if version != self._judged:
            self.close()
            self._judged = version

    def open(self, version: str) -> Opened:
        if version not in self._open:
            name, ref = self.request.ref, full_ref_name(self.request.ref)
            is_tip = read_ref(self.vault, ref) == version
            found = open_version(self.vault, version, self._find, name=name, ref=ref if is_tip else None)
            self._open[version] = self._stack.enter_context(found)
        return self._open[version]

    def close(self) -> None:
        self._open.clear()
        self._stack.close()

    def _find(self, spec: str) -> Candidate | Service:
        return find_judged(spec, self.request.on)


def follow(request: Request, *, every_seconds: float | None) -> Iterator[Judgement]:
    """Yield the judgement of each version as it is known; without `every_seconds` end when none waits.

    Raises:
        WorkspaceError: there is no workspace here or above.
        BadGatesError: the file of rules, or no environment of that name.
        UsageError: no such rung.
        VaultError: no such ref, or a version that cannot be read.
        ModelError, EvaluateError: the baseline, the items, or the asking.
    """
    workspace = find_workspace()
    vault = open_vault(workspace.vault_folder)
    rungs = {rung.name: rung for rung in RUNGS}
    with closing(_Versions(vault, request)) as versions:
        follower = Follower(
            vault=vault,
            ledger=Ledger(vault=vault, path=workspace.folder / "evaluations" / "judgements.jsonl"),
            ref=request.ref,
            environment=request.environment,
            rules=read_gates(request.rules).rule_set(request.environment or None).for_stage(None),
            measure=partial(_measure, versions),
            last_rung=rungs[one_of(request.until, tuple(rungs), "--until")],
            baseline=None if request.baseline is None else read_version(vault, request.baseline).id,
            promotes=request.promote,
        )
        while True:
            yield from follower.catch_up()
            if every_seconds is None:
                return
            time.sleep(every_seconds)


def _measure(versions: _Versions, candidate: str, baseline: str, rung: Rung, rules: RuleSet) -> Evidence:
    """Measure one version against another, both as stored and loaded again."""
    request = versions.request
    talk(f"{rung.name}: {candidate[:11]} against {baseline[:11]}")
    versions.begin(candidate)
    how = Measuring(
        text="bundled",
        extent=Extent(window=request.window, num_windows=rung.num_windows),
        asked=replace(request.asked, suite=rung.suite or request.asked.suite),
        on=request.on,
    )
    return measure(versions.open(candidate), versions.open(baseline), rules, how)
