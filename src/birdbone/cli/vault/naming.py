"""What the commands on branches, tags and permissions do and print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from birdbone.cli import output
from birdbone.cli.errors import UsageError
from birdbone.cli.vault.telling import headline, short_digest
from birdbone.vault.folder import Vault
from birdbone.vault.names import BRANCHES, HEAD
from birdbone.vault.refs.branches import (
    create_branch,
    create_tag,
    delete_branch,
    delete_tag,
    describe_head,
    list_branches,
    list_tags,
    rename_branch,
)
from birdbone.vault.refs.lookup import read_version
from birdbone.vault.refs.permissions import Level, RefSettings, grant, read_settings, set_default_level


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchAct:
    """What is to be done with a branch."""

    move: bool
    delete: bool
    force: bool


def branch_rows(vault: Vault) -> list[dict[str, Any]]:
    """Return all branches, and a detached `HEAD` before them."""
    head = describe_head(vault)
    rows = [] if head.branch or not head.version else [_row(vault, f"({HEAD} detached)", head.version, True)]
    return rows + [_row(vault, each.name, each.version, each.is_current) for each in list_branches(vault)]


def tag_rows(vault: Vault) -> list[dict[str, Any]]:
    """Return all tags."""
    return [_row(vault, each.name, each.version, False) for each in list_tags(vault)]


def print_rows(rows: Sequence[dict[str, Any]], *, empty: str) -> None:
    """Print branches or tags in lines, the current one with a star; `empty` if there are none."""
    if not rows:
        output.talk(empty)
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        mark = "* " if row["is_current"] else "  "
        output.print_line(f"{mark}{row['name']:<{width}}  {short_digest(row['version'])} {row['message']}")


def change_branch(vault: Vault, name: str | None, at: str | None, act: BranchAct) -> dict[str, Any]:
    """Return what was done, `words` for a person.

    Raises:
        UsageError: the options do not fit each other.
        and what the functions of `branches` raise.
    """
    if name is None or (act.move and act.delete) or (act.delete and at is not None):
        raise UsageError("Expected one of: NAME [AT], --move [OLD] NEW, --delete NAME.", hint=_BRANCH_HINT)
    if act.delete:
        version = delete_branch(vault, name, force=act.force)
        words = f"deleted {name} (was {short_digest(version)})"
        return {"branch": name, "version": version, "is_deleted": True, "words": words}
    if act.move:
        old, new = (name, at) if at is not None else (describe_head(vault).branch, name)
        if old is None:
            raise UsageError("HEAD is detached: which branch is to be renamed?", hint=_BRANCH_HINT)
        rename_branch(vault, old, new, force=act.force)
        return {"branch": new, "old": old, "words": f"renamed {old} to {new}"}
    made = create_branch(vault, name, at=at or HEAD, force=act.force)
    return {"branch": made.name, "version": made.version, "words": f"{made.name} is at {short_digest(made.version)}"}


def change_tag(vault: Vault, name: str, at: str, *, is_delete: bool, force: bool) -> dict[str, Any]:
    """Return what was done, `words` for a person. Raises what the functions of `branches` do."""
    if is_delete:
        version = delete_tag(vault, name, force=force)
        words = f"deleted {name} (was {short_digest(version)})"
        return {"tag": name, "version": version, "is_deleted": True, "words": words}
    made = create_tag(vault, name, at=at, force=force)
    return {"tag": made.name, "version": made.version, "words": f"{made.name} stands for {short_digest(made.version)}"}


def change_grants(
    vault: Vault, wanted: tuple[str | None, str | None, str | None], *, default: str | None, author: str | None
) -> RefSettings:
    """Return the settings after a grant, or the default level, was set; as they are if nothing was asked for.

    Raises:
        UsageError: a part of the grant is missing, or there is no such level.
    """
    pattern, identity, level = wanted
    if default is not None:
        return set_default_level(vault, _level(default), author=author)
    if pattern is None:
        return read_settings(vault)
    if identity is None or level is None:
        raise UsageError("A grant is PATTERN WHO LEVEL.", hint="Such as `birdbone vault grant main ann merge`.")
    return grant(vault, pattern, identity, None if level == "none" else _level(level), author=author)


def settings_words(settings: RefSettings) -> str:
    """Return what refs allow, in lines."""
    lines = [f"protected: {', '.join(map(_short, settings.protected)) or 'no ref'}"]
    lines.append(f"everybody else may: {settings.permissions.default}")
    for pattern, levels in settings.permissions.grants.items():
        lines += [f"{_short(pattern)}: {identity} may {level}" for identity, level in levels.items()]
    return "\n".join(lines)


def _short(pattern: str) -> str:
    return pattern.removeprefix(BRANCHES)


def _level(text: str) -> Level:
    if text not in get_args(Level):
        raise UsageError(f"{text!r} is no level.", hint=f"Levels are {', '.join(get_args(Level))}, and none.")
    return cast("Level", text)


def _row(vault: Vault, name: str, version: str, is_current: bool) -> dict[str, Any]:
    message = headline(read_version(vault, version))
    return {"name": name, "version": version, "is_current": is_current, "message": message}


_BRANCH_HINT = "`birdbone vault branch --help` shows them."
