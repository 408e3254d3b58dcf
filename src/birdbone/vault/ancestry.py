"""Which versions come before which, by their ids. A version counts as its own ancestor, as in git.

Versions name their parents by digest, so there can be no circle, and clocks are never asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from birdbone.vault.folder import Vault
from birdbone.vault.loading import load_version


def parents_of(vault: Vault, version: str) -> tuple[str, ...]:
    """Return the ids of the parents of `version`, each once, in order."""
    return tuple(dict.fromkeys(load_version(vault, version).parents))


def walk_ancestors(vault: Vault, *starts: str) -> Iterator[str]:
    """Yield `starts` and all that they follow, nearest first, each once; nothing is read before it is asked for."""
    waiting = deque(dict.fromkeys(starts))
    seen = set(waiting)
    while waiting:
        version = waiting.popleft()
        yield version
        fresh = [parent for parent in parents_of(vault, version) if parent not in seen]
        seen.update(fresh)
        waiting.extend(fresh)


def comes_before(vault: Vault, old: str, new: str) -> bool:
    """Return whether `old` is `new` or one of its ancestors."""
    return any(version == old for version in walk_ancestors(vault, new))


def lowest_common_ancestors(vault: Vault, one: str, other: str) -> set[str]:
    """Return the common ancestors that are ancestors of no other common ancestor.

    All ancestors of a common ancestor are common too, so the lowest are those with no child among them.
    """
    common = set(walk_ancestors(vault, one)) & set(walk_ancestors(vault, other))
    return common - {parent for version in common for parent in parents_of(vault, version)}
