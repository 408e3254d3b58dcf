"""What was measured for plans before, in JSON files: one for each model, text, machine and settings.

A measurement is written as soon as it is made, so a measuring that was stopped goes on where it was. A file that
cannot be read is as good as none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from birdbone.core import digest_json, write_json

_FORMAT = 1
_NAME_LENGTH = 24


class Shelf:
    """Measurements on one basis, by name."""

    def __init__(self, path: Path | None, basis: Mapping[str, Any]) -> None:
        self._path = path
        self._basis = dict(basis)
        self._rows: dict[str, Any] = {} if path is None else _read(path)

    def find(self, name: str) -> Any | None:
        """Return what was kept under a name; None where nothing was."""
        return self._rows.get(name)

    def keep(self, name: str, value: Any) -> None:
        """Keep plain data under a name, on the disk at once.

        Raises:
            DiskFullError: no room; what was kept before stays.
        """
        self._rows[name] = value
        if self._path is not None:
            write_json(self._path, {"format": _FORMAT, "basis": self._basis, "rows": self._rows})

    def __len__(self) -> int:
        return len(self._rows)


class PlanCache:
    """Shelves in a folder; without a folder they live as long as the process."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def shelf(self, kind: str, basis: Mapping[str, Any]) -> Shelf:
        """Return the shelf of what depends on `basis`; another basis has another file."""
        name = digest_json({"format": _FORMAT, "kind": kind, **basis}).removeprefix("b3:")[:_NAME_LENGTH]
        return Shelf(None if self.folder is None else self.folder / f"{kind}-{name}.json", basis)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = found["rows"] if found["format"] == _FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return rows if isinstance(rows, dict) else {}
