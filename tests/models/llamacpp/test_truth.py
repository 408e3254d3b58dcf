"""Exported tokenizers read text as the ones they came from; a wrong export is noticed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, normalizers, trainers
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from birdbone.data import load_corpus
from birdbone.models.gguf import restore_pre_tokenizer, write_gguf
from birdbone.models.gguf.tokenizer import describe_tokenizer_limits
from birdbone.models.llamacpp import TokenMismatch, compare_tokenizers, open_engine, probe_strings

NUM_STRINGS = 600


def _trained(cutting: str, *, whole_words: bool = False, drop: str = "") -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on real text, cut as `cutting` says, without the letters in `drop`."""
    tokenizer = Tokenizer(BPE(ignore_merges=whole_words))
    tokenizer.pre_tokenizer = ByteLevel()
    restore_pre_tokenizer(tokenizer, cutting)
    tokenizer.train_from_iterator(
        [load_corpus().heldout[0][:40_000]],
        trainers.BpeTrainer(
            vocab_size=700,
            special_tokens=["<s>", "</s>", "<|im_end|>"],
            initial_alphabet=[letter for letter in ByteLevel.alphabet() if letter not in drop],
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def _sentence_piece_style(kind: str) -> PreTrainedTokenizerFast:
    """A BPE with byte fallback, as Llama 2's (`prepend`), Mistral's later one (`metaspace`) or Gemma's (`bare`)."""
    tokenizer = Tokenizer(BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    match kind:
        case "prepend":
            tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        case "bare":
            tokenizer.normalizer = normalizers.Replace(" ", "▁")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    tokenizer.pre_tokenizer = Metaspace(prepend_scheme="never", split=True)
    tokenizer.train_from_iterator([load_corpus().heldout[0][:40_000]], trainer)
    tokenizer.pre_tokenizer = Metaspace(prepend_scheme="always", split=False) if kind == "metaspace" else None
    tokenizer.decoder = decoders.ByteFallback()
    return _without_special_bytes(tokenizer)


def _without_special_bytes(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Training wants the byte tokens marked special to keep them; a real tokenizer holds them as plain vocabulary."""
    described = json.loads(tokenizer.to_str())
    described["added_tokens"] = [token for token in described["added_tokens"] if not token["content"].startswith("<0x")]
    plain = Tokenizer.from_str(json.dumps(described))
    return PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def _mismatches(tokenizer: PreTrainedTokenizerFast, path: Path, exported: Any = None) -> list[TokenMismatch]:
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    torch.manual_seed(0)
    state = AutoModelForCausalLM.from_config(config).state_dict()
    write_gguf(path, model_config=config, state_tensors=state, tokenizer=exported or tokenizer)
    strings = probe_strings(NUM_STRINGS, seed=0, texts=load_corpus().heldout, special_tokens=["<s>", "</s>"])
    with open_engine(path, num_ctx=64, num_threads=1) as engine:
        return compare_tokenizers(engine, tokenizer, strings)


@pytest.mark.parametrize(
    ("cutting", "whole_words"), [("gpt-2", False), ("smollm", False), ("llama-bpe", True), ("qwen2", False)]
)
def test_byte_level_tokenizers_read_alike(cutting: str, whole_words: bool, tmp_path: Path) -> None:
    assert _mismatches(_trained(cutting, whole_words=whole_words), tmp_path / "t.gguf") == []


@pytest.mark.parametrize("kind", ["prepend", "bare"])
def test_sentence_piece_style_tokenizers_read_alike(kind: str, tmp_path: Path) -> None:
    assert _mismatches(_sentence_piece_style(kind), tmp_path / "t.gguf") == []


def test_a_metaspace_tokenizer_parts_only_where_the_export_says_so(tmp_path: Path) -> None:
    tokenizer = _sentence_piece_style("metaspace")
    assert "begins with one" in describe_tokenizer_limits(tokenizer)[0]
    after_special = re.compile(r"(^|<s>|</s>|<unk>)( |▁)")
    for mismatch in _mismatches(tokenizer, tmp_path / "t.gguf"):
        assert after_special.search(mismatch.text)


def test_a_wrong_pre_tokenizer_is_noticed(tmp_path: Path) -> None:
    right = _trained("qwen2")
    wrong = _trained("qwen2")
    restore_pre_tokenizer(wrong.backend_tokenizer, "gpt-2")
    found = _mismatches(right, tmp_path / "t.gguf", exported=wrong)
    assert found
    assert not any(mismatch.unknown_bytes for mismatch in found)


def test_a_byte_without_a_token_is_told_from_a_true_disagreement(tmp_path: Path) -> None:
    control_letters = "".join(chr(256 + byte) for byte in range(1, 9))
    found = _mismatches(_trained("gpt-2", drop=control_letters), tmp_path / "t.gguf")
    assert all(mismatch.unknown_bytes for mismatch in found)


def test_probe_strings_are_the_same_for_the_same_seed() -> None:
    one, same, other = (probe_strings(200, seed=seed, texts=["some real text"]) for seed in (1, 1, 2))
    assert one == same != other
    assert len(one) == 200
    joined = "".join(one)
    for kind in ("0", "\t", "😀", "\u0301", "<|"):
        assert kind in joined
    assert any(character < "\t" for character in joined)
