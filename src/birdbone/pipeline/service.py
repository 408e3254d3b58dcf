"""Use cases that read and tidy: what the doors call. Free of torch; see `running.py` for the work of runs."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from birdbone.core import Measurement, Workspace
from birdbone.core.database import connect
from birdbone.core.outbox import Event, read_events
from birdbone.pipeline import repository
from birdbone.pipeline.errors import NothingToExportError, RunNotFoundError
from birdbone.pipeline.lock import hold_run, require_idle
from birdbone.pipeline.overrides import Override, overrides_of, read_overrides
from birdbone.pipeline.repository import RunRow, StepRow
from birdbone.vault import (
    DestinationNotEmptyError,
    Garbage,
    Vault,
    checkout,
    collect_garbage,
    delete_ref,
    is_checked_out,
    open_vault,
    refs,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run with its steps and figures."""

    run: RunRow
    steps: tuple[StepRow, ...]
    measurements: tuple[Measurement, ...]
    folder: Path
    overrides: tuple[Override, ...] = ()
    """What people let through though its gate failed, oldest first."""

    @property
    def artefacts(self) -> dict[str, str]:
        """Digests by name, the newest of each."""
        found: dict[str, str] = {}
        for step in self.steps:
            found |= (step.result or {}).get("artefacts", {})
        return found

    @property
    def judged(self) -> tuple[StepRow, Mapping[str, Any]] | None:
        """The step that judged last and what it noted, its verdict included; an aborted one left that in its error."""
        for step in reversed(self.steps):
            notes = step.result.get("notes", {}) if step.result else step.error or {}
            if step.kind == "judge" and "verdict" in notes:
                return step, notes
        return None

    def overridden(self, step: str) -> list[str]:
        """Return what was overridden of the verdict of a step, one line each."""
        return [override.words for override in overrides_of(self.overrides, step=step)]

    def figure(self, name: str, artefact: str | None = None) -> Measurement | None:
        """Return the newest measurement of that name (on that artefact), or None if it was not measured."""
        rows = [row for row in self.measurements if row.name == name and artefact in (None, row.artefact)]
        return rows[-1] if rows else None


def list_runs(workspace: Workspace) -> list[RunRow]:
    """Return all runs of a workspace, newest first."""
    with connect(workspace.database_url).connect() as connection:
        return repository.list_runs(connection)


def find_run(workspace: Workspace, name: str) -> RunRow:
    """Return the run of that id, of that beginning of an id if only one has it, or the newest for `latest`.

    Raises:
        RunNotFoundError: none, or several.
    """
    with connect(workspace.database_url).connect() as connection:
        found = (
            repository.list_runs(connection) if name == "latest" else repository.find_runs_by_prefix(connection, name)
        )
    exact = [run for run in found if run.id == name] or (found[:1] if name == "latest" else found)
    if len(exact) != 1:
        known = ", ".join(run.id for run in found[:5])
        message = f"No run is called {name!r}." if not exact else f"{len(exact)} runs begin with {name!r}: {known}."
        raise RunNotFoundError(message)
    return exact[0]


def view_run(workspace: Workspace, name: str) -> RunView:
    """Return a run with its steps and figures."""
    run = find_run(workspace, name)
    with connect(workspace.database_url).connect() as connection:
        steps = tuple(repository.list_steps(connection, run.id))
        figures = tuple(repository.list_measurements(connection, run.id))
    overrides = read_overrides(Vault(folder=workspace.vault_folder), run.id)
    folder = workspace.run_folder(run.id)
    return RunView(run=run, steps=steps, measurements=figures, folder=folder, overrides=overrides)


def read_log(workspace: Workspace, name: str, *, after_id: int = 0) -> list[Event]:
    """Return what happened in a run, in order."""
    run = find_run(workspace, name)
    with connect(workspace.database_url).connect() as connection:
        return read_events(connection, topic=run.id, after_id=after_id)


