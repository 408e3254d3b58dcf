"""A remote, opened: the way to its bytes, and its refs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from birdbone.vault.errors import UnknownRemoteError, UnsupportedFormatError
from birdbone.vault.folder import Vault, open_vault
from birdbone.vault.remotes.catalogue import Catalogue, read_catalogue
from birdbone.vault.remotes.settings import list_remotes, url_of
from birdbone.vault.remotes.tables import FolderTable, JournalTable, RefTable
from birdbone.vault.remotes.transport import Transport, Wrap, open_transport, unsealed

_FORMAT_FILE = "objects/format.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A remote of a store. `name` is None if it was given by its URL."""

    vault: Vault
    url: str
    name: str | None
    transport: Transport
    table: RefTable

    def catalogue(self) -> Catalogue:
        """Return what its packs hold now."""
        return read_catalogue(self.vault, self.transport, self.url)


def open_remote(vault: Vault, remote: str, *, make: bool = False, wrap: Wrap = unsealed) -> Remote:
    """Return the remote that `remote`, a name or a URL or a folder, means.

    Args:
        make: make it if nothing is there.
        wrap: the seam where bytes are sealed; see `transport`.

    Raises:
        UnknownRemoteError: no remote has this name, or there is nothing at its URL.
        UnsupportedFormatError: another generation of Birdbone wrote it.
    """
    url = url_of(vault, remote)
    name = remote if remote in list_remotes(vault) else None
    if "://" not in url:
        table: RefTable = FolderTable(_open_folder(Path(url), vault, make=make))
        return Remote(vault=vault, url=url, name=name, transport=wrap(open_transport(url)), table=table)
    transport = wrap(open_transport(url))
    _check_format(transport, vault, url, make=make)
    return Remote(vault=vault, url=url, name=name, transport=transport, table=JournalTable(transport))


def check_is_there(url: str, *, wrap: Wrap = unsealed) -> None:
    """Do nothing if a store lies at a URL.

    Raises:
        UnknownRemoteError: nothing does.
    """
    try:
        wrap(open_transport(url)).read(_FORMAT_FILE)
    except FileNotFoundError as error:
        raise UnknownRemoteError(f"There is no store at {url}.", url=url) from error


def _open_folder(folder: Path, vault: Vault, *, make: bool) -> Vault:
    if not make and not (folder / _FORMAT_FILE).is_file():
        raise UnknownRemoteError(f"There is no store at {folder}.", path=str(folder))
    return Vault(folder=open_vault(folder).folder, lock_timeout_seconds=vault.lock_timeout_seconds)


def _check_format(transport: Transport, vault: Vault, url: str, *, make: bool) -> None:
    ours = (vault.objects / "format.json").read_bytes()
    try:
        found = transport.read(_FORMAT_FILE)
    except FileNotFoundError as error:
        if not make:
            raise UnknownRemoteError(f"There is no store at {url}.", url=url) from error
        transport.create(_FORMAT_FILE, ours)
        return
    try:
        is_alike = json.loads(found) == json.loads(ours)
    except ValueError:
        is_alike = False
    if not is_alike:
        raise UnsupportedFormatError(f"The store at {url} says {found[:80]!r}; this Birdbone reads {ours[:80]!r}.")
