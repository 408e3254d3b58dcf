"""Splitting a user's text: nothing shared, nothing lost, nothing that depends on order or on the machine."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from birdbone.data import split_documents, split_of
from birdbone.data.splits import MIN_DOCUMENTS_TO_HASH

# A seed and a number make a list far faster than a hundred drawn texts would.
many_documents = st.builds(
    lambda seed, count: [f"{seed} and {number}" for number in range(count)], st.text(max_size=20), st.integers(60, 120)
)


@given(many_documents)
def test_every_document_is_in_exactly_one_split(documents: list[str]) -> None:
    splits = split_documents(documents)
    if all(len(part) > 1 for part in splits.values()):
        assert sorted(text for part in splits.values() for text in part) == sorted(documents)


@given(many_documents, st.randoms())
def test_the_order_of_the_documents_does_not_matter(documents: list[str], random) -> None:
    shuffled = list(documents)
    random.shuffle(shuffled)
    assert {name: set(part) for name, part in split_documents(documents).items()} == {
        name: set(part) for name, part in split_documents(sorted(documents)).items()
    }
    assert split_documents(shuffled) == split_documents(documents)


def test_a_document_keeps_its_split_when_others_come_and_copies_stay_together() -> None:
    documents = [f"document number {number}" for number in range(300)]
    splits = split_documents(documents * 2)
    for name, part in splits.items():
        assert {split_of(text) for text in part} == {name}
        assert all(part.count(text) == 2 for text in part)


def test_the_shares_come_out_near_what_is_asked() -> None:
    splits = split_documents([f"document number {number}" for number in range(5000)])
    shares = {name: len(part) / 5000 for name, part in splits.items()}
    assert abs(shares["calibration"] - 0.2) < 0.02
    assert abs(shares["healing"] - 0.6) < 0.03


@given(st.lists(st.text(min_size=1, max_size=400), min_size=1, max_size=MIN_DOCUMENTS_TO_HASH - 1, unique=True))
def test_a_few_documents_are_cut_contiguously_and_nothing_is_lost_or_doubled(documents: list[str]) -> None:
    splits = split_documents(documents)
    parts = [splits["calibration"], splits["healing"], splits["heldout"]]
    assert all(len(part) == 1 for part in parts)
    assert "".join(part[0] for part in parts) == "\n\n".join(documents)


def test_one_long_text_is_cut_between_words() -> None:
    text = " ".join(f"word{number}" for number in range(20_000))
    splits = split_documents([text])
    words = [re.findall(r"\S+", splits[name][0]) for name in ("calibration", "healing", "heldout")]
    assert [word for part in words for word in part] == text.split()


def test_copies_of_one_document_do_not_pass_for_many() -> None:
    text = "the same words again " * 50
    splits = split_documents([text] * 100)
    assert "".join(part[0] for part in splits.values()) == text
