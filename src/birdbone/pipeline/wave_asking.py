"""The use case of a request to the waves of a run: check that it can have an effect, then record it."""

from __future__ import annotations

from birdbone.core import Workspace
from birdbone.core.database import connect
from birdbone.core.outbox import read_events
from birdbone.pipeline.errors import NoWavesLeftError
from birdbone.pipeline.service import RunView, view_run
from birdbone.pipeline.wave_requests import WaveRequest, standing_of, write_request
from birdbone.vault.refs.permissions import identify


def ask_of_waves(workspace: Workspace, name: str, request: WaveRequest, *, author: str | None = None) -> RunView:
    """Record a request and return the run. It takes effect where the run's next wave would begin.

    Args:
        author: who asks; the name of the account unless given.

    Raises:
        RunNotFoundError: there is no such run.
        NoWavesLeftError: the run has no waves, or they are over.
    """
    view = view_run(workspace, name)
    _require_waves(view)
    with connect(workspace.database_url).begin() as connection:
        if standing_of(read_events(connection, topic=view.run.id), label="") == "end":
            raise NoWavesLeftError(f"The waves of {view.run.id} were ended by hand already.", run_id=view.run.id)
        write_request(connection, view.run.id, request, author=identify(author))
    return view


def _require_waves(view: RunView) -> None:
    kinds = [step["kind"] for step in view.run.recipe.get("steps", ())]
    if "waves" not in kinds:
        raise NoWavesLeftError(f"The recipe of {view.run.id} has no waves.", run_id=view.run.id)
    later = kinds[kinds.index("waves") + 1 :]
    if view.run.status == "done" or any(step.kind in later for step in view.steps):
        raise NoWavesLeftError(f"The waves of {view.run.id} are over.", run_id=view.run.id)
