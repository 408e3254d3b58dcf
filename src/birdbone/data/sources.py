"""From a source's name to a corpus of three splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from birdbone.data.config import BUNDLED
from birdbone.data.corpus import Corpus, load_corpus, make_corpus
from birdbone.data.errors import DataNotFoundError, TooLittleTextError, UnknownFormatError
from birdbone.data.hub import find_hub_dataset, is_hub_id
from birdbone.data.readers import SUFFIXES, read_documents
from birdbone.data.splits import split_documents

MIN_CHARACTERS = 10_000
"""Below this there is nothing to calibrate, heal and judge on."""


def load_texts(
    spec: str,
    *,
    text_field: str = "text",
    max_characters: int = 64_000_000,
    endpoint: str | None = None,
) -> Corpus:
    """Return the corpus that `spec` names, in three splits without overlap (see `splits`).

    Args:
        spec: `bundled`, a .txt, .jsonl or .parquet file, a folder of these, or a hub dataset `owner/name[/folder]`.
            What exists on this machine goes before the hub.
        text_field: the field of a record that holds its text.
        max_characters: reading stops with the document that reaches it; the corpus then says `is_truncated`.
        endpoint: another hub than the usual one.

    Raises:
        DataNotFoundError: nothing has this name.
        UnknownFormatError: the file, or every file of the folder, has a suffix that is not read.
        TooLittleTextError: fewer than `MIN_CHARACTERS` characters.
        NotUtf8Error, BadRecordError, MissingFieldError: see `read_documents`.
        HubUnreachableError: the hub does not answer or refuses.
    """
    if spec == BUNDLED:
        return load_corpus()
    name, files = _find(spec, endpoint)
    documents, is_truncated = _take(_documents(files, text_field), max_characters)
    _check_length(documents, name)
    splits = split_documents(documents)
    return make_corpus(
        calibration=splits["calibration"],
        healing=splits["healing"],
        heldout=splits["heldout"],
        name=name,
        is_truncated=is_truncated,
    )


def _find(spec: str, endpoint: str | None) -> tuple[str, Iterable[Path]]:
    path = Path(spec).expanduser()
    if path.is_dir():
        return path.resolve().name, _files_in(path)
    if path.exists():
        return path.name, [path]
    if not is_hub_id(spec):
        raise DataNotFoundError(f"There is no file or folder '{spec}'.", spec=spec)
    dataset = find_hub_dataset(spec, endpoint=endpoint)
    return f"{spec}@{dataset.commit}", dataset.files()


def _files_in(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in SUFFIXES)
    if not files:
        raise UnknownFormatError(f"The folder '{folder}' has no {', '.join(SUFFIXES)} file.", path=str(folder))
    return files


def _documents(files: Iterable[Path], text_field: str) -> Iterator[str]:
    for path in files:
        yield from read_documents(path, text_field=text_field)


def _take(documents: Iterator[str], max_characters: int) -> tuple[list[str], bool]:
    """Return documents up to the limit, the last one cut there, and whether any text was left unread."""
    taken: list[str] = []
    left = max_characters
    for document in documents:
        if left <= 0 or len(document) > left:
            return [*taken, document[:left]] if left > 0 else taken, True
        taken.append(document)
        left -= len(document)
    return taken, False


def _check_length(documents: list[str], name: str) -> None:
    num_characters = sum(map(len, documents))
    if num_characters < MIN_CHARACTERS:
        message = f"'{name}' holds {num_characters:,} characters of text; at least {MIN_CHARACTERS:,} are needed."
        raise TooLittleTextError(message, num_characters=num_characters, needed=MIN_CHARACTERS)
