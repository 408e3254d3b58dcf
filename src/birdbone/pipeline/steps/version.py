"""The step `version`: the judged model becomes a version in the vault, the ref moves, a reviewer gets a bundle."""

from __future__ import annotations

import shutil

from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import VersionStep
from birdbone.pipeline.steps.materials import run_branch
from birdbone.vault import Lineage, commit, read_version, refs
from birdbone.vault.diff.bundle import write_diff_bundle


def run(context: StepContext, settings: VersionStep) -> StepResult:
    """Commit the final model on top of the run's waves, keep the exported file, move the ref, write the bundle."""
    context.progress("committing")(0, 2)
    figures = [row for row in context.figures if row.artefact == context.artefacts["final_gguf"]]
    kept = commit(
        context.vault,
        context.artefacts["final_gguf"],
        ref=f"exports/{context.run_id}",
        message=f"the file that {context.run_id} exported",
        measurements=figures,
        lineage=_lineage(context),
    )
    version = commit(
        context.vault,
        context.artefacts["final"],
        ref=settings.ref,
        message=_message(context),
        parents=_parents(context, settings.ref),
        measurements=[row for row in context.figures if row.artefact == context.artefacts["final"]],
        lineage=_lineage(context),
    )
    context.progress("diff bundle")(1, 2)
    bundle = context.run_folder / "diff"
    shutil.rmtree(bundle, ignore_errors=True)
    write_diff_bundle(context.vault, context.artefacts["dense"], context.artefacts["final"], bundle)
    return StepResult(notes={"version": version.id, "ref": settings.ref, "export_version": kept.id})


def _lineage(context: StepContext) -> Lineage:
    return Lineage(run_id=context.run_id, step=context.label, datasets=(context.artefacts["windows"],))


def _parents(context: StepContext, ref: str) -> tuple[str, ...]:
    """Return the version the ref points at, if any, and the newest good state of this run.

    A try of this step that was killed after its commit left the ref on its own version: that one's parents still hold.
    """
    known = refs(context.vault)
    current = known.get(f"refs/heads/{ref}")
    if current is not None and (head := read_version(context.vault, current)).lineage == _lineage(context):
        return head.parents
    heads = (current, known.get(f"refs/heads/{run_branch(context)}"))
    return tuple(dict.fromkeys(head for head in heads if head))


def _message(context: StepContext) -> str:
    waves = [notes for label, notes in context.notes.items() if label.startswith("wave-")]
    kept = len(waves[-1]["good_states"]) if waves else 0
    return f"{context.recipe.name}: {kept} of {len(waves)} waves kept"
