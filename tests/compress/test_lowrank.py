"""The correction changes scales only, is exact in the file's format, and never leaves a block worse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from tests.compress.conftest import Dense

from birdbone.compress import LowRankConfig
from birdbone.compress.errors import HealingDivergedError, NoCalibrationDataError
from birdbone.compress.lowrank import MergeReport, merge_low_rank_scales
from birdbone.models import LoadedModel
from birdbone.models.gguf import GgufType, QuantizedTensor, quantize_tensor

pytestmark = pytest.mark.usefixtures("dense_stays")

CONFIG = LowRankConfig(rank=2, num_steps=4, batch_size=4)


def rounded(loaded: LoadedModel) -> dict[str, QuantizedTensor]:
    """Every linear by the plain rounding, whose scales leave room, and the embedding at 8 bits."""
    found = {
        f"{path}.weight": quantize_tensor(loaded.model.get_parameter(f"{path}.weight"), GgufType.Q4_0)
        for path in loaded.architecture.linear_paths
    }
    name = f"{loaded.architecture.embedding}.weight"
    return found | {name: quantize_tensor(loaded.model.get_parameter(name), GgufType.Q8_0)}


def merge(
    loaded: LoadedModel,
    dense: Dense,
    quantized: Mapping[str, QuantizedTensor],
    config: LowRankConfig = CONFIG,
    **settings: Any,
) -> MergeReport:
    return merge_low_rank_scales(
        loaded.model,
        dense.loaded.model,
        dense.loaded.architecture,
        quantized=quantized,
        windows_NT=settings.pop("windows_NT", dense.healing_NT[:8]),
        config=config,
        **settings,
    )


def assert_same(found: QuantizedTensor, expected: QuantizedTensor) -> None:
    assert torch.equal(found.codes, expected.codes)
    assert torch.equal(found.scales, expected.scales)


def load(loaded: LoadedModel, quantized: Mapping[str, QuantizedTensor]) -> None:
    with torch.no_grad():
        for name, tensor in quantized.items():
            loaded.model.get_parameter(name).copy_(tensor.dequantize())


def test_it_lowers_the_error_of_the_blocks_and_the_perplexity(tiny_model: LoadedModel, dense: Dense) -> None:
    quantized = rounded(dense.loaded)
    load(tiny_model, quantized)
    before = dense.perplexity(tiny_model.model)
    report = merge(tiny_model, dense, quantized)
    assert all(after <= before for before, after in zip(report.errors_before, report.errors_after, strict=True))
    assert report.num_merged == 4
    assert sum(report.errors_after) < sum(report.errors_before)
    assert dense.perplexity(tiny_model.model) < before


def test_codes_stay_scales_fit_the_file_and_the_model_holds_what_the_file_will(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    quantized = rounded(dense.loaded)
    report = merge(tiny_model, dense, quantized)
    assert report.quantized.keys() == quantized.keys()
    for name, tensor in report.quantized.items():
        assert torch.equal(tensor.codes, quantized[name].codes)
        assert tensor.type is quantized[name].type
        assert torch.equal(tensor.scales, tensor.scales.half().to(tensor.scales.dtype))
        assert torch.equal(tiny_model.model.get_parameter(name), tensor.dequantize())
    embedding = f"{dense.loaded.architecture.embedding}.weight"
    assert report.quantized[embedding] is quantized[embedding]


def test_the_same_correction_gives_the_same_bits(tiny_model: LoadedModel, dense: Dense) -> None:
    quantized = rounded(dense.loaded)
    norms = {name: value.clone() for name, value in tiny_model.model.state_dict().items() if value.ndim == 1}
    config = LowRankConfig(num_steps=2)
    first = merge(tiny_model, dense, quantized, config)
    with torch.no_grad():
        for name, value in norms.items():
            tiny_model.model.get_parameter(name).copy_(value)
    second = merge(tiny_model, dense, quantized, config)
    assert first.errors_after == second.errors_after
    for name, tensor in first.quantized.items():
        assert_same(second.quantized[name], tensor)


def test_a_rate_that_is_too_high_leaves_scales_and_norms_as_they_were(tiny_model: LoadedModel, dense: Dense) -> None:
    quantized = rounded(dense.loaded)
    norms = {name: value.clone() for name, value in tiny_model.model.state_dict().items() if value.ndim == 1}
    report = merge(tiny_model, dense, quantized, LowRankConfig(num_steps=3, learning_rate=1.0))
    assert report.num_merged == 0
    assert report.errors_after == report.errors_before
    for name, tensor in report.quantized.items():
        assert_same(tensor, quantized[name])
        assert torch.equal(tiny_model.model.get_parameter(name), tensor.dequantize())
    assert all(torch.equal(tiny_model.model.get_parameter(name), value) for name, value in norms.items())


def test_a_linear_that_is_not_quantized_is_left_alone(tiny_model: LoadedModel, dense: Dense) -> None:
    quantized = rounded(dense.loaded)
    left_out = "model.layers.1.mlp.down_proj.weight"
    del quantized[left_out]
    before_FD = tiny_model.model.get_parameter(left_out).detach().clone()
    report = merge(tiny_model, dense, quantized, LowRankConfig(num_steps=1))
    assert left_out not in report.quantized
    assert torch.equal(tiny_model.model.get_parameter(left_out), before_FD)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in tiny_model.model.parameters())


def test_a_block_that_diverges_is_named(tiny_model: LoadedModel, dense: Dense) -> None:
    with torch.no_grad():
        tiny_model.model.get_parameter("model.layers.2.input_layernorm.weight")[0] = math.nan
    with pytest.raises(HealingDivergedError) as caught:
        merge(tiny_model, dense, rounded(dense.loaded), LowRankConfig(num_steps=1))
    assert caught.value.fields == {"block": 2}


def test_no_windows_is_an_error_and_progress_ends_with_all_blocks(tiny_model: LoadedModel, dense: Dense) -> None:
    seen: list[tuple[int, int]] = []
    quantized = rounded(dense.loaded)
    with pytest.raises(NoCalibrationDataError, match=r"at least 8 windows.*`windows_NT` has 0"):
        merge(tiny_model, dense, quantized, windows_NT=dense.healing_NT[:0])
    config = LowRankConfig(num_steps=1, rank=256)
    merge(tiny_model, dense, quantized, config, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
