"""Which process works on which run.

A process that works on a run holds the run's `lock` file open for as long as it lives, however it dies. So the run's
process is the one that has that file open; asking so takes no lock and disturbs nobody.
"""

from __future__ import annotations

import psutil

from birdbone.core import Workspace

_LOCK_FILE = "lock"


def processes_at_work(workspace: Workspace) -> dict[str, int]:
    """Return the process id for each run of the workspace that a process of this machine and person works on."""
    runs = workspace.folder / "runs"
    locks = {str(path.resolve()): path.parent.name for path in runs.glob(f"*/{_LOCK_FILE}")}
    if not locks:
        return {}
    return {locks[path]: pid for path, pid in _open_files() if path in locks}


def is_at_work(workspace: Workspace, run_id: str) -> bool:
    """Return whether a process works on a run now."""
    return run_id in processes_at_work(workspace)


def _open_files() -> list[tuple[str, int]]:
    found = []
    for process in psutil.process_iter():
        try:
            found += [(file.path, process.pid) for file in process.open_files()]
        except psutil.Error:  # it ended meanwhile, or belongs to someone else
            continue
    return found
