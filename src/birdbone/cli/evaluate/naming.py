"""The vault behind a name, for commands of `eval`. Loads no torch."""

from __future__ import annotations

from birdbone.core import find_workspace
from birdbone.core.errors import WorkspaceError
from birdbone.vault import Vault, VaultError, open_vault, read_head, refs, resolve


def find_vault() -> Vault | None:
    """Return the vault of the workspace here or above, if there is one; none is made."""
    try:
        workspace = find_workspace()
    except WorkspaceError:
        return None
    vault = Vault(folder=workspace.vault_folder)
    return open_vault(vault.folder) if (vault.objects / "format.json").exists() else None


def find_version(name: str) -> tuple[Vault, str] | None:
    """Return the vault and the id of the version that `name` means, or None where nothing is called so."""
    vault = find_vault()
    if vault is None:
        return None
    try:
        return vault, resolve(vault, name)
    except VaultError:
        return None


def ref_called(vault: Vault, name: str) -> str | None:
    """Return the full name of the ref of that name, or None; a tag wins, as it does for the vault."""
    if name in ("HEAD", "@"):
        return read_head(vault)
    known = refs(vault)
    return next((ref for ref in (name, f"refs/tags/{name}", f"refs/heads/{name}") if ref in known), None)
