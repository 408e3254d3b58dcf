"""The store of records: one file a record, named by its digest, never changed.

Theory of operation. A record is written beside its place, flushed and renamed, so it is whole or absent: a crash leaves
no half of one, and two processes never touch the same file unless they write the same bytes. Nothing is locked and
nothing is updated. The result with its items is stored first and under its own digest, so a record never points at what
is not there, and the same result is kept once. A file that does not match its name is refused, never skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from birdbone.core import Strict
from birdbone.core.digest import digest_json
from birdbone.core.files import write_json
from birdbone.evaluate.benchmarks.results import BenchmarkResult
from birdbone.evaluate.errors import AmbiguousRecordError, CorruptRecordError, UnknownRecordError
from birdbone.evaluate.history.records import Record

_MIN_PREFIX = 6
_PREFIX = "b3:"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All records of a workspace. Make it by `open_history`."""

    folder: Path

    def add(self, record: Record, result: BenchmarkResult | None = None) -> str:
        """Keep a record, with the whole result where it is a benchmark's, and return its id.

        The same record twice is one record.

        Raises:
            DiskFullError: no room on the disk; the record is absent then.
        """
        if result is not None:
            self._write(self._results, digest_json(result.model_dump(mode="json")), result)
        return self._write(self._records, record.id, record)

    def records(self) -> list[Record]:
        """Return every record, oldest first.

        Raises:
            CorruptRecordError: a file is no record, or not the one that its name says.
        """
        found = [self._read_record(path) for path in _files(self._records)]
        return sorted(found, key=lambda record: (record.taken_at, record.id))

    def find(self, name: str) -> Record:
        """Return the record of that id, or whose id begins with these six or more hex digits.

        Raises:
            UnknownRecordError, AmbiguousRecordError: none does, or several do.
            CorruptRecordError: the file is not what its name says.
        """
        prefix = name.removeprefix(_PREFIX)
        paths = [path for path in _files(self._records) if path.stem.startswith(prefix)]
        if len(prefix) < _MIN_PREFIX or not paths:
            raise UnknownRecordError(f"There is no record {name}.", name=name)
        if len(paths) > 1:
            raise AmbiguousRecordError(f"{len(paths)} records begin with {name}.", name=name)
        return self._read_record(paths[0])

    def result_of(self, record: Record) -> BenchmarkResult | None:
        """Return the whole result behind a record, item by item; None where the record is of no benchmark.

        Raises:
            CorruptRecordError: it is missing, or not the one that the record names.
        """
        if record.evidence is None:
            return None
        path = self._path(self._results, record.evidence.result)
        try:
            result = BenchmarkResult.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            message = f"The result {path.name} cannot be read: {_short(error)}."
            raise CorruptRecordError(message, path=str(path)) from error
        _require_name(path, digest_json(result.model_dump(mode="json")))
        return result

    @property
    def _records(self) -> Path:
        return self.folder / "records"

    @property
    def _results(self) -> Path:
        return self.folder / "results"

    def _write(self, folder: Path, digest: str, value: Strict) -> str:
        path = self._path(folder, digest)
        if not path.exists():
            write_json(path, value.model_dump(mode="json"))
        return digest

    def _path(self, folder: Path, digest: str) -> Path:
        return folder / f"{digest.removeprefix(_PREFIX)}.json"

    def _read_record(self, path: Path) -> Record:
        try:
            record = Record.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise CorruptRecordError(f"{path.name} is no record: {_short(error)}.", path=str(path)) from error
        _require_name(path, record.id)
        return record


def open_history(workspace_folder: Path) -> History:
    """Return the history of a workspace, whose folder is `.birdbone`. It is made when the first record is added."""
    return History(folder=workspace_folder / "evaluations" / "history")


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files that are whole: one that is being written begins with a dot."""
    yield from sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def _require_name(path: Path, digest: str) -> None:
    if digest.removeprefix(_PREFIX) != path.stem:
        raise CorruptRecordError(f"{path.name} is not what its name says: it was changed.", path=str(path))


def _short(error: Exception) -> str:
    return str(error).splitlines()[0]
