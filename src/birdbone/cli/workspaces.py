"""The workspace that a command works in."""

from __future__ import annotations

from birdbone.cli.output import talk
from birdbone.core import Workspace, find_workspace, make_workspace
from birdbone.core.errors import WorkspaceError


def open_workspace() -> Workspace:
    """Return the workspace here or above; where there is none, make one here and say so."""
    try:
        return find_workspace()
    except WorkspaceError:
        pass
    workspace, _ = make_workspace()
    talk(f"made a workspace in {workspace.folder}")
    return workspace
