"""Block by block, every linear of every family gets the gradients that torch's own backward gives, window by window."""

from __future__ import annotations

import pytest
import torch
from tests.compress.conftest import Dense
from tests.compress.test_statistics import draw_windows
from tests.evaluate.tiny import tiny_model as random_model
from torch import Tensor

from birdbone.compress.config import GradientConfig, WavesConfig
from birdbone.compress.errors import MissingGradientsError, NoCalibrationDataError, NonFiniteStatisticsError
from birdbone.compress.gradients import GradientStatistics, collect_gradients
from birdbone.compress.importance import gradient_scores
from birdbone.compress.waves import full_masks, shed_wave
from birdbone.models import Architecture, LoadedModel, describe_architecture

FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "phi3", "gpt_neox", "opt"]


def naive_gradients(model: object, architecture: Architecture, windows_NT: Tensor) -> dict[str, Tensor]:
    """Each window's own gradient by torch's backward, (N, F, D)."""
    parameters = [model.get_parameter(f"{path}.weight") for path in architecture.linear_paths]
    rows = []
    for window_T in windows_NT:
        loss = model(input_ids=window_T[None], labels=window_T[None], use_cache=False).loss
        rows.append(torch.autograd.grad(loss, parameters))
    columns = zip(*rows, strict=True)
    return {path: torch.stack(found) for path, found in zip(architecture.linear_paths, columns, strict=True)}


def assert_moments(found: dict[str, GradientStatistics], gradients: dict[str, Tensor]) -> None:
    assert list(found) == list(gradients)
    for path, gradients_NFD in gradients.items():
        scale = float(gradients_NFD.abs().max())
        mean_FD, square_FD = gradients_NFD.mean(dim=0), gradients_NFD.square().mean(dim=0)
        torch.testing.assert_close(found[path].mean_FD, mean_FD, rtol=1e-3, atol=1e-5 * scale, msg=path)
        torch.testing.assert_close(found[path].mean_square_FD, square_FD, rtol=1e-3, atol=1e-5 * scale**2, msg=path)
        assert found[path].num_windows == len(gradients_NFD)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_linear_of_every_family_gets_the_gradients_of_the_whole_model(family: str) -> None:
    model = random_model(family)
    architecture = describe_architecture(model)
    windows_NT = draw_windows(5, 11)
    found = collect_gradients(model, architecture, windows_NT, batch_size=2)
    assert_moments(found, naive_gradients(model, architecture, windows_NT))


def test_the_trained_model_gets_them_too_and_is_left_as_it_was(tiny_model: LoadedModel, dense: Dense) -> None:
    model, architecture, windows_NT = tiny_model.model, tiny_model.architecture, dense.calibration_NT[:6]
    first = model.get_parameter(f"{architecture.linear_paths[0]}.weight")
    last = model.get_parameter(f"{architecture.linear_paths[-1]}.weight")
    expected = naive_gradients(model, architecture, windows_NT)
    last.requires_grad_(False)
    first.grad = torch.ones_like(first)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen: list[tuple[int, int]] = []
    found = collect_gradients(
        model, architecture, windows_NT, batch_size=4, progress=lambda done, total: seen.append((done, total))
    )
    assert_moments(found, expected)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert bool((first.grad == 1).all())
    assert [parameter is last for parameter in model.parameters() if not parameter.requires_grad] == [True]
    assert [parameter is first for parameter in model.parameters() if parameter.grad is not None] == [True]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("shape", [(0, 16), (3, 1)])
def test_windows_without_a_token_to_predict_are_an_error(dense: Dense, shape: tuple[int, int]) -> None:
    with pytest.raises(NoCalibrationDataError):
        collect_gradients(dense.loaded.model, dense.loaded.architecture, torch.ones(shape, dtype=torch.int64))


def test_gradients_that_are_not_numbers_name_the_layer_and_leave_no_hook(tiny_model: LoadedModel) -> None:
    with torch.no_grad():
        tiny_model.model.get_parameter("model.norm.weight")[3] = float("nan")
    with pytest.raises(NonFiniteStatisticsError) as caught:
        collect_gradients(tiny_model.model, tiny_model.architecture, draw_windows(2, 9))
    assert caught.value.fields == {"layer": "model.layers.3.self_attn.q_proj"}
    assert not any(module._forward_hooks for module in tiny_model.model.modules())


def test_a_wave_sheds_by_a_metric_of_gradients_and_refuses_to_without_them(
    tiny_model: LoadedModel, dense: Dense
) -> None:
    model, config = tiny_model.model, WavesConfig(importance=GradientConfig())
    masks = full_masks(model, tiny_model.architecture)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(MissingGradientsError):
        shed_wave(model, masks=masks, statistics=dense.statistics, config=config)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    gradients = collect_gradients(model, tiny_model.architecture, dense.calibration_NT[:4])
    after = shed_wave(model, masks=masks, statistics=dense.statistics, config=config, gradients=gradients)
    for path, mask_FD in after.items():
        scores_FD = gradient_scores(before[f"{path}.weight"], gradients[path].mean_FD)
        num_dropped = int(mask_FD.shape[1] * 0.1)
        for row, dropped in enumerate(~mask_FD):
            assert set(dropped.nonzero().flatten().tolist()) == set(scores_FD[row].argsort()[:num_dropped].tolist())
