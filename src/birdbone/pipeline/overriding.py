"""The use case of a manual override: a person lets a rule through that failed, with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from birdbone.core import Workspace
from birdbone.pipeline.errors import BadOverrideError
from birdbone.pipeline.overrides import Override, write_override
from birdbone.pipeline.service import view_run
from birdbone.vault import open_vault


def override_rule(
    workspace: Workspace, name: str, *, rule: str, reason: str, author: str | None = None, is_dry_run: bool = False
) -> Override | None:
    """Let a rule of a run's newest verdict through, and return the override; None from a dry run, which checks only.

    The verdict keeps its outcome and shows the override. A run that its gate aborted goes on with the file when it is
    resumed and all rules that failed are overridden; what a finished run exported does not change.

    Args:
        rule: its name, with that of its floor: `perplexity_ratio`, `quantize.perplexity_ratio`.
        author: who decides; the name of the account unless given.

    Raises:
        RunNotFoundError: there is no such run.
        BadOverrideError: the reason is empty, nothing was judged, or no rule of that name failed.
    """
    if not reason.strip():
        raise BadOverrideError("An override needs a reason; none was given.", hint="Say --reason TEXT.")
    view = view_run(workspace, name)
    if view.judged is None:
        raise BadOverrideError(f"Nothing was judged in {view.run.id} yet.", run_id=view.run.id)
    step, notes = view.judged
    failed = failed_rules(notes)
    if rule not in failed:
        there = f"These failed: {', '.join(failed)}." if failed else "No rule failed."
        raise BadOverrideError(f"No rule {rule!r} failed in {step.label} of {view.run.id}. {there}", rules=failed)
    if is_dry_run:
        return None
    return write_override(
        open_vault(workspace.vault_folder),
        view.run.id,
        rule=rule,
        author=author,
        reason=" ".join(reason.split()),
        step=step.label,
        artefact=str(notes.get("judged", "")),
    )


def failed_rules(notes: Mapping[str, Any]) -> list[str]:
    """Return the names of the rules that failed, from the notes of a step that judged; each with its floor's name."""
    findings = [finding for finding in notes["verdict"]["findings"] if finding.get("outcome") == "fail"]
    names = [(finding.get("floor"), finding.get("name") or finding["rule"]["measurement"]) for finding in findings]
    return list(dict.fromkeys(name if floor is None else f"{floor}.{name}" for floor, name in names))
