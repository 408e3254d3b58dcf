"""Which tensors and files a partial revert means: by pattern, layer, expert.

Different selectors narrow each other (layer 3 and expert 2: that expert of that layer); several values of one selector
widen it. A value that matches nothing is an error: whoever mistypes a name must not believe that it was reverted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from birdbone.vault.errors import BadRevertError

_NUMBER = re.compile(r"(?:^|\.)(\d+)(?=\.|$)")
_SPAN = re.compile(r"(\d+)(?:-(\d+))?")

LayerChoice = int | str | range
"""A layer's number, a range of them, or text: `3`, `4-7` (both ends included)."""
ExpertChoice = int | str
"""An expert's number (`3` means names with `experts.3.`), or the dotted part of the name that is the expert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a revert is limited to; empty: everything."""

    tensors: tuple[str, ...] = ()
    """Shell patterns over tensor names, such as `*.mlp.*`; case matters."""
    layers: tuple[LayerChoice, ...] = ()
    """Layers: the first number in a dotted name."""
    experts: tuple[ExpertChoice, ...] = ()
    """Experts."""
    files: tuple[str, ...] = ()
    """Shell patterns over the paths of files other than checkpoints."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return not (self.selects_tensors or self.files)

    @property
    def selects_tensors(self) -> bool:
        """Whether some selector of tensors is given."""
        return bool(self.tensors or self.layers or self.experts)


def select_tensors(selection: Selection, names: Iterable[str]) -> frozenset[str]:
    """Return the tensors of `names` that are meant; none if only files are.

    Raises:
        BadRevertError: a selector's value matches none of `names`, or all of them together leave none.
    """
    known = frozenset(names)
    if selection.is_whole:
        return known
    if not selection.selects_tensors:
        return frozenset()
    chosen = known
    for values, matcher in (
        (selection.tensors, _by_pattern),
        (selection.layers, _by_layer),
        (selection.experts, _by_expert),
    ):
        if values:
            chosen &= _union(values, matcher, known)
    if not chosen:
        raise BadRevertError("No tensor fits all of the selectors together.", hint="Give fewer of them.")
    return chosen


def select_files(selection: Selection, paths: Iterable[str]) -> frozenset[str]:
    """Return the files of `paths` that are meant; none if only tensors are.

    Raises:
        BadRevertError: a pattern matches none of `paths`.
    """
    known = frozenset(paths)
    if selection.is_whole:
        return known
    return _union(selection.files, _by_pattern, known)


def _union(
    values: Iterable[object], matcher: Callable[..., Callable[[str], bool]], known: frozenset[str]
) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for value in values:
        fits = matcher(value)
        matched = frozenset(name for name in known if fits(name))
        if not matched:
            raise BadRevertError(f"{value!r} matches none of the {len(known)} names.", selector=str(value))
        found |= matched
    return found


def _by_pattern(pattern: str) -> Callable[[str], bool]:
    return lambda name: fnmatchcase(name, pattern)


def _by_layer(choice: LayerChoice) -> Callable[[str], bool]:
    numbers = choice if isinstance(choice, range) else _span(choice)
    return lambda name: (found := _NUMBER.search(name)) is not None and int(found[1]) in numbers


def _by_expert(choice: ExpertChoice) -> Callable[[str], bool]:
    part = str(choice).strip(".")
    if part.isdigit():
        part = f"experts.{part}"
    return lambda name: f".{part}." in f".{name}."


def _span(choice: int | str) -> range:
    match = _SPAN.fullmatch(str(choice))
    if match is None:
        raise BadRevertError(f"{choice!r} is not a layer: a number such as 3 or a range such as 4-7 was expected.")
    return range(int(match[1]), int(match[2] or match[1]) + 1)
