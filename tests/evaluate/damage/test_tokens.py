"""Two tokenizers on the same texts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.evaluate.damage.codecs import Bytes

from birdbone.evaluate.damage import compare_tokens
from birdbone.evaluate.damage.tokens import cut_pieces

TEXTS = st.lists(st.text(st.characters(codec="utf-8")), max_size=4)


@given(TEXTS)
def test_a_tokenizer_is_like_itself(texts: list[str]) -> None:
    found = compare_tokens(Bytes(), Bytes(), texts)
    assert (found.num_texts, found.num_other_ids, found.num_other_text) == (len(texts), 0, 0)
    assert found.has_same_ids
    assert found.first_difference == ""


@given(TEXTS, st.integers(1, 255))
def test_other_numbers_for_the_same_pieces_change_ids_and_no_text(texts: list[str], shift: int) -> None:
    found = compare_tokens(Bytes(), Bytes(shift=shift), texts)
    assert (found.num_other_ids, found.num_other_text) == (sum(map(bool, texts)), 0)


def test_text_that_comes_back_otherwise_is_counted_and_shown() -> None:
    found = compare_tokens(Bytes(), Bytes(spell=str.upper), ["42", "bird", "Bone"])
    assert (found.num_other_ids, found.num_other_text) == (0, 2)
    assert found.first_difference == "text 1 comes back as 'bird' and as 'BIRD'"


@given(TEXTS, st.integers(1, 30))
def test_pieces_are_the_texts_again_and_begin_at_spaces(texts: list[str], num_characters: int) -> None:
    pieces = cut_pieces(texts, num_characters=num_characters)
    assert "".join(pieces) == "".join(texts)
    assert all(pieces)
    begins = {0}
    for text in texts:
        begins.add(max(begins) + len(text))
    place = 0
    for piece in pieces:
        assert place in begins or piece[0] == " "
        place += len(piece)


def test_a_piece_ends_before_the_first_space_that_makes_it_long_enough() -> None:
    assert cut_pieces(["a bird has bones"], num_characters=3) == ["a bird", " has", " bones"]
