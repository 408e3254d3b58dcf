"""What a recipe may say: each kind of step and each setting with its type, default and meaning, read off the schema."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from birdbone.pipeline.catalogue import settings_types
from birdbone.pipeline.errors import UnknownStepError
from birdbone.pipeline.recipe import NEEDS, Recipe

RECIPE = "recipe"
"""The group of settings that stand above the steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingHelp:
    """One setting: its path as `--set` takes it, type, default (as text; empty if it must be given) and meaning."""

    path: str
    type: str
    default: str
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KindHelp:
    """One kind of step, or the recipe itself."""

    kind: str
    help: str
    needs: tuple[str, ...]
    """Kinds that have to stand before it in a recipe."""
    settings: tuple[SettingHelp, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def describe_kinds(kind: str | None = None) -> list[KindHelp]:
    """Return the recipe's own settings and every kind of step, or only one of these.

    Raises:
        UnknownStepError: there is no such kind.
    """
    found = [_describe(RECIPE, Recipe, prefix="", leave_out=frozenset({"steps"}))]
    found += [_describe(name, cls, prefix=f"{name}.", leave_out=frozenset({"kind"})) for name, cls in _kinds()]
    chosen = [entry for entry in found if kind in (None, entry.kind)]
    if not chosen:
        raise UnknownStepError(f"No step is called {kind!r}; there are {', '.join(name for name, _ in _kinds())}.")
    return chosen


def _kinds() -> list[tuple[str, type[BaseModel]]]:
    return list(settings_types().items())


def _describe(kind: str, model: type[BaseModel], *, prefix: str, leave_out: frozenset[str]) -> KindHelp:
    fields = {name: field for name, field in model.model_fields.items() if name not in leave_out}
    settings = tuple(row for name, field in fields.items() for row in _settings(f"{prefix}{name}", field))
    summary = (inspect.getdoc(model) or "").partition("\n")[0]
    return KindHelp(kind=kind, help=summary, needs=NEEDS.get(kind, ()), settings=settings)


def _settings(path: str, field: FieldInfo) -> Iterator[SettingHelp]:
    models = _models_in(field.annotation)
    if not models:
        yield SettingHelp(
            path=path, type=_type_name(field.annotation), default=_default(field), help=_help(field.description)
        )
    elif len(models) > 1:
        choices = " | ".join(str(get_args(model.model_fields["kind"].annotation)[0]) for model in models)
        default = getattr(field.default, "kind", "")
        yield SettingHelp(path=f"{path}.kind", type=choices, default=str(default), help=_help(field.description))
    told: set[str] = set()
    for model in sorted(models, key=lambda model: not isinstance(field.default, model)):
        for name, inner in model.model_fields.items():
            if name in told or (name == "kind" and len(get_args(inner.annotation)) == 1):
                continue  # kinds may share a setting
            told.add(name)
            rows = _settings(f"{path}.{name}", inner)
            is_default = len(models) == 1 or isinstance(field.default, model)
            owners = [each for each in models if name in each.model_fields]
            yield from rows if is_default else (_of_kinds(row, owners) for row in rows)


def _of_kinds(row: SettingHelp, models: Sequence[type[BaseModel]]) -> SettingHelp:
    """Return a setting that there is only where another kind than the default one is chosen."""
    kinds = ", ".join(str(get_args(model.model_fields["kind"].annotation)[0]) for model in models)
    return replace(row, default="", help=f"{row.help} Where the kind is {kinds}.")


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the settings classes that an annotation is: one, or a choice of them. A list of them is a value."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return [part for part in parts if inspect.isclass(part) and issubclass(part, BaseModel)]


def _type_name(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(str(part) for part in parts)
    if origin in (Union, types.UnionType):
        return " | ".join(_type_name(part) for part in parts)
    if origin is tuple:
        return f"list of {_type_name(parts[0])}"
    if origin is dict:
        return "map"
    return "unset" if annotation is type(None) else str(getattr(annotation, "__name__", annotation))


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return ""
    if isinstance(value, tuple):
        return f"{len(value)} of them" if value else "none"
    return "unset" if value is None else '""' if value == "" else str(value)


def _help(text: str | None) -> str:
    return " ".join((text or "").split())
