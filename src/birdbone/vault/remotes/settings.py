"""The remotes that a store knows by name: one small file, `remotes.json`, beside `objects/` and `refs/`.

No credential is ever in it: drivers take them from the environment or from the machine's own key chain.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator

from birdbone.core.files import write_json
from birdbone.core.schema import Strict
from birdbone.vault.errors import BadNameError, BadRemoteError, UnknownRemoteError, VaultError
from birdbone.vault.folder import Vault, explain_write_errors, hold_lock
from birdbone.vault.names import REMOTES, full_ref_name
from birdbone.vault.refs.refs import drop_ref, tracking_refs
from birdbone.vault.remotes.catalogue import index_folder

PROTOCOLS = ("file", "memory", "s3", "gs", "gcs", "az", "abfs")
"""Kinds of store that a remote may lie in; `file` is a folder. Each of the others can create an object exclusively."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class RemoteSettings(Strict):
    """The remotes of a store, as they are saved."""

    format: Literal["birdbone.remotes/1"] = "birdbone.remotes/1"
    """Generation of this record."""
    remotes: dict[str, str] = Field(default_factory=dict)
    """URL of each, by name."""

    @field_validator("remotes")
    @classmethod
    def _are_plain(cls, remotes: dict[str, str]) -> dict[str, str]:
        return {check_name(name): check_url(remotes[name]) for name in sorted(remotes)}


def add_remote(vault: Vault, name: str, url: str) -> str:
    """Return the URL as it is kept, after the store knows the remote by `name`. Nothing is asked of the remote.

    Args:
        url: a folder (kept as an absolute path), `file://`, `s3://`, `gs://`, `az://`, `memory://`.

    Raises:
        BadRemoteError: there is a remote of this name at another URL, or the URL cannot be used; see `check_url`.
        BadNameError: the name is not short and plain.
    """
    check_name(name)
    url = check_url(url)
    with hold_lock(vault):
        known = list_remotes(vault)
        if known.get(name, url) != url:
            raise BadRemoteError(
                f"{name} is a remote already, at {known[name]}.", hint="Remove it first, or choose another name."
            )
        _write(vault, known | {name: url})
    return url


def remove_remote(vault: Vault, name: str) -> None:
    """Forget a remote, and where its branches were last seen. The remote itself is left as it is.

    Raises:
        UnknownRemoteError: there is none of this name.
    """
    with hold_lock(vault):
        known = list_remotes(vault)
        if name not in known:
            raise _unknown(name, known)
        for ref in tracking_refs(vault):
            if ref.startswith(f"{REMOTES}{name}/"):
                drop_ref(vault, ref, expected=..., reason="remote: removed", force=True)
        _write(vault, {other: url for other, url in known.items() if other != name})
    shutil.rmtree(index_folder(vault, known[name]), ignore_errors=True)


def list_remotes(vault: Vault) -> dict[str, str]:
    """Return the URL of every remote by its name.

    Raises:
        BadRemoteError: the file that has them cannot be read.
    """
    try:
        return dict(RemoteSettings.model_validate_json(_path(vault).read_bytes()).remotes)
    except FileNotFoundError:
        return {}
    except (ValidationError, VaultError) as error:
        raise BadRemoteError(f"{_path(vault).name} does not hold remotes.", hint="Mend or remove the file.") from error


def url_of(vault: Vault, remote: str) -> str:
    """Return the URL that `remote`, a name or a URL or a folder, means.

    Raises:
        UnknownRemoteError: no remote has this name, and it is no URL and no path.
    """
    known = list_remotes(vault)
    if remote in known:
        return known[remote]
    if "/" not in remote:
        raise _unknown(remote, known)
    return check_url(remote)


def check_name(name: str) -> str:
    """Return the name, if a remote can be called so.

    Raises:
        BadNameError: it cannot.
    """
    if _NAME.fullmatch(name) is None:
        raise BadNameError(f"{name!r} cannot be the name of a remote.", hint="Use letters, digits, `-` and `_`.")
    full_ref_name(f"{REMOTES}{name}/x")
    return name


def check_url(url: str) -> str:
    """Return the URL of a remote as it is kept; a folder as an absolute path.

    Raises:
        BadRemoteError: it holds a password or a query, or no remote can lie in such a place.
    """
    protocol, separator, _ = url.partition("://")
    if not separator:
        return str(Path(url).absolute())
    try:
        parts = urlsplit(url)
        has_secret = parts.password is not None or bool(parts.query)
    except ValueError as error:
        raise BadRemoteError("The URL of the remote cannot be read.") from error
    if has_secret:
        raise BadRemoteError(
            f"The URL of a remote at {protocol}:// holds a password or a query; it was not kept.",
            hint="Give credentials by the environment (such as AWS_ACCESS_KEY_ID) or a profile of the machine.",
        )
    if protocol not in PROTOCOLS:
        raise BadRemoteError(
            f"A remote cannot lie at {protocol}://: that no ref is lost to another writer could not be promised there.",
            hint=f"Give a folder, or one of {', '.join(f'{each}://' for each in PROTOCOLS)}.",
            url=url,
        )
    return str(Path(parts.path).absolute()) if protocol == "file" else url.rstrip("/")


def _write(vault: Vault, remotes: dict[str, str]) -> None:
    with explain_write_errors(_path(vault)):
        write_json(_path(vault), RemoteSettings(remotes=remotes).model_dump(mode="json"))


def _unknown(name: str, known: dict[str, str]) -> UnknownRemoteError:
    return UnknownRemoteError(f"No remote is called {name!r}; known: {', '.join(known) or 'none'}.", name=name)


def _path(vault: Vault) -> Path:
    return vault.folder / "remotes.json"