def export_run(workspace: Workspace, name: str, destination: Path) -> list[Path]:
    """Copy what a run made (the GGUF, the model folder, the report, the diff bundle) and return the paths.

    Raises:
        NothingToExportError: its `judge` step is not done.
        DestinationNotEmptyError: `destination` holds files of these names that are not this run's; nothing is touched.
    """
    view = view_run(workspace, name)
    if "final" not in view.artefacts:
        raise NothingToExportError(f"The run {view.run.id} has no judged model yet.", run_id=view.run.id)
    loose = [*sorted(view.folder.glob("exports/*")), view.folder / "report.html", view.folder / "recipe.yaml"]
    sources = [source for source in loose if source.exists()]
    targets = {destination / source.name: source for source in sources} | _diff_targets(view.folder, destination)
    foreign = [target for target, source in targets.items() if _is_foreign(target, source, view.run.id)]
    if foreign:
        name = foreign[0].relative_to(destination).as_posix()
        raise DestinationNotEmptyError(f"{destination} has a {name} that is not of {view.run.id}.")
    destination.mkdir(parents=True, exist_ok=True)
    made = [_check_out_once(open_vault(workspace.vault_folder), view.artefacts["final"], destination / "model")]
    made += [Path(shutil.copy2(source, destination / source.name)) for source in sources]
    if (view.folder / "diff").is_dir():
        made.append(Path(shutil.copytree(view.folder / "diff", destination / "diff", dirs_exist_ok=True)))
    return made


def remove_runs(workspace: Workspace, names: Sequence[str], *, is_dry_run: bool) -> tuple[list[str], Garbage]:
    """Forget runs (their rows, folders and branches) and free what no ref needs any more; return ids and what went.

    A run that is named twice goes once. A dry run changes nothing and says what would go.
    A run that is not done and is not named keeps everything that it would need to resume only while it is listed here:
    so garbage is collected only when no unfinished run is left.

    Raises:
        RunBusyError: a process works on one of them; nothing was removed.
    """
    chosen = {run.id: run for run in (find_run(workspace, name) for name in names)}
    vault = open_vault(workspace.vault_folder)
    if is_dry_run:
        for run_id in chosen:
            require_idle(workspace.run_folder(run_id))
    else:
        _forget_all(workspace, list(chosen.values()))
    unfinished = [run for run in list_runs(workspace) if run.status != "done" and run.id not in chosen]
    return list(chosen), collect_garbage(vault, dry_run=is_dry_run or bool(unfinished))


def vault_refs(workspace: Workspace) -> dict[str, str]:
    """Return every branch and tag of the workspace's vault with the version that it points at."""
    return refs(open_vault(workspace.vault_folder))


def _check_out_once(vault: Vault, artefact: str, folder: Path) -> Path:
    """Return `folder` with the files of the artefact; an earlier export of just these is left as it is."""
    return folder if is_checked_out(vault, artefact, folder) else checkout(vault, artefact, folder)


def _diff_targets(run_folder: Path, destination: Path) -> dict[Path, Path]:
    """Return where each file of the run's diff bundle goes."""
    sources = [source for source in sorted(run_folder.glob("diff/**/*")) if source.is_file()]
    return {destination / source.relative_to(run_folder): source for source in sources}


def _is_foreign(target: Path, source: Path, run_id: str) -> bool:
    """Return whether `target` is there and is neither the same file nor an older page of the same run."""
    if not target.is_file():
        return target.exists() or (target.parent.exists() and not target.parent.is_dir())
    is_older_page = target.suffix == ".html" and run_id in target.read_text(encoding="utf-8", errors="replace")
    return not is_older_page and _sha256(target) != _sha256(source)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _forget_all(workspace: Workspace, runs: Sequence[RunRow]) -> None:
    with contextlib.ExitStack() as held:
        for run in runs:
            held.enter_context(hold_run(workspace.run_folder(run.id)))
        for run in runs:
            _forget(workspace, run)


def _forget(workspace: Workspace, run: RunRow) -> None:
    vault = open_vault(workspace.vault_folder)
    for ref in refs(vault):
        if run.id in ref:
            delete_ref(vault, ref)
    with connect(workspace.database_url).begin() as connection:
        repository.delete_run(connection, run.id)
    shutil.rmtree(workspace.run_folder(run.id), ignore_errors=True)
