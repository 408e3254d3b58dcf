"""What must be kept whatever else goes: the versions that a ref, `HEAD`, a note or a bisection names.

What the branches of remotes were last seen at is kept too: a push that went there needs it, or a merge that is to come.
"""

from __future__ import annotations

from birdbone.vault.folder import Vault
from birdbone.vault.history.bisect import bisected_versions
from birdbone.vault.names import HEAD
from birdbone.vault.refs.notes import noted_versions
from birdbone.vault.refs.refs import read_ref, refs, tracking_refs


def root_versions(vault: Vault) -> set[str]:
    """Return the ids of the versions whose whole history a collection of garbage keeps."""
    head = read_ref(vault, HEAD)
    named = {*refs(vault).values(), *tracking_refs(vault).values(), *([head] if head else [])}
    return {*named, *noted_versions(vault), *bisected_versions(vault)}
