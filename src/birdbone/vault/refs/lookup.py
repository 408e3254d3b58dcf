"""From a name to what it names: versions, artefacts and their records, each checked against its digest.

A revision is a name with steps, as in git: `main~2` (the first parent, twice), `v1^` (the first parent), `v1^2` (the
second), `main@{1}` (where it stood one move ago), `@` and `@{1}` (of `HEAD` and of its branch), `@{-1}` (the branch
before the last switch). A range is `a..b` (what `b` follows and `a` does not) or `a...b` (what one of the two follows
and not both).
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from birdbone.vault.ancestry import lowest_common_ancestors, parents_of
from birdbone.vault.errors import AmbiguousNameError, BadNameError, UnknownNameError
from birdbone.vault.folder import ObjectKind, Vault
from birdbone.vault.loading import load_manifest, load_version
from birdbone.vault.names import BRANCHES, HEAD, REMOTES, TAGS, full_ref_name, is_digest
from birdbone.vault.records import Manifest, Version
from birdbone.vault.refs.refs import read_head, read_head_before, read_ref, read_ref_before
from birdbone.vault.store.objects import has_object, list_objects

_MIN_PREFIX = 6
_HEX = frozenset("0123456789abcdef")
_MAX_DIGITS = 9  # no history is longer, and int() refuses to read what is much longer
_STEPS = re.compile(rf"(?P<base>.*?)(?P<steps>(?:[~^][0-9]{{0,{_MAX_DIGITS}}})*)", re.DOTALL)
_STEP = re.compile(r"([~^])([0-9]*)")
_BEFORE = re.compile(rf"(?P<ref>.*)@\{{(?P<back>-?)(?P<count>[0-9]{{1,{_MAX_DIGITS}}})\}}", re.DOTALL)
_RANGE = re.compile(r"(?P<left>.*?)(?P<dots>\.\.\.?)(?P<right>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRange:
    """The versions that `tips` follow, themselves included, and none of `hidden` does. Ids."""

    tips: tuple[str, ...]
    hidden: tuple[str, ...] = ()


def resolve(vault: Vault, name: str) -> str:
    """Return the id of the version that `name` means.

    Args:
        name: `HEAD`, a tag, a branch (short or full), a version id, or six or more of its first hex digits; then any
            steps (see above). A tag wins over a branch of the same name, a ref over a digest.

    Raises:
        UnknownNameError: nothing is called so, or a step leads to nothing.
        AmbiguousNameError: several versions begin with these digits.
    """
    found = _find_version(vault, name)
    if found is None:
        raise UnknownNameError(f"No branch, tag or version is called {name!r}.", name=name)
    return found


def resolve_artefact(vault: Vault, name: str) -> str:
    """Return the digest of the artefact that `name` means: itself, or what the ref or version keeps.

    Raises:
        UnknownNameError, AmbiguousNameError: as `resolve` does.
    """
    version = _find_version(vault, name)
    if version is not None:
        return load_version(vault, version, name=name).artefact
    found = _find_object(vault, "artefacts", name)
    if found is None:
        raise UnknownNameError(f"No branch, tag, version or artefact is called {name!r}.", name=name)
    return found


def read_version(vault: Vault, name: str) -> Version:
    """Return the version that `name` means (see `resolve`), checked.

    Raises:
        CorruptObjectError: its bytes do not match its id.
        UnsupportedFormatError: another generation of Birdbone wrote it.
    """
    return load_version(vault, name if is_digest(name) else resolve(vault, name), name=name)


def read_manifest(vault: Vault, name: str) -> Manifest:
    """Return the manifest of the artefact that `name` means (see `resolve_artefact`), checked.

    Raises:
        CorruptObjectError: its bytes do not match its digest.
        UnsupportedFormatError: another generation of Birdbone wrote it.
    """
    return load_manifest(vault, resolve_artefact(vault, name), name=name)


def resolve_range(vault: Vault, text: str) -> VersionRange:
    """Return what a range means; a name alone means all that it follows, and a side left out means `HEAD`.

    Raises:
        UnknownNameError, AmbiguousNameError: as `resolve` does.
    """
    parts = _RANGE.fullmatch(text)
    if parts is None or not (parts["left"] or parts["right"]):
        return VersionRange(tips=(resolve(vault, text),))
    left, right = (resolve(vault, parts[side] or HEAD) for side in ("left", "right"))
    if parts["dots"] == "..":
        return VersionRange(tips=(right,), hidden=(left,))
    return VersionRange(tips=(left, right), hidden=tuple(sorted(lowest_common_ancestors(vault, left, right))))


def _find_version(vault: Vault, name: str) -> str | None:
    parts = _STEPS.fullmatch(name)
    if parts is None:
        return None
    version = _find_base(vault, parts["base"])
    for kind, digits in _STEP.findall(parts["steps"]) if version else ():
        version = _step(vault, version, kind=kind, count=int(digits or 1), name=name)
    return version


def _find_base(vault: Vault, base: str) -> str | None:
    if before := _BEFORE.fullmatch(base):
        return _find_before(vault, before["ref"], int(before["count"]), is_switch=bool(before["back"]), name=base)
    return _find_ref(vault, HEAD if base == "@" else base) or _find_object(vault, "versions", base)


def _find_before(vault: Vault, ref: str, count: int, *, is_switch: bool, name: str) -> str | None:
    if is_switch:
        left = None if ref else read_head_before(vault, count)
        return left if left is None or is_digest(left) else read_ref(vault, left)
    found = next(
        (version for full in _refs_called(vault, ref) if (version := read_ref_before(vault, full, count))), None
    )
    if found is None:
        raise UnknownNameError(f"The log does not say what {name!r} was.", hint=_HINT_BEFORE, name=name)
    return found


def _refs_called(vault: Vault, ref: str) -> tuple[str, ...]:
    """Return the full names that a short one may mean, in the order in which they are tried."""
    if not ref:
        return (read_head(vault),)
    if ref in (HEAD, "@"):
        return (HEAD,)
    is_full = ref.startswith((BRANCHES, TAGS, REMOTES))
    candidates = (ref,) if is_full else (TAGS + ref, BRANCHES + ref, REMOTES + ref)
    try:
        return tuple(full_ref_name(candidate) for candidate in candidates)
    except BadNameError:
        return ()  # a digest, say: no ref can be called so


def _step(vault: Vault, version: str | None, *, kind: str, count: int, name: str) -> str:
    for place in itertools.repeat(1, count) if kind == "~" else [count] * bool(count):
        parents = parents_of(vault, version or "")
        if place > len(parents):
            raise UnknownNameError(f"{name!r} goes past {version}, which has {len(parents)} parents.", name=name)
        version = parents[place - 1]
    return version or ""


def _find_ref(vault: Vault, name: str) -> str | None:
    candidates = _refs_called(vault, name) if name else ()
    return next((version for ref in candidates if (version := read_ref(vault, ref))), None)


def _find_object(vault: Vault, kind: ObjectKind, name: str) -> str | None:
    if is_digest(name):
        return name if has_object(vault, kind, name) else None
    prefix = name.removeprefix("b3:")
    if len(prefix) < _MIN_PREFIX or not _HEX.issuperset(prefix):
        return None
    found = list(list_objects(vault, kind, prefix=prefix))
    if len(found) > 1:
        raise AmbiguousNameError(f"{len(found)} {kind} begin with {prefix!r}.", name=name, candidates=found[:8])
    return found[0] if found else None


_HINT_BEFORE = "`read_reflog` lists the moves of a ref; `NAME@{1}` is where it stood before the last of them."
