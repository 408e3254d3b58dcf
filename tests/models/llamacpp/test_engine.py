"""The engine on the tiny trained model: it says what torch says, and refuses what it cannot run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from birdbone.models import LoadedModel
from birdbone.models.llamacpp import EngineInputError, EngineRefusedModelError, open_engine, system_info

TEXT = "It was the best of times, it was the worst of times; there were 12 of us.\n\n" * 8


def _torch_logits(loaded: LoadedModel, ids: list[int]) -> np.ndarray:
    with torch.inference_mode():
        return loaded.model(torch.tensor([ids])).logits[0].numpy()


def test_logits_are_those_of_torch(tiny_gguf: Path, tiny_model: LoadedModel) -> None:
    ids = tiny_model.tokenizer(TEXT)["input_ids"][:200]
    with open_engine(tiny_gguf, num_ctx=256, num_threads=1) as engine:
        found = engine.logits(ids)
    expected = _torch_logits(tiny_model, ids)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 0.02 * expected.std()


def test_likelihoods_of_chunks_are_those_of_the_whole(tiny_gguf: Path, tiny_model: LoadedModel) -> None:
    ids = tiny_model.tokenizer(TEXT)["input_ids"][:200]
    with open_engine(tiny_gguf, num_ctx=256, num_threads=1) as engine:
        nll, again, logits = engine.nll(ids), engine.nll(ids), engine.logits(ids)
    whole = -torch.from_numpy(logits[:-1]).double().log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    np.testing.assert_allclose(nll, whole.numpy(), atol=1e-4)
    np.testing.assert_array_equal(nll, again)
    assert nll.shape == (199,)


def test_greedy_tokens_are_those_of_transformers(tiny_gguf: Path, tiny_model: LoadedModel) -> None:
    ids = tiny_model.tokenizer("The old man")["input_ids"]
    with open_engine(tiny_gguf, num_ctx=64, num_threads=1) as engine:
        found = engine.generate_greedy(ids, 12)
    expected = list(ids)
    for _ in range(12):
        expected.append(int(_torch_logits(tiny_model, expected)[-1].argmax()))
    assert found == expected[len(ids) :]


def test_special_tokens_are_read_only_when_asked(tiny_gguf: Path, tiny_model: LoadedModel) -> None:
    end = tiny_model.tokenizer.eos_token_id
    with open_engine(tiny_gguf, num_ctx=64, num_threads=1) as engine:
        assert end in engine.tokenize("a<|im_end|>", parse_special=True)
        assert end not in engine.tokenize("a<|im_end|>")
        assert engine.tokenize("") == []
        assert engine.vocab_size == len(tiny_model.tokenizer)
        assert engine.context_length_trained == 256


def test_a_rate_has_one_figure_a_repeat(tiny_gguf: Path) -> None:
    with open_engine(tiny_gguf, num_ctx=64, num_threads=1) as engine:
        rate = engine.decode_rate(4, 8, 3)
    assert len(rate.tokens_per_second) == len(rate.cpu_seconds_per_token) == 3
    assert min(rate.tokens_per_second) > 0
    assert rate.num_threads == 1


def test_tokens_that_do_not_fit_are_refused(tiny_gguf: Path) -> None:
    with open_engine(tiny_gguf, num_ctx=256, num_threads=1) as engine:
        for ids in ([], [-1], [engine.vocab_size]):
            with pytest.raises(EngineInputError, match="ids from 0"):
                engine.logits(ids)
        with pytest.raises(EngineInputError, match="do not fit"):
            engine.nll([1] * (engine.num_ctx + 2))
        with pytest.raises(EngineInputError, match="do not fit"):
            engine.generate_greedy([1], engine.num_ctx)
        with pytest.raises(EngineInputError, match="two tokens"):
            engine.nll([1])


@pytest.mark.parametrize("share", [0.001, 0.3, 0.95])
def test_a_file_cut_short_is_refused_in_llama_cpps_words(tmp_path: Path, tiny_gguf: Path, share: float) -> None:
    data = tiny_gguf.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(data[: int(share * len(data))])
    with pytest.raises(EngineRefusedModelError) as caught:
        open_engine(cut, num_ctx=64, num_threads=1)
    assert caught.value.fields["engine_log"]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineRefusedModelError, match="no file"):
        open_engine(tmp_path / "none.gguf", num_ctx=64, num_threads=1)


def test_closing_twice_does_nothing(tiny_gguf: Path) -> None:
    engine = open_engine(tiny_gguf, num_ctx=64, num_threads=1)
    engine.close()
    engine.close()


def test_the_engine_names_its_cpu_features() -> None:
    assert system_info().startswith("CPU")


def test_last_logits_are_the_same_whatever_was_asked_before(tiny_gguf: Path, tiny_model: LoadedModel) -> None:
    ids = tiny_model.tokenizer(TEXT)["input_ids"]
    asked = [(ids[:150], 3), (ids[:150], 1), (ids[:20], 20), (ids[:100] + ids[:40], 2), (ids[:140], 130), (ids[5:9], 1)]
    with open_engine(tiny_gguf, num_ctx=256, num_threads=1) as engine:
        found = [engine.last_logits(tokens, count) for tokens, count in asked]
        whole = [engine.logits(tokens)[-count:] for tokens, count in asked]
        again = engine.last_logits(*asked[0])
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3 * float(other.std()))
    np.testing.assert_allclose(again, whole[0], atol=2e-3 * float(whole[0].std()))


def test_text_comes_back_from_its_tokens(tiny_gguf: Path) -> None:
    with open_engine(tiny_gguf, num_ctx=64, num_threads=1) as engine:
        assert engine.detokenize(engine.tokenize("the best of times")) == "the best of times"
        assert engine.detokenize([]) == ""
        assert engine.end_token is not None
