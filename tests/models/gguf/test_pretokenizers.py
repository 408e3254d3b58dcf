"""The names of ways to cut text: found from structure, given back from the name, never guessed."""

from __future__ import annotations

import pytest
from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Punctuation, Sequence, Split

from birdbone.models.gguf import UnsupportedExportError, pre_tokenizer_name, restore_pre_tokenizer


def _with(pre_tokenizer: PreTokenizer, *, ignore_merges: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(BPE(vocab={"a": 0}, merges=[], ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    return tokenizer


@pytest.mark.parametrize("name", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
def test_a_name_gives_back_the_structure_that_it_is_found_from(name: str) -> None:
    tokenizer = _with(ByteLevel(), ignore_merges=name == "llama-bpe")
    restore_pre_tokenizer(tokenizer, name)
    assert pre_tokenizer_name(tokenizer) == name


def test_the_starters_structure_is_named_smollm() -> None:
    cutting = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    assert pre_tokenizer_name(_with(cutting)) == "smollm"


def test_restored_digits_are_cut_one_by_one() -> None:
    tokenizer = _with(ByteLevel(add_prefix_space=False))
    restore_pre_tokenizer(tokenizer, "smollm")
    assert [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str("a  12")] == ["a", "ĠĠ", "1", "2"]


@pytest.mark.parametrize(
    "cutting",
    [
        Sequence([Punctuation(), ByteLevel(add_prefix_space=False)]),
        Sequence([Digits(individual_digits=False), ByteLevel(add_prefix_space=False)]),
        Sequence([Split(Regex(r"\d+"), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]),
        ByteLevel(add_prefix_space=True),
    ],
)
def test_an_unknown_structure_is_an_error_never_a_guess(cutting: PreTokenizer) -> None:
    with pytest.raises(UnsupportedExportError, match="no known name"):
        pre_tokenizer_name(_with(cutting))


def test_llama_3_cutting_without_its_whole_word_lookup_is_refused() -> None:
    tokenizer = _with(ByteLevel())
    restore_pre_tokenizer(tokenizer, "llama-bpe")
    with pytest.raises(UnsupportedExportError):
        pre_tokenizer_name(tokenizer)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UnsupportedExportError, match="viking"):
        restore_pre_tokenizer(_with(ByteLevel()), "viking")
