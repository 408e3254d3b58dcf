"""The bundled corpus: what is in it, and that nothing leaks between its splits."""

from __future__ import annotations

import json
import re
from importlib import resources

import pytest

from birdbone.data import Corpus, load_corpus
from birdbone.data.corpus import PASSAGE_BREAK

FOLDER = resources.files("birdbone.data").joinpath("corpus")
MANIFEST = json.loads(FOLDER.joinpath("manifest.json").read_text(encoding="utf-8"))
SPLITS = ("calibration", "healing", "heldout")


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus()


def test_loading_twice_gives_the_same_corpus(corpus: Corpus) -> None:
    assert load_corpus() == corpus
    assert corpus.name == "bundled"
    assert not corpus.is_truncated


def test_the_folder_stays_under_two_megabytes() -> None:
    assert sum(len(item.read_bytes()) for item in FOLDER.iterdir()) < 2_000_000


def test_no_book_and_no_author_stands_in_two_splits() -> None:
    for key in ("source", "author"):
        of_split = [{row[key] for row in MANIFEST if row["split"] == split} for split in SPLITS]
        assert sum(map(len, of_split)) == len(set.union(*of_split))
        assert all(of_split)


def test_no_paragraph_of_any_length_stands_in_two_splits(corpus: Corpus) -> None:
    paragraphs = [
        {part for text in getattr(corpus, split) for part in text.split("\n\n") if len(part) > 80} for split in SPLITS
    ]
    assert not paragraphs[0] & paragraphs[1]
    assert not paragraphs[0] & paragraphs[2]
    assert not paragraphs[1] & paragraphs[2]


def test_every_work_is_old_enough_to_be_in_the_public_domain() -> None:
    assert len(MANIFEST) == 28
    assert all(row["published"] < 1929 and row["author_died"] < 1955 for row in MANIFEST)


def test_the_manifest_and_the_licence_name_every_work_and_count_right(corpus: Corpus) -> None:
    licence = FOLDER.joinpath("LICENSE.md").read_text(encoding="utf-8")
    assert all(row["title"] in licence and row["author"] in licence for row in MANIFEST)
    for split in SPLITS:
        rows = [row for row in MANIFEST if row["split"] == split]
        assert len(getattr(corpus, split)) == sum(row["passages"] for row in rows)
        assert sum(map(len, getattr(corpus, split))) == sum(row["characters"] for row in rows)


def test_passages_are_clean_text_of_a_few_kilobytes(corpus: Corpus) -> None:
    for text in (*corpus.calibration, *corpus.healing, *corpus.heldout):
        assert 2_500 <= len(text) <= 11_000
        assert text == text.rstrip()
        assert not text.startswith("\n")
        assert PASSAGE_BREAK not in text
        assert not re.search(r"gutenberg|https?://|^#|\n{3}|\ufeff|\ufffd", text, re.IGNORECASE | re.MULTILINE)


def test_a_few_held_out_passages_already_hold_every_book(corpus: Corpus) -> None:
    num_books = sum(row["split"] == "heldout" for row in MANIFEST)
    speakers = (
        "Sara",
        "Sapt",
        "q-b",
        "Paul Revere",
        "Warden|Bold|Harding",
        "Rena|Tryon|Warwick",
        "Negro",
        "regiment|youth",
    )
    assert len(speakers) == num_books
    first = "\n".join(corpus.heldout[: num_books * 2])
    assert all(re.search(name, first) for name in speakers)
