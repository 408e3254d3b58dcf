"""What `birdbone waves` prints and asks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from birdbone.cli import words
from birdbone.cli.attendance import is_at_work
from birdbone.cli.output import new_table, print_json, talk
from birdbone.core import Workspace, find_workspace
from birdbone.core.database import connect
from birdbone.pipeline.report.wave_evidence import ForecastRow, NextWave
from birdbone.pipeline.report.wave_export import wave_csv, wave_json
from birdbone.pipeline.report.waves import Wave, next_wave_of, read_waves
from birdbone.pipeline.report.wording import nats_words
from birdbone.pipeline.service import view_run
from birdbone.pipeline.wave_asking import ask_of_waves
from birdbone.pipeline.wave_requests import WaveRequest
from birdbone.watch import read_metrics

_COLUMNS = ("wave", "fate", "to shed", "forecast", "cost", "perplexity", "rise", "sparsity", "worst layer", "spikes")
_EFFECTS: dict[WaveRequest, str] = {
    "pause": "the run will be held before its next wave",
    "step": "one wave will be made, and the run held after it",
    "resume": "the waves will go on",
    "stop": "no other wave will be made; the run goes on with its last good state",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The waves of a run and what comes after them."""

    run_id: str
    waves: tuple[Wave, ...]
    next_wave: NextWave | None


def read(name: str) -> Told:
    """Return the waves of a run.

    Raises:
        RunNotFoundError: there is no such run.
    """
    workspace = find_workspace()
    view = view_run(workspace, name)
    metrics = read_metrics(connect(workspace.database_url), view.run.id)
    return Told(run_id=view.run.id, waves=read_waves(view, metrics), next_wave=next_wave_of(view))


def ask(name: str, request: WaveRequest, author: str | None, *, as_json: bool) -> None:
    """Ask something of the waves of a run, and say what comes of it.

    Raises:
        RunNotFoundError, NoWavesLeftError: there is no such run, or it has no waves to come.
    """
    workspace = find_workspace()
    view = ask_of_waves(workspace, name, request, author=author)
    effect = f"{_EFFECTS[request]}{_when(workspace, view.run.id)}"
    if as_json:
        print_json({"run": view.run.id, "request": request, "effect": effect})
    else:
        talk(f"{view.run.id}: {effect}")


def as_data(told: Told) -> dict[str, Any]:
    """Return the waves as plain data."""
    coming = None if told.next_wave is None else asdict(told.next_wave)
    return {"run": told.run_id, "waves": wave_json(told.waves), "next_wave": coming}


def as_csv(told: Told) -> str:
    """Return the waves as CSV."""
    return wave_csv(told.waves)


def table(told: Told) -> Table:
    """Return the waves as a table."""
    return new_table(_COLUMNS, [_cells(wave) for wave in told.waves])


def closing_lines(told: Told) -> list[str]:
    """Return what comes next, and where damage and spikes can be read in full."""
    lines = []
    if told.next_wave is not None:
        lines.append(f"next: {_next_words(told.next_wave)}")
    if told.waves:
        lines.append("cost and forecast: rise of perplexity over the state before the wave; forecasts are estimated")
    return lines


def _cells(wave: Wave) -> tuple[str, ...]:
    evidence = wave.evidence
    return (
        str(wave.number),
        wave.fate if not wave.doing else f"{wave.fate}: {wave.doing}",
        _percent(evidence.fraction),
        _forecast_words(evidence.forecast),
        nats_words(evidence.cost),
        words.NOT_MEASURED if wave.perplexity is None else words.number(wave.perplexity.value),
        words.NOT_MEASURED if wave.ratio is None else words.rise(wave.ratio.value),
        _percent(None if wave.sparsity is None else wave.sparsity.value),
        words.NOT_MEASURED if evidence.worst_layer is None else str(evidence.worst_layer),
        words.NOT_MEASURED if evidence.spikes is None else str(len(evidence.spikes)),
    )


def _percent(share: float | None) -> str:
    return words.NOT_MEASURED if share is None else f"{100 * share:.2f} %"


def _forecast_words(row: ForecastRow | None) -> str:
    if row is None:
        return "not made"
    return f"{nats_words(row.rise)} [{nats_words(row.low)}, {nats_words(row.high)}]"


def _next_words(coming: NextWave) -> str:
    if coming.fraction is None:
        return f"no other wave, as {coming.reason}"
    forecast = _forecast_words(coming.forecast)
    return f"{_percent(coming.fraction)} of what is left ({coming.reason}), forecast {forecast}"


def _when(workspace: Workspace, run_id: str) -> str:
    return "" if is_at_work(workspace, run_id) else f" (once it works: `birdbone run --resume {run_id}`)"
