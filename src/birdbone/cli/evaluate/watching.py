"""What `eval watch` does: versions come out of the vault, are measured, and their judgements go back into it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from birdbone.cli.evaluate import gating
from birdbone.cli.evaluate.asking import Asked, On
from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.output import talk
from birdbone.core import Workspace, find_workspace
from birdbone.evaluate.continuous import RUNGS, Follower, Judgement, Ledger, Rung
from birdbone.evaluate.gates.evidence import Evidence
from birdbone.evaluate.gates.rule_sets import RuleSet, read_gates
from birdbone.vault import Vault, checkout, open_vault, read_version


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
    follower = Follower(
        vault=vault,
        ledger=Ledger(vault=vault, path=workspace.folder / "evaluations" / "judgements.jsonl"),
        ref=request.ref,
        environment=request.environment,
        rules=read_gates(request.rules).rule_set(request.environment or None).for_stage(None),
        measure=lambda version, reference, rung, rules: _measure(request, workspace, (version, reference), rung, rules),
        last_rung=rungs[one_of(request.until, tuple(rungs), "--until")],
        baseline=None if request.baseline is None else read_version(vault, request.baseline).id,
        promotes=request.promote,
    )
    while True:
        yield from follower.catch_up()
        if every_seconds is None:
            return
        time.sleep(every_seconds)


def _measure(request: Request, workspace: Workspace, versions: tuple[str, str], rung: Rung, rules: RuleSet) -> Evidence:
    """Measure one version against another, both written out of the vault and loaded again."""
    vault = open_vault(workspace.vault_folder)
    talk(f"{rung.name}: {versions[0][:11]} against {versions[1][:11]}")
    with TemporaryDirectory(prefix="judged-", dir=workspace.folder) as folder:
        candidate, reference = (
            _written(vault, version, Path(folder) / str(number)) for number, version in enumerate(versions)
        )
        asked = replace(request.asked, suite=rung.suite or request.asked.suite)
        order = gating.Request(
            candidate=candidate,
            baseline=reference,
            first=None,
            rules=request.rules,
            environment=request.environment or None,
            stage=None,
            text="bundled",
            window=request.window,
            num_windows=rung.num_windows,
            recipe=None,
            asked=asked,
            on=request.on,
        )
        return gating.measure(order, reference, rules)


def _written(vault: Vault, version: str, folder: Path) -> str:
    """Return what to call the model of a version: its folder, or the one GGUF file in it."""
    checkout(vault, version, folder)
    files = sorted(folder.glob("*.gguf"))
    return str(files[0] if len(files) == 1 and not any(folder.glob("*.safetensors")) else folder)
