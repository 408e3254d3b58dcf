"""Tokenizers as GGUF keys. That they read text alike is proved in `tests/models/llamacpp/test_truth.py`."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, normalizers
from tokenizers.models import BPE, Unigram, WordLevel
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from birdbone.models.gguf import TokenizerFitError, UnsupportedExportError, tokenizer_metadata
from birdbone.models.gguf.container import StoredArray, Uint32
from birdbone.models.gguf.tokenizer import TokenKind


def _byte_level(**settings: str) -> PreTrainedTokenizerFast:
    letters = sorted(ByteLevel.alphabet())
    vocab = {letter: index for index, letter in enumerate(letters)} | {"Ġa": 256, "ab": 257}
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=[("Ġ", "a"), ("a", "b")]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings)


def test_a_byte_level_tokenizer_is_written_with_merges_kinds_and_ids() -> None:
    tokenizer = _byte_level(bos_token="<s>", eos_token="</s>", chat_template="{{ messages }}")
    tokenizer.add_tokens([AddedToken("<tool>", special=False)])
    keys = tokenizer_metadata(tokenizer, vocab_size=264)
    assert keys["tokenizer.ggml.model"] == "gpt2"
    assert keys["tokenizer.ggml.pre"] == "gpt-2"
    assert keys["tokenizer.ggml.merges"] == StoredArray("string", ["Ġ a", "a b"])
    assert keys["tokenizer.ggml.bos_token_id"] == Uint32(tokenizer.bos_token_id)
    assert keys["tokenizer.chat_template"] == "{{ messages }}"
    tokens, kinds = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    assert isinstance(tokens, StoredArray)
    assert isinstance(kinds, StoredArray)
    by_text = dict(zip(tokens.values, kinds.values, strict=True))
    assert by_text["<s>"] is TokenKind.CONTROL
    assert by_text["<tool>"] is TokenKind.USER_DEFINED
    assert by_text["Ġa"] is TokenKind.NORMAL
    assert by_text["[PAD263]"] is TokenKind.UNUSED


def test_whether_a_first_token_is_put_in_front_is_asked_of_the_tokenizer() -> None:
    tokenizer = _byte_level(bos_token="<s>")
    assert tokenizer_metadata(tokenizer, vocab_size=260)["tokenizer.ggml.add_bos_token"] is False
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    assert tokenizer_metadata(tokenizer, vocab_size=260)["tokenizer.ggml.add_bos_token"] is True


def test_a_tokenizer_larger_than_the_embedding_is_refused() -> None:
    with pytest.raises(TokenizerFitError, match=r"257.*200 rows"):
        tokenizer_metadata(_byte_level(), vocab_size=200)


def test_a_normalizer_that_llama_cpp_does_not_run_is_refused() -> None:
    tokenizer = _byte_level()
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    with pytest.raises(UnsupportedExportError, match="Lowercase"):
        tokenizer_metadata(tokenizer, vocab_size=258)


@pytest.mark.parametrize("model", [Unigram([("a", -1.0)]), WordLevel({"a": 0}, unk_token="a")])
def test_other_kinds_of_tokenizer_are_refused(model: object) -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model))
    with pytest.raises(UnsupportedExportError, match=type(model).__name__):
        tokenizer_metadata(tokenizer, vocab_size=10)
