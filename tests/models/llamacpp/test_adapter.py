"""A LoRA adapter in GGUF beside its base computes what the merged weights compute."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.llamacpp.families import CONFIGS, byte_tokenizer, random_model, token_ids, torch_logits
from transformers import PreTrainedModel

from birdbone.models import LayerKeep, describe_architecture, shrink_model
from birdbone.models.gguf import (
    EncodingError,
    GgufType,
    LowRankUpdate,
    UnknownTensorError,
    write_gguf,
    write_gguf_adapter,
)
from birdbone.models.llamacpp import EngineRefusedModelError, open_engine

ALPHA = 6.0
QUERY = "model.layers.0.self_attn.q_proj.weight"


def updates_of(model: PreTrainedModel, rank: int = 3) -> dict[str, LowRankUpdate]:
    generator = torch.Generator().manual_seed(2)
    return {
        f"{path}.weight": LowRankUpdate(
            a_RD=torch.randn(rank, model.get_parameter(f"{path}.weight").shape[1], generator=generator) * 0.2,
            b_FR=torch.randn(model.get_parameter(f"{path}.weight").shape[0], rank, generator=generator) * 0.2,
        )
        for path in describe_architecture(model).linear_paths
    }


def merged(model: PreTrainedModel, updates: dict[str, LowRankUpdate], *, scale: float) -> PreTrainedModel:
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for name, update in updates.items():
            twin.get_parameter(name).add_(scale * ALPHA / len(update.a_RD) * update.b_FR @ update.a_RD)
    return twin


def write_both(folder: Path, model: PreTrainedModel, updates: dict[str, LowRankUpdate]) -> None:
    source = {"model_config": model.config, "state_tensors": model.state_dict(), "default_type": GgufType.F32}
    write_gguf(folder / "base.gguf", tokenizer=byte_tokenizer(), **source)
    write_gguf_adapter(folder / "lora.gguf", updates=updates, alpha=ALPHA, **source)


@pytest.mark.parametrize("case", ["llama", "llama whose layers differ", "qwen2", "phi3", "gpt_neox"])
def test_base_and_adapter_are_the_merged_model(case: str, tmp_path: Path) -> None:
    model = random_model(copy.deepcopy(CONFIGS[case.split(" ")[0]]))
    if "differ" in case:
        shrink_model(
            model, describe_architecture(model), {0: LayerKeep(neurons=(1, 2, 3)), 1: LayerKeep(kv_groups=(1,))}
        )
    updates = updates_of(model)
    write_both(tmp_path, model, updates)
    for scale in (1.0, 0.5):
        expected = torch_logits(merged(model, updates, scale=scale))
        with open_engine(tmp_path / "base.gguf", num_ctx=64, num_threads=1) as engine:
            plain = engine.logits(token_ids())
            engine.use_adapter(tmp_path / "lora.gguf", scale=scale)
            found = engine.logits(token_ids())
        assert np.abs(found - expected).max() < 0.02 * expected.std()
        assert np.abs(plain - expected).max() > 0.2 * expected.std()


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    model, other = (random_model(copy.deepcopy(CONFIGS[case])) for case in ("llama", "qwen3"))
    write_both(tmp_path, model, updates_of(model))
    (tmp_path / "other").mkdir()
    write_both(tmp_path / "other", other, updates_of(other))
    with open_engine(tmp_path / "base.gguf", num_ctx=64, num_threads=1) as engine:
        for path in (tmp_path / "other" / "lora.gguf", tmp_path / "base.gguf", tmp_path / "none.gguf"):
            with pytest.raises(EngineRefusedModelError):
                engine.use_adapter(path)


def test_updates_that_do_not_fit_are_refused_before_a_byte_is_written(tmp_path: Path) -> None:
    model = random_model(copy.deepcopy(CONFIGS["llama"]))
    update = updates_of(model)[QUERY]
    source = {"model_config": model.config, "state_tensors": model.state_dict()}
    narrow = LowRankUpdate(a_RD=update.a_RD[:, :8], b_FR=update.b_FR)
    with pytest.raises(EncodingError, match=r"factors \(64, 3\) and \(3, 8\); the weight has shape \(64, 64\)"):
        write_gguf_adapter(tmp_path / "a.gguf", updates={QUERY: narrow}, alpha=1.0, **source)
    with pytest.raises(UnknownTensorError, match=r"no weight 'lm_head\.weight'"):
        write_gguf_adapter(tmp_path / "a.gguf", updates={"lm_head.weight": update}, alpha=1.0, **source)
    with pytest.raises(EncodingError, match="alpha must be above 0"):
        write_gguf_adapter(tmp_path / "a.gguf", updates={QUERY: update}, alpha=0.0, **source)
    assert not list(tmp_path.iterdir())
