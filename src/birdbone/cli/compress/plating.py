"""What `compress plates` does and prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from birdbone.cli.compress.bars import part_bar, part_of
from birdbone.cli.compress.sampling import Sample, windows_of
from birdbone.cli.output import new_table
from birdbone.compress.config import GrowthConfig, ProtectConfig
from birdbone.compress.growth import build_dependency_graph
from birdbone.compress.growth.marking import find_plates, mark_plates
from birdbone.compress.growth.plates import PlateLedger
from birdbone.compress.growth.protection import CriticalPath
from birdbone.core import write_atomically
from birdbone.models import load_model
from birdbone.pipeline.report.plates_page import figure_words, render_plates_page
from birdbone.pipeline.report.wording import kind_words

_NUM_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Plates, and what carries more than its share."""

    ledger: PlateLedger
    paths: tuple[CriticalPath, ...]


def find(model: str, sample: Sample, *, ablate: int, protect: Sequence[str], mark: float | None) -> Found:
    """Return the growth plates of a model.

    Raises:
        ModelError, DataError, CompressError: the model, the text, or what was seen of them.
    """
    loaded = load_model(model)
    windows_NT, _ = windows_of(loaded, sample)
    config = GrowthConfig(ablate_windows=ablate, protect=ProtectConfig(also=tuple(protect)))
    graph = build_dependency_graph(loaded.architecture)
    with part_bar() as told:
        ledger, paths = find_plates(
            loaded.model,
            graph,
            windows_NT,
            config=config,
            name=loaded.name,
            progress=part_of(told, "growth plates"),
        )
    return Found(ledger=ledger if mark is None else mark_plates(ledger, max_damage=mark), paths=paths)


def as_json(found: Found) -> dict[str, Any]:
    """Return everything as plain data."""
    return {**found.ledger.model_dump(mode="json"), "critical_paths": [asdict(path) for path in found.paths]}


def tables(found: Found) -> Iterator[Table]:
    """Yield what there is of each kind, the plates that cost least, and the critical pathways."""
    yield _kinds_table(found.ledger)
    known = [plate for plate in found.ledger.plates if plate.damage_per_mebibyte is not None and plate.status != "kept"]
    cheapest = sorted(known, key=lambda plate: plate.damage_per_mebibyte or 0.0)[:_NUM_ROWS]
    if cheapest:
        yield new_table(
            ("structure", "status", "parameters", "redundancy", "damage, nats a token", "basis", "damage a MiB"),
            [
                (
                    plate.structure,
                    plate.status,
                    f"{plate.num_parameters:,}",
                    figure_words(plate.redundancy),
                    figure_words(plate.damage, 6),
                    plate.damage_basis or "",
                    figure_words(plate.damage_per_mebibyte, 6),
                )
                for plate in cheapest
            ],
            title=f"{found.ledger.model}: the {len(cheapest)} plates that cost least for what they save",
        )
    if found.paths:
        rows = [(path.name, "yes" if path.is_protected else "no", path.reason) for path in found.paths]
        yield new_table(("critical pathway", "protected", "why"), rows, title="What carries more than its share")


def write(found: Found, *, ledger: Path | None, page: Path | None) -> Iterator[Path]:
    """Write what is wanted, each file whole or not at all, and yield its path.

    Raises:
        DiskFullError: no room; earlier files stay.
    """
    texts: tuple[tuple[Path | None, Callable[[], str]], ...] = (
        (ledger, lambda: found.ledger.model_dump_json(indent=2)),
        (page, lambda: render_plates_page(found.ledger, found.paths)),
    )
    for path, text in texts:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(path) as stream:
                stream.write(text().encode())
            yield path


def _kinds_table(ledger: PlateLedger) -> Table:
    kinds = dict.fromkeys(plate.kind for plate in ledger.plates)
    rows = []
    for kind in kinds:
        own = [plate for plate in ledger.plates if plate.kind == kind]
        damages = sorted(plate.damage for plate in own if plate.damage is not None)
        rows.append(
            (
                kind_words(kind),
                f"{len(own):,}",
                f"{sum(plate.status == 'kept' for plate in own):,}",
                f"{sum(plate.status == 'marked' for plate in own):,}",
                figure_words(damages[0] if damages else None, 6),
                figure_words(damages[len(damages) // 2] if damages else None, 6),
            )
        )
    columns = ("kind", "plates", "kept", "marked", "least damage, nats a token", "middle")
    seen = f"{ledger.windows} windows of {ledger.window_tokens} tokens"
    return new_table(columns, rows, title=f"{ledger.model}: growth plates, seen on {seen}")
