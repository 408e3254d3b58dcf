"""The lowest common ancestors of two versions."""

from __future__ import annotations

from birdbone.vault.folder import Vault
from birdbone.vault.lookup import read_version


def lowest_common_ancestors(vault: Vault, ours: str, theirs: str) -> tuple[str, ...]:
    """Return the common ancestors (a version is its own) of two version ids that are ancestor of no other, in order.

    None if the histories are unrelated; several after a criss-cross merge. Every version behind the two is read once.
    """
    parents: dict[str, tuple[str, ...]] = {}
    common = _with_ancestors(vault, ours, parents) & _with_ancestors(vault, theirs, parents)
    # An ancestor of a common one is common too, so whatever is not lowest is the parent of a common one.
    return tuple(sorted(common - {parent for version in common for parent in parents[version]}))


def _with_ancestors(vault: Vault, start: str, parents: dict[str, tuple[str, ...]]) -> set[str]:
    seen, stack = {start}, [start]
    while stack:
        version = stack.pop()
        if version not in parents:
            parents[version] = read_version(vault, version).parents
        fresh = set(parents[version]) - seen
        seen |= fresh
        stack.extend(fresh)
    return seen
