"""A task of one's own, read from its YAML file, or from items whose columns say enough."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from birdbone.core import read_yaml
from birdbone.core.digest import digest_json
from birdbone.evaluate.benchmarks.catalogue import BENCHMARKS
from birdbone.evaluate.custom.config import TaskSettings
from birdbone.evaluate.custom.generation import Grammar, MutatedItems
from birdbone.evaluate.custom.grammar import ChoiceColumns, generate_rows
from birdbone.evaluate.custom.items import Item, make_items
from birdbone.evaluate.custom.mutated import mutate_rows
from birdbone.evaluate.custom.rows import SUFFIXES, Row, read_plain_text, read_rows
from birdbone.evaluate.custom.scoring import MultipleChoiceScoring
from birdbone.evaluate.errors import BadTaskError

GENERATION = 1
"""Of the code that asks and scores: a change that changes a score raises it, so that kept results are asked again."""

_YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomTask:
    """A task with its items, checked: every item can be asked."""

    settings: TaskSettings
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """What results are kept and shown under."""
        return self.settings.name

    @property
    def version(self) -> str:
        """Digest of the settings and of all items: another version is another task."""
        left_out: dict[str, Any] = {"description": True, "items": True, "generate": True, "fewshot": {"source"}}
        told = self.settings.model_dump(mode="json", exclude=left_out)
        return digest_json({"generation": GENERATION, "settings": told, "items": [item.id for item in self.items]})


def read_task(path: Path) -> CustomTask:
    """Return the task of a YAML file; or of a .jsonl or .csv with the columns `prompt`, `answer` and maybe `choices`.

    Raises:
        YamlError: it is no YAML.
        BadTaskError: there is no such file, a setting is wrong, or the items do not make the task.
        BadItemsError: a row cannot be read or asked (names file, row and column).
    """
    if path.suffix.lower() in SUFFIXES:
        rows = read_rows(path)
        settings = _settings_of_columns(path, rows[0])
    elif path.suffix.lower() in _YAML_SUFFIXES:
        settings = _read_settings(path)
        rows = _rows(settings, path.parent)
    else:
        known = ", ".join((*_YAML_SUFFIXES, *SUFFIXES))
        raise BadTaskError(f"{path.name} ends in '{path.suffix}'; a task is read from {known}.", path=str(path))
    if settings.name in BENCHMARKS:
        raise BadTaskError(
            f"{path.name}: {settings.name} is the name of a benchmark that Birdbone has.", path=str(path)
        )
    source = settings.fewshot.source if settings.fewshot is not None else None
    return CustomTask(
        settings=settings,
        items=make_items(rows, settings, read_rows(path.parent / source) if source is not None else ()),
    )


def _read_settings(path: Path) -> TaskSettings:
    values = read_yaml(read_plain_text(path), name=path.name)
    if not isinstance(values, Mapping):
        raise BadTaskError(
            f"{path.name} holds no mapping with `name`, `items`, `prompt` and `scoring`.", path=str(path)
        )
    return _checked(values, path)


def _checked(values: Mapping[str, Any], path: Path) -> TaskSettings:
    try:
        return TaskSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise BadTaskError(f"{path.name}: {where}: {first['msg']}.", path=str(path)) from error


def _settings_of_columns(path: Path, first: Row) -> TaskSettings:
    if not {"prompt", "answer"} <= first.values.keys():
        found = ", ".join(sorted(first.values)) or "none"
        raise BadTaskError(
            f"{path.name} has the columns {found}; by itself a file of items needs `prompt`, `answer` and, for "
            "multiple choice, `choices`.",
            hint="Name its columns, or write a YAML file that says how they are used.",
            path=str(path),
        )
    kind = "multiple_choice" if "choices" in first.values else "exact"
    name = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")[:40]
    return _checked(
        {
            "name": name if name[:1].isalpha() else f"task_{name}".rstrip("_"),
            "items": path.name,
            "prompt": "{prompt}",
            "scoring": {"kind": kind},
        },
        path,
    )


def _rows(settings: TaskSettings, folder: Path) -> tuple[Row, ...]:
    match settings.generate:
        case None:
            assert settings.items is not None, "the settings have one of the two"
            return read_rows(folder / settings.items)
        case Grammar() as grammar:
            return generate_rows(grammar, name=settings.name, where=_choice_columns(settings))
        case MutatedItems() as mutated:
            return _changed(mutated, folder, settings.name)


def _changed(mutated: MutatedItems, folder: Path, name: str) -> tuple[Row, ...]:
    rows = mutate_rows(read_rows(folder / mutated.items), mutated)
    if not rows:
        raise BadTaskError(f"No change of {name} touches any item of {mutated.items}.")
    return rows


def _choice_columns(settings: TaskSettings) -> ChoiceColumns | None:
    if not isinstance(settings.scoring, MultipleChoiceScoring):
        return None
    return ChoiceColumns(choices=settings.scoring.columns, answer=settings.answer)
