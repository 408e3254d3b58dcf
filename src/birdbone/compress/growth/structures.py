"""Parts of a model that can go as a whole, and their names. Plain data, free of torch.

Names read from the outside in: `layers.3`, `layers.3.attention`, `layers.3.neuron.7`, `embedding_row.12`. A person
picks structures by a glob over them, such as `layers.*.attention`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

from birdbone.compress.errors import UnknownStructureError

BlockKind = Literal["attention", "feed_forward"]
UnitKind = Literal["kv_group", "query_head", "neuron"]
StructureKind = Literal[
    "layer", "attention", "feed_forward", "kv_group", "query_head", "neuron", "embedding_row", "residual_channel"
]

_KINDS: tuple[StructureKind, ...] = get_args(StructureKind)
_NAME = re.compile(r"layers\.(\d+)(?:\.(attention|feed_forward)|\.(kv_group|query_head|neuron)\.(\d+))?")
_OUTSIDE_KINDS: tuple[StructureKind, ...] = get_args(StructureKind)
_NAME = re.compile(r"(embedding_row|residual_channel)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """One removable part.

    Attributes:
        kind: what it is.
        layer: the layer that it lies in; None for a row of the embedding and a channel of the residual stream.
        index: which one of its kind; None where a layer has only one.
    """

    kind: StructureKind
    layer: int | None = None
    index: int | None = None

    @property
    def name(self) -> str:
        """The name that `parse_structure` reads."""
        if self.layer is None:
            return f"{self.kind}.{self.index}"
        inside = "" if self.kind == "layer" else f".{self.kind}"
        return f"layers.{self.layer}{inside}" + ("" if self.index is None else f".{self.index}")

    def __lt__(self, other: Structure) -> bool:
        """Order by layer, kind and index, with what lies outside of the layers last."""
        return _place(self) < _place(other)


def parse_structure(name: str) -> Structure:
    """Return the structure of that name.

    Raises:
        UnknownStructureError: it is no such name.
    """
    if found := _NAME.fullmatch(name):
        layer, block, unit, index = found.groups()
        return Structure(
            kind=_kind(block or unit or "layer"), layer=int(layer), index=None if index is None else int(index)
        )
    if found := _OUTSIDE_NAME.fullmatch(name):
        outside, index = found.groups()
        return Structure(kind=_kind(outside), index=int(index))
    raise UnknownStructureError(f"{name!r} is not the name of a structure.", structure=name)


def match_structures(patterns: Iterable[str], known: Sequence[Structure]) -> tuple[Structure, ...]:
    """Return the known structures whose names fit any of the globs, in their order.

    Raises:
        UnknownStructureError: a glob fits none (names it).
    """
    chosen: set[Structure] = set()
    for pattern in patterns:
        found = [structure for structure in known if fnmatchcase(structure.name, pattern)]
        if not found:
            raise UnknownStructureError(f"No structure of this model is named {pattern!r}.", structure=pattern)
        chosen.update(found)
    return tuple(structure for structure in known if structure in chosen)


def _kind(word: str) -> StructureKind:
    return next(kind for kind in _KINDS if kind == word)


def _place(structure: Structure) -> tuple[float, int, int]:
    layer = float("inf") if structure.layer is None else structure.layer
    return layer, _KINDS.index(structure.kind), -1 if structure.index is None else structure.index
