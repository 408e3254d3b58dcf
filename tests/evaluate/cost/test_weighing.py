"""What is known of a model before it is run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.evaluate.checks.judges import whole_judge, write_judge

from birdbone.evaluate.benchmarks.opening import find_candidate
from birdbone.evaluate.cost import CostPlan
from birdbone.evaluate.cost.weighing import weigh
from birdbone.evaluate.errors import BadCostPlanError

PLAN = CostPlan(prompt_tokens=(8, 16), new_tokens=4)


def test_a_folder_in_torch(tiny_model_folder: Path) -> None:
    found = weigh(find_candidate(str(tiny_model_folder), dtype="bfloat16"), PLAN)
    assert found.size_bytes == (tiny_model_folder / "model.safetensors").stat().st_size
    assert sum(found.tensor_bytes.values()) == 2 * found.shape.num_weights
    assert found.lookup_rows == {}  # its head is its embedding
    assert found.is_formula_checked
    assert found.cache_value_bytes == 2


def test_a_gguf_is_counted_as_it_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_judge(whole_judge(), path)
    model = whole_judge().model
    in_llama, in_torch = (
        weigh(find_candidate(str(path), engine=engine, dtype="float32"), PLAN) for engine in ("llama.cpp", "torch")
    )
    assert in_llama.size_bytes == in_torch.size_bytes == path.stat().st_size
    assert in_llama.shape == in_torch.shape
    assert in_llama.shape.num_weights == sum(parameter.numel() for parameter in model.parameters())
    assert in_llama.lookup_rows == {"token_embd.weight": model.config.vocab_size}
    assert in_torch.lookup_rows == {"model.embed_tokens.weight": model.config.vocab_size}
    assert in_llama.is_formula_checked


def test_a_prompt_beyond_the_context_is_refused(tiny_model_folder: Path) -> None:
    with pytest.raises(BadCostPlanError, match="takes 256 tokens; the plan needs 332"):
        weigh(find_candidate(str(tiny_model_folder), dtype="float32"), CostPlan(prompt_tokens=(300,)))
