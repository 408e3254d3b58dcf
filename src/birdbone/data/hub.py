"""Datasets of the Hugging Face hub: their .txt, .jsonl and .parquet files, fetched one by one as they are needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, hf_hub_download

# The hub's client changed its HTTP library between versions; its own error module always carries the one in use.
from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]
from huggingface_hub.errors import RepositoryNotFoundError

from birdbone.data.errors import DataNotFoundError, HubUnreachableError, UnknownFormatError
from birdbone.data.readers import SUFFIXES

_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<folder>.+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubDataset:
    """A dataset of the hub, at one commit."""

    repo_id: str
    """`owner/name`."""
    commit: str
    """The commit that was found: what is read does not change while a run lasts."""
    paths: tuple[str, ...]
    """The readable files, sorted."""
    endpoint: str | None
    """Another hub than the usual one."""

    def files(self) -> Iterator[Path]:
        """Yield the files, each fetched (or found in the cache) only when it is asked for.

        Raises:
            HubUnreachableError: a file could not be fetched.
        """
        for path in self.paths:
            yield self._fetch(path)

    def _fetch(self, path: str) -> Path:
        try:
            local = hf_hub_download(
                self.repo_id, path, repo_type="dataset", revision=self.commit, endpoint=self.endpoint
            )
        except (TransportError, OSError) as error:
            raise HubUnreachableError(f"Could not fetch {path} of {self.repo_id}: {_first_line(error)}") from error
        return Path(local)


def is_hub_id(spec: str) -> bool:
    """Return whether `spec` reads as `owner/name[/folder]` and not as a path of this machine."""
    return _HUB_ID.fullmatch(spec) is not None and not spec.startswith((".", "~")) and Path(spec).suffix not in SUFFIXES


def find_hub_dataset(spec: str, *, endpoint: str | None = None) -> HubDataset:
    """Return the dataset `owner/name[/folder]` with the list of its readable files.

    Raises:
        DataNotFoundError: the hub has no such dataset.
        UnknownFormatError: none of its files (in that folder) can be read.
        HubUnreachableError: the hub does not answer or refuses.
    """
    repo_id, folder = _parts(spec)
    try:
        info = HfApi(endpoint=endpoint).dataset_info(repo_id, timeout=20)
    except RepositoryNotFoundError as error:
        raise DataNotFoundError(f"Neither this machine nor the hub has '{spec}'.", spec=spec) from error
    except (TransportError, OSError) as error:
        raise HubUnreachableError(f"The hub did not give '{repo_id}': {_first_line(error)}", spec=spec) from error
    paths = _readable([sibling.rfilename for sibling in info.siblings or []], folder)
    if not paths:
        raise UnknownFormatError(f"'{spec}' on the hub has no {', '.join(SUFFIXES)} file.", spec=spec)
    return HubDataset(repo_id=repo_id, commit=info.sha or "main", paths=paths, endpoint=endpoint)


def _parts(spec: str) -> tuple[str, str]:
    found = _HUB_ID.fullmatch(spec)
    if found is None:
        raise DataNotFoundError(f"'{spec}' is not a hub dataset's name.", spec=spec)
    return found["repo"], found["folder"] or ""


def _readable(paths: list[str], folder: str) -> tuple[str, ...]:
    inside = [PurePosixPath(path) for path in paths if PurePosixPath(path).is_relative_to(folder)]
    return tuple(sorted(str(path) for path in inside if path.suffix.lower() in SUFFIXES))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
