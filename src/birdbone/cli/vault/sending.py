"""What the commands on remotes do and print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from birdbone.cli import words
from birdbone.cli.vault.moving import Moved, bring_head, with_files
from birdbone.cli.vault.telling import busy, short_digest, transfer
from birdbone.cli.vault.work import open_store
from birdbone.core import make_workspace
from birdbone.vault.errors import DestinationNotEmptyError
from birdbone.vault.folder import open_vault
from birdbone.vault.names import BRANCHES, HEAD
from birdbone.vault.refs.branches import describe_head
from birdbone.vault.remotes import FetchReport, PullReport, clone, fetch, heal, list_remotes, pull, push

_WORKSPACE = ".birdbone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What went to a remote or came from it: data for a program, lines for a person."""

    data: Mapping[str, Any]
    told: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return dict(self.data)

    def lines(self) -> tuple[str, ...]:
        """Return it in lines."""
        return self.told


def store_at(url: str) -> str:
    """Return a folder as an absolute path, and of a workspace its store; any other URL as it is."""
    if "://" in url:
        return url
    inside = Path(url).resolve() / _WORKSPACE
    return str(inside if (inside / "objects" / "format.json").is_file() else inside.parent)


def push_to(remote: str, names: Sequence[str], *, force: bool, author: str | None) -> Sent:
    """Return what a push did. Raises what `push` does."""
    vault = open_store()
    place = remote if remote in list_remotes(vault) or not _is_place(remote) else store_at(remote)
    with transfer(f"sending to {remote}") as progress:
        done = push(vault, place, names, force=force, author=author, progress=progress)
    told = [f"{_short(each.ref)}: {_move(each.old, each.new)}" for each in done.changes]
    told += [f"sent {_volume(done.num_blobs, done.size_bytes)}"] if told else []
    told += [f"sent {words.count(done.num_notes, 'note')}"] if done.num_notes else []
    data = {
        "changes": [each.model_dump(mode="json") for each in done.changes],
        "num_blobs": done.num_blobs,
        "num_records": done.num_records,
        "size_bytes": done.size_bytes,
        "num_notes": done.num_notes,
    }
    return Sent(data=data, told=tuple(told or [f"{remote} has it all already"]))


def fetch_from(remote: str, *, prune: bool) -> Sent:
    """Return what a fetch brought. Raises what `fetch` does."""
    with transfer(f"fetching from {remote}") as progress:
        done = fetch(open_store(), remote, prune=prune, progress=progress)
    return Sent(data=_fetched_json(done), told=tuple(_fetched_lines(done)))


def pull_from(remote: str, *, author: str | None) -> Sent:
    """Return what a pull brought, and where the branch and the files are. Raises what `pull` and `with_files` do."""
    with transfer(f"fetching from {remote}") as progress:
        done, moved = with_files(HEAD, lambda vault: pull(vault, remote, author=author, progress=progress))
    is_same = done.old == done.new
    told = [
        *_fetched_lines(done.fetched),
        f"{_short(done.ref)}: {'as it was' if is_same else _move(done.old, done.new)}",
        *([moved.in_words()] if moved and not is_same else []),
    ]
    return Sent(data=_pulled_json(done), told=tuple(told))


def clone_into(url: str, folder: Path) -> Sent:
    """Return what a clone brought, after the files of its branch were written. Raises what `clone` does.

    Raises:
        DestinationNotEmptyError: something is in `folder` that a clone which was broken off did not leave.
    """
    if folder.exists() and (not folder.is_dir() or any(path.name != _WORKSPACE for path in folder.iterdir())):
        raise DestinationNotEmptyError(f"{folder} is there already.", path=str(folder))
    with transfer(f"fetching from {url}") as progress:
        clone(store_at(url), folder / _WORKSPACE, progress=progress)
    workspace, _ = make_workspace(folder)
    head = describe_head(open_vault(workspace.vault_folder))
    moved: Moved | None = None
    if head.version is not None:
        with busy(f"writing {folder}"):
            moved = bring_head(workspace)
    told = [str(folder), moved.in_words() if moved else "the branch of the remote has no version yet"]
    return Sent(data={"folder": str(folder), **asdict(head)}, told=tuple(told))


def heal_from(remotes: Sequence[str] | None) -> Sent:
    """Return what was healed, and what no remote has. Raises what `heal` does."""
    with busy("reading every byte"):
        done = heal(open_store(), remotes=remotes or None)
    lines = [f"healed {digest}{f' from {remote}' if remote else ''}" for digest, remote in done.healed.items()]
    lines += [f"not healed {digest}: no remote has it intact" for digest in done.not_healed]
    lines += [f"{remote} failed: {why}" for remote, why in done.failed_remotes.items()]
    return Sent(data={"is_whole": done.is_whole, **asdict(done)}, told=tuple(lines or ["nothing is damaged"]))


def _is_place(remote: str) -> bool:
    """Return whether a text names a place and not a remote."""
    return "/" in remote or remote in (".", "..")


def _fetched_lines(done: FetchReport) -> Iterator[str]:
    yield from (f"{ref.removeprefix('refs/remotes/')}: {short_digest(new)}" for ref, new in done.moved.items())
    yield from (f"{_short(tag)} stands elsewhere on the remote; yours was kept" for tag in done.kept_tags)
    if done.num_blobs or done.moved:
        yield f"fetched {_volume(done.num_blobs, done.size_bytes)}"
    if done.num_notes:
        yield f"fetched {words.count(done.num_notes, 'note')}"
    elif not (done.num_blobs or done.moved):
        yield "nothing new"


def _fetched_json(done: FetchReport) -> dict[str, Any]:
    return {**asdict(done)}


def _pulled_json(done: PullReport) -> dict[str, Any]:
    return {"ref": done.ref, "old": done.old, "new": done.new, "fetched": _fetched_json(done.fetched)}


def _move(old: str | None, new: str) -> str:
    return f"{short_digest(old)} → {short_digest(new)}" if old else f"new, at {short_digest(new)}"


def _volume(num_blobs: int, size_bytes: int) -> str:
    return f"{words.count(num_blobs, 'blob')}, {words.size(size_bytes)}"


def _short(ref: str) -> str:
    return ref.removeprefix(BRANCHES).removeprefix("refs/")
