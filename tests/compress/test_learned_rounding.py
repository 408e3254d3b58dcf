"""Learning to round never leaves a block worse, fits the file, and leaves what was shed at zero."""

from __future__ import annotations

import pytest
import torch
from tests.compress.conftest import Dense

from birdbone.compress.config import RoundingConfig
from birdbone.compress.errors import NoCalibrationDataError
from birdbone.compress.quantize import LearnedRounding, learn_rounding, round_linears
from birdbone.models import LoadedModel
from birdbone.models.gguf import GgufType, QuantizedTensor, encode_blocks

pytestmark = pytest.mark.usefixtures("dense_stays")


def rounded(dense: Dense, kind: str) -> dict[str, QuantizedTensor]:
    types = dict.fromkeys(dense.loaded.architecture.linear_paths, kind)
    return round_linears(dense.loaded.model, dense.statistics, types=types, config=RoundingConfig(kind="importance"))  # type: ignore[arg-type]


def learn(
    model: LoadedModel, dense: Dense, quantized: dict[str, QuantizedTensor], *, steps: int, windows: int = 16
) -> LearnedRounding:
    return learn_rounding(
        model.model,
        dense.loaded.model,
        dense.loaded.architecture,
        quantized=quantized,
        weights={name: dense.loaded.model.get_parameter(name).detach() for name in quantized},
        windows_NT=dense.healing_NT[:windows],
        config=RoundingConfig(num_learning_steps=steps, learning_batch_size=4),
    )


def divergence(model: LoadedModel, dense: Dense) -> float:
    with torch.no_grad():
        log_q, log_p = (each.model(input_ids=dense.heldout_NT).logits.log_softmax(-1) for each in (model, dense.loaded))
    return float((log_p.exp() * (log_p - log_q)).sum(-1).mean())


@pytest.mark.parametrize("kind", ["iq4_nl", "q4_1"])
def test_it_brings_blocks_and_predictions_nearer_to_dense(kind: str, tiny_model: LoadedModel, dense: Dense) -> None:
    before = rounded(dense, kind)
    start = learn(tiny_model, dense, before, steps=0)
    was_apart = divergence(tiny_model, dense)
    found = learn(tiny_model, dense, before, steps=12)
    assert all(after <= was for was, after in zip(found.errors_before, found.errors_after, strict=True))
    assert sum(found.errors_after) < sum(start.errors_after)
    assert divergence(tiny_model, dense) < was_apart
    for name, tensor in found.quantized.items():
        encode_blocks(tensor.type, codes_FD=tensor.codes, scales_FG=tensor.scales, mins_FG=tensor.mins)
        assert torch.equal(tiny_model.model.get_parameter(name), tensor.dequantize())


def test_without_steps_nothing_changes(tiny_model: LoadedModel, dense: Dense) -> None:
    before = rounded(dense, "q4_0")
    found = learn(tiny_model, dense, before, steps=0)
    assert found.errors_after == found.errors_before
    assert all(found.quantized[name] is tensor for name, tensor in before.items())


def test_what_was_shed_stays_zero(tiny_model: LoadedModel, dense: Dense) -> None:
    masks = {
        path: torch.rand(dense.loaded.model.get_parameter(f"{path}.weight").shape, generator=generator) < 0.7
        for generator in [torch.Generator().manual_seed(0)]
        for path in dense.loaded.architecture.linear_paths
    }
    types = dict.fromkeys(masks, "q4_0")
    before = round_linears(
        dense.loaded.model,
        dense.statistics,
        types=types,
        config=RoundingConfig(kind="feedback"),
        masks=masks,  # type: ignore[arg-type]
    )
    weights = {f"{path}.weight": dense.loaded.model.get_parameter(f"{path}.weight") * m for path, m in masks.items()}
    found = learn_rounding(
        tiny_model.model,
        dense.loaded.model,
        dense.loaded.architecture,
        quantized=before,
        weights={name: weight.detach() for name, weight in weights.items()},
        windows_NT=dense.healing_NT[:8],
        config=RoundingConfig(num_learning_steps=8, learning_batch_size=4),
    )
    assert any(not torch.equal(found.quantized[name].codes, before[name].codes) for name in before)
    for path, mask_FD in masks.items():
        assert bool((found.quantized[f"{path}.weight"].codes[~mask_FD] == 0).all())


def test_eight_bits_are_left_as_they_are(tiny_model: LoadedModel, dense: Dense) -> None:
    before = rounded(dense, "q8_0")
    found = learn(tiny_model, dense, before, steps=4)
    assert {tensor.type for tensor in found.quantized.values()} == {GgufType.Q8_0}
    assert all(found.quantized[name] is tensor for name, tensor in before.items())


def test_windows_to_learn_and_to_decide_on_are_needed(tiny_model: LoadedModel, dense: Dense) -> None:
    with pytest.raises(NoCalibrationDataError, match="8 windows"):
        learn(tiny_model, dense, rounded(dense, "q4_0"), steps=1, windows=7)
