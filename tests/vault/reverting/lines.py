"""Lines of versions with measurements, as a run in waves leaves them."""

from __future__ import annotations

import datetime as dt
import struct
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from birdbone.vault import Version, commit, put_folder
from birdbone.vault.records import Lineage

from ..checkpoints import float32, safetensors_bytes

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def row(name: str, value: float | str | None, *, basis: str = "measured", **more: Any) -> dict[str, Any]:
    """A measurement as a version keeps it."""
    return {"name": name, "value": value, "unit": "1", "basis": basis, "run_id": f"run-{name}", **more}


def put_tensors(vault, tensors: Mapping[str, Sequence[float] | tuple], *, config: str = "{}") -> str:
    """An artefact with these tensors (numbers: float32) and a `config.json`."""
    entries = {name: value if isinstance(value, tuple) else float32(*value) for name, value in tensors.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.safetensors").write_bytes(safetensors_bytes(entries, metadata={"format": "pt"}))
        (folder / "config.json").write_text(config)
        return put_folder(vault, folder, kind="model")


def grow(vault, ref: str, perplexities: Sequence[float | str | None], *, first: int = 0) -> list[Version]:
    """Commit a new artefact for each perplexity (None: not measured) on top of `ref`; `first` tells them apart."""
    made = []
    for number, value in enumerate(perplexities, start=first):
        artefact = put_tensors(vault, {"a.0.w": [float(number)], "a.1.w": [1.0]})
        rows = [] if value is None else [row("perplexity", value)]
        made.append(commit(vault, artefact, ref=ref, message=f"wave {number}", measurements=rows, time=START))
    return made


def version_of(artefact: int, *rows: Mapping[str, Any]) -> Version:
    """A version in memory, for what is pure; artefacts are told apart by number."""
    return Version(
        artefact="b3:" + struct.pack(">I", artefact).hex().rjust(64, "0"),
        parents=(),
        author="Ada",
        time=START,
        message=f"wave {artefact}",
        measurements=tuple(dict(one) for one in rows),
        lineage=Lineage(),
    )
