"""Which names are safe: digests, refs, paths inside an artefact, kinds of artefact."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import StringConstraints

from birdbone.vault.errors import BadNameError

DIGEST_PATTERN = r"^b3:[0-9a-f]{64}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
KIND_PATTERN = r"^[a-z][a-z0-9_-]{0,63}$"

Digest = Annotated[str, StringConstraints(pattern=DIGEST_PATTERN)]
"""BLAKE3 of some bytes, `b3:<64 hex digits>`."""
Sha256 = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]
"""SHA-256 of some bytes, 64 hex digits."""
Kind = Annotated[str, StringConstraints(pattern=KIND_PATTERN)]
"""What an artefact is: `model`, `mask`, `adapter`, `dataset`, `report`, `statistics`."""

BRANCHES = "refs/heads/"
TAGS = "refs/tags/"
REMOTES = "refs/remotes/"
"""Where the branches of remotes stood when they were last seen."""
NOTES = "refs/notes/"
OVERRIDES = "refs/overrides/"
"""Under which the audit has the overrides of failed gates, by run. No file lies there."""
SETTINGS = "refs/settings"
HEAD = "HEAD"

_MAX_PART_BYTES = 200  # a file name has at most 255 bytes, and the temporary file beside it adds a few
_REF_PART = re.compile(r"[\w+=@#,-][\w.+=@#,-]*")
_DIGEST = re.compile(DIGEST_PATTERN)
_KIND = re.compile(KIND_PATTERN)


def is_digest(text: str) -> bool:
    """Return whether `text` is a whole BLAKE3 digest."""
    return _DIGEST.fullmatch(text) is not None


def check_kind(kind: str, *, what: str = "The kind of an artefact") -> str:
    """Return `kind`, if it is lower case, short and plain.

    Args:
        what: what else it is the name of, for the message.

    Raises:
        BadNameError: it is not.
    """
    if _KIND.fullmatch(kind) is None:
        hint = "Use up to 64 lower-case letters, digits, `-` and `_`, a letter first."
        raise BadNameError(f"{what} is a short lower-case word; {kind!r} came.", hint=hint, name=kind)
    return kind


def full_ref_name(name: str) -> str:
    """Return `refs/heads/<name>` for a short name, and a full name unchanged.

    Raises:
        BadNameError: the name has `..`, a NUL, a leading `/`, `.` or `-`, or another part that is not safe as a file
            name.
    """
    full = name if name.startswith((BRANCHES, TAGS, REMOTES)) else BRANCHES + name
    parts = full.split("/")[2:]
    if name.startswith("refs/") and full != name:
        raise BadNameError(f"Refs live under {BRANCHES}, {TAGS} and {REMOTES}; {name!r} does not.", name=name)
    if not all(_is_ref_part(part) for part in parts) or parts[0].startswith("-") or parts in ([HEAD], ["@"]):
        raise BadNameError(f"{name!r} cannot be the name of a ref.", name=name)
    return full


def check_relative_path(path: str) -> str:
    """Return `path`, if it stays inside the folder that it is written to.

    Raises:
        BadNameError: it is absolute, has an empty, `.` or `..` part, a backslash, a NUL, or is not UTF-8.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in path or "\x00" in path or not _is_utf8(path):
        raise BadNameError(
            f"{path!r} cannot be the path of a file in an artefact.",
            hint="Rename the file: relative, UTF-8, without `..`, backslash or control character.",
            path=path.encode("utf-8", "replace").decode(),
        )
    return path


def _is_ref_part(part: str) -> bool:
    is_short = _is_utf8(part) and len(part.encode()) <= _MAX_PART_BYTES
    is_plain = _REF_PART.fullmatch(part) is not None and ".." not in part
    return is_short and is_plain and not part.endswith((".", ".lock"))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
