"""Who may move which ref: protected branches, and a level for each identity on each pattern of refs.

The settings are one small file, `refs/settings.json`. Without it everybody is an admin and nothing is protected,
which is right for one person on one machine. A rule that cannot be read is never skipped: the move is refused.

Levels, each with those before it: `read` (look, switch to it), `write` (make it, move it on, take an unprotected one
back or away), `merge` (move it on by merges), `admin` (force a protected one, change these settings).
"""

from __future__ import annotations

import contextlib
import fnmatch
import getpass
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, ValidationError, field_validator

from birdbone.core.digest import digest_json
from birdbone.core.files import write_json
from birdbone.core.schema import Strict
from birdbone.vault.ancestry import comes_before, parents_of
from birdbone.vault.errors import AccessDeniedError, BadNameError, BadSettingsError, ProtectedRefError
from birdbone.vault.folder import Vault, explain_write_errors, hold_lock
from birdbone.vault.names import BRANCHES, HEAD, SETTINGS, TAGS
from birdbone.vault.refs.audit_log import append_entry, audit_tip, read_entries

Level = Literal["read", "write", "merge", "admin"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""Every level, the lowest first."""

EVERYBODY = "*"
"""Stands for every identity in a grant."""

_PATTERN = re.compile(r"[\w+=@#,*?-][\w./+=@#,*?-]*")


class Permissions(Strict):
    """Levels by pattern of refs and by identity."""

    default: Level = "admin"
    """What everybody may do where no grant says otherwise."""
    grants: dict[str, dict[str, Level]] = Field(default_factory=dict)
    """For a pattern: identities (`*` for everybody) and their levels. The closest pattern that names one decides."""

    @field_validator("grants")
    @classmethod
    def _patterns_are_plain(cls, grants: dict[str, dict[str, Level]]) -> dict[str, dict[str, Level]]:
        return {full_pattern(pattern): dict(levels) for pattern, levels in grants.items()}


class RefSettings(Strict):
    """What the refs of a store allow."""

    format: Literal["birdbone.refs/1"] = "birdbone.refs/1"
    """Generation of this record."""
    protected: tuple[str, ...] = ()
    """Patterns of refs that only move forwards, unless an admin forces them."""
    permissions: Permissions = Permissions()
    """Who may do what."""

    @field_validator("protected")
    @classmethod
    def _patterns_are_plain(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({full_pattern(pattern) for pattern in patterns}))


def identify(claimed: str | None) -> str:
    """Return who acts: `claimed`, else `BIRDBONE_AUTHOR`, else the name of the account, else `unknown`.

    The one seam for the room `guard`: until it stands a claimed name is believed, as git believes `user.name`.
    """
    if claimed:
        return claimed
    with contextlib.suppress(OSError, KeyError):
        return os.environ.get("BIRDBONE_AUTHOR") or getpass.getuser()
    return "unknown"


def full_pattern(pattern: str) -> str:
    """Return a pattern of full names: `main` and `release/*` are of branches, others begin with `refs/` or are `HEAD`.

    `*` stands for any characters, `/` included, and `?` for one.

    Raises:
        BadNameError: it could match no ref.
    """
    if _PATTERN.fullmatch(pattern) is None or ".." in pattern:
        raise BadNameError(
            f"{pattern!r} cannot be a pattern of refs.",
            hint="Write a name such as `main`, or a pattern such as `release/*` or `refs/tags/v*`.",
            name=pattern,
        )
    return pattern if pattern == HEAD or pattern.startswith("refs/") else BRANCHES + pattern


def read_settings(vault: Vault) -> RefSettings:
    """Return the settings of the refs that hold; those of a fresh store if none were ever made.

    The tip of the audit names them, so a file that was edited or removed past the audit gives nobody a right. A change
    that a crash cut off before its file was written is taken from the log.

    Raises:
        BadSettingsError: the file does not hold the settings that were made; no ref moves until it does.
    """
    tip = audit_tip(vault)
    found = read_settings_file(vault)
    digest = settings_digest(found)
    if digest == (tip.settings if tip else None):
        return found
    changes = [entry for entry in read_entries(vault) if entry.ref == SETTINGS]
    last = changes[-1] if changes else None
    if last and digest == last.new:
        return found  # changed since the tip was read
    if last and tip and (digest, tip.settings) == (last.old, last.new):
        return RefSettings.model_validate(last.detail)
    raise BadSettingsError(f"{_settings_path(vault).name} does not hold the settings that the audit knows.")


def read_settings_file(vault: Vault) -> RefSettings:
    """Return what the file of the settings holds, whether it holds or not.

    Raises:
        BadSettingsError: it is not settings.
    """
    try:
        return RefSettings.model_validate_json(_settings_path(vault).read_bytes())
    except FileNotFoundError:
        return RefSettings()
    except (ValidationError, BadNameError) as error:
        raise BadSettingsError(f"{_settings_path(vault).name} does not hold settings of refs.") from error


def change_settings(
    vault: Vault, change: Callable[[RefSettings], RefSettings], *, reason: str, author: str | None = None
) -> RefSettings:
    """Return the settings after `change`, made durable and audited under the lock, so that no other change is lost.

    Raises:
        AccessDeniedError: `author` is not an admin of the settings.
        BadSettingsError: afterwards nobody could change them again.
    """
    author = identify(author)
    with hold_lock(vault):
        old = read_settings(vault)
        check_level(old, SETTINGS, needs="admin", identity=author)
        new = change(old)
        if new == old:
            return old
        if not admins_of(new, SETTINGS):
            raise BadSettingsError("Afterwards no identity would be an admin of the settings.")
        value = new.model_dump(mode="json")
        append_entry(
            vault,
            ref=SETTINGS,
            old=settings_digest(old),
            new=settings_digest(new),
            author=author,
            reason=reason,
            detail=value,
        )
        with explain_write_errors(vault.refs):
            write_json(_settings_path(vault), value)
    return new


def protect(vault: Vault, pattern: str, *, author: str | None = None) -> RefSettings:
    """Return the settings after the refs that match `pattern` became protected. Raises what `change_settings` does."""
    full = full_pattern(pattern)
    return change_settings(
        vault, lambda old: _rebuilt(old, protected=(*old.protected, full)), reason=f"protect {full}", author=author
    )


def unprotect(vault: Vault, pattern: str, *, author: str | None = None) -> RefSettings:
    """Return the settings after `pattern` was taken from the protected ones. Raises what `change_settings` does."""
    full = full_pattern(pattern)

    def without(old: RefSettings) -> RefSettings:
        return _rebuilt(old, protected=tuple(other for other in old.protected if other != full))

    return change_settings(vault, without, reason=f"unprotect {full}", author=author)


def grant(vault: Vault, pattern: str, identity: str, level: Level | None, *, author: str | None = None) -> RefSettings:
    """Return the settings after `identity` (`*`: everybody) got `level` on `pattern`; None takes the grant away.

    Raises what `change_settings` does.
    """
    full = full_pattern(pattern)

    def granted(old: RefSettings) -> RefSettings:
        grants = {other: dict(levels) for other, levels in old.permissions.grants.items()}
        levels = {who: held for who, held in grants.get(full, {}).items() if who != identity}
        grants[full] = levels if level is None else levels | {identity: level}
        kept = {other: grants[other] for other in sorted(grants) if grants[other]}
        return _rebuilt(old, permissions={"default": old.permissions.default, "grants": kept})

    reason = f"grant {identity} {level or 'nothing of its own'} on {full}"
    return change_settings(vault, granted, reason=reason, author=author)


def set_default_level(vault: Vault, level: Level, *, author: str | None = None) -> RefSettings:
    """Return the settings after `level` became what everybody has where no grant says otherwise.

    Name an admin of `refs/*` first (see `grant`): raises what `change_settings` does.
    """

    def with_default(old: RefSettings) -> RefSettings:
        return _rebuilt(old, permissions=old.permissions.model_dump() | {"default": level})

    return change_settings(vault, with_default, reason=f"default level {level}", author=author)


def settings_digest(settings: RefSettings) -> str | None:
    """Return what the audit calls these settings; None for those of a fresh store."""
    return None if settings == RefSettings() else digest_json(settings.model_dump(mode="json"))


def level_of(settings: RefSettings, ref: str, identity: str) -> Level:
    """Return what `identity` may do with the ref of this full name.

    The closest pattern that names the identity or everybody decides: one without wildcards, else the one with the most
    plain characters; of two as close, the lower level. An identity by its own name comes before everybody.
    """
    found = [
        (_closeness(pattern), -LEVELS.index(level), level)
        for pattern, levels in settings.permissions.grants.items()
        if fnmatch.fnmatchcase(ref, pattern) and (level := levels.get(identity) or levels.get(EVERYBODY))
    ]
    return max(found)[2] if found else settings.permissions.default


def admins_of(settings: RefSettings, ref: str) -> tuple[str, ...]:
    """Return the identities that are named as admins of a ref; `*` if everybody is who is not named otherwise."""
    named = {identity for levels in settings.permissions.grants.values() for identity in levels}
    return tuple(who for who in sorted(named | {EVERYBODY}) if level_of(settings, ref, who) == "admin")


def is_protected(settings: RefSettings, ref: str) -> bool:
    """Return whether the ref of this full name only moves forwards."""
    return any(fnmatch.fnmatchcase(ref, pattern) for pattern in settings.protected)


def check_level(settings: RefSettings, ref: str, *, needs: Level, identity: str) -> None:
    """Do nothing if `identity` has the level that an act on `ref` (a full name) needs.

    Raises:
        AccessDeniedError: it has less.
    """
    held = level_of(settings, ref, identity)
    if LEVELS.index(held) >= LEVELS.index(needs):
        return
    admins = ["everybody else" if who == EVERYBODY else who for who in admins_of(settings, SETTINGS)]
    raise AccessDeniedError(
        f"{identity} may {held} {ref}; this needs {needs}.",
        hint=f"Ask for it: {', '.join(admins)} can grant it.",
        ref=ref,
        identity=identity,
        level=held,
        needed=needs,
        admins=admins,
    )


def check_move(vault: Vault, ref: str, *, old: str | None, new: str | None, identity: str, force: bool) -> None:
    """Do nothing if `identity` may move a ref (full name) so; None stands for no such ref.

    Raises:
        AccessDeniedError: the identity has too low a level.
        ProtectedRefError: it would have to be forced, by who is an admin.
    """
    settings = read_settings(vault)
    if is_protected(settings, ref) and not _goes_forward(vault, ref, old, new):
        check_level(settings, ref, needs="admin", identity=identity)
        if not force:
            raise _protected(ref, identity=identity, is_deletion=new is None)
    elif level_of(settings, ref, identity) != "admin":
        needs: Level = "merge" if old and new and _brings_merges(vault, old, new) else "write"
        check_level(settings, ref, needs=needs, identity=identity)


def _goes_forward(vault: Vault, ref: str, old: str | None, new: str | None) -> bool:
    """Return whether nothing is lost by a move; to a tag any move but its making is a loss."""
    if old is None:
        return True
    return new is not None and not ref.startswith(TAGS) and comes_before(vault, old, new)


def _brings_merges(vault: Vault, old: str, new: str) -> bool:
    """Return whether a version with several parents lies between `old` and `new`; going back brings none."""
    if comes_before(vault, new, old):
        return False
    version: str | None = new
    while version and version != old:
        parents = parents_of(vault, version)
        if len(parents) > 1:
            return True
        version = parents[0] if parents else None
    return False


def _protected(ref: str, *, identity: str, is_deletion: bool) -> ProtectedRefError:
    act = "deleting it" if is_deletion else "moving it anywhere but forwards"
    return ProtectedRefError(
        f"{ref} is protected: {act} must be forced by an admin.", ref=ref, identity=identity, needed="admin"
    )


def _closeness(pattern: str) -> tuple[bool, int]:
    num_wild = sum(pattern.count(character) for character in "*?")
    return not num_wild, len(pattern) - num_wild


def _rebuilt(old: RefSettings, **fields: object) -> RefSettings:
    return RefSettings.model_validate(old.model_dump() | fields)


def _settings_path(vault: Vault) -> Path:
    return vault.refs / "settings.json"
