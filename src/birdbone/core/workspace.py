"""The workspace: a `.birdbone/` folder, found upwards from the current one as git finds its own.

```text
.birdbone/
├── config.yaml       settings of this workspace (optional)
├── birdbone.db       runs, steps, measurements, metrics, events (SQLite, unless a URL says otherwise)
├── objects/ refs/    the vault
├── evaluations/      what models were asked: results, their history, judgements of versions
├── plans/            what was measured for plans over several techniques
└── runs/<id>/        resolved recipe, environment, log, report, exports
```
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from birdbone.core.errors import BadConfigError, WorkspaceError
from birdbone.core.schema import Settings
from birdbone.core.yaml12 import read_yaml

FOLDER_NAME = ".birdbone"


class WorkspaceConfig(Settings):
    """What `.birdbone/config.yaml` may say. The environment wins over the file."""

    database_url: str | None = None
    """SQLAlchemy URL of runs and metrics; unset: SQLite in the workspace. Environment: `BIRDBONE_DATABASE_URL`."""
    num_threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads of a run; unset: chosen from cores and load when it starts. Environment: `BIRDBONE_NUM_THREADS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """An open workspace: its folder and its settings."""

    folder: Path
    config: WorkspaceConfig

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the state of runs."""
        return self.config.database_url or f"sqlite:///{self.folder / 'birdbone.db'}"

    @property
    def vault_folder(self) -> Path:
        """Where the vault keeps objects and refs."""
        return self.folder

    def run_folder(self, run_id: str) -> Path:
        """Return the folder of one run."""
        return self.folder / "runs" / run_id


def find_workspace(start: Path | None = None) -> Workspace:
    """Open the nearest workspace at or above `start` (default: the current folder).

    Raises:
        WorkspaceError: there is none.
        BadConfigError: its `config.yaml` is wrong.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / FOLDER_NAME).is_dir():
            return _open(folder / FOLDER_NAME)
    raise WorkspaceError(f"No workspace here or above: {here} has no {FOLDER_NAME} folder.")


def make_workspace(where: Path | None = None) -> tuple[Workspace, bool]:
    """Return the workspace in `where` (default: the current folder) and whether it was made just now."""
    folder = (where or Path.cwd()).resolve() / FOLDER_NAME
    is_new = not folder.exists()
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    return _open(folder), is_new


def _open(folder: Path) -> Workspace:
    path = folder / "config.yaml"
    values = read_yaml(path.read_text(encoding="utf-8"), name=str(path)) if path.exists() else None
    try:
        config = WorkspaceConfig.model_validate({**(values or {}), **_from_environment()})
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise BadConfigError(f"The settings of {folder.parent} are wrong: {faults}.") from error
    return Workspace(folder=folder, config=config)


def _from_environment() -> dict[str, str]:
    fields = WorkspaceConfig.model_fields
    return {name: value for name in fields if (value := os.environ.get(f"BIRDBONE_{name.upper()}"))}
