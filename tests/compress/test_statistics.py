"""One pass gives, for every linear of every family, what a naive XᵀX over hooks gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.matrices import law, seeds
from tests.evaluate.tiny import VOCAB
from tests.evaluate.tiny import tiny_model as random_model
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from birdbone.compress import CompressError
from birdbone.compress.errors import NoCalibrationDataError, NonFiniteStatisticsError, SilentInputError
from birdbone.compress.statistics import (
    PANEL_WIDTH,
    collect_statistics,
    statistics_from_tensors,
    statistics_to_tensors,
)
from birdbone.models import Architecture, LoadedModel, describe_architecture

FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "phi3", "gpt_neox", "opt"]


def draw_windows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(3, VOCAB, shape, generator=torch.Generator().manual_seed(seed))


@contextmanager
def recorded_inputs(model: nn.Module, architecture: Architecture) -> Iterator[dict[str, list[Tensor]]]:
    inputs: dict[str, list[Tensor]] = {path: [] for path in (*architecture.linear_paths, architecture.head)}
    handles = [
        model.get_submodule(path).register_forward_pre_hook(
            lambda _module, given_, path=path: inputs[path].append(given_[0].detach().flatten(0, -2).double())
        )
        for path in inputs
    ]
    yield inputs
    for handle in handles:
        handle.remove()


def naive_grams(
    model: nn.Module, architecture: Architecture, windows_NT: Tensor, *, positions: slice = slice(None)
) -> dict[str, Tensor]:
    with recorded_inputs(model, architecture) as inputs, torch.no_grad():
        for window_T in windows_NT:
            model(input_ids=window_T[None])
    x = {path: torch.cat([x_TD[positions] for x_TD in parts]) for path, parts in inputs.items()}
    return {path: (x_TD.T @ x_TD / len(x_TD)).float() for path, x_TD in x.items()}


def assert_all_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for path in found:
        scale = float(expected[path].abs().max())
        torch.testing.assert_close(found[path], expected[path], rtol=1e-4, atol=1e-5 * scale, msg=path)


def grams_of(
    model: PreTrainedModel, architecture: Architecture, windows_NT: Tensor, **settings: int
) -> dict[str, Tensor]:
    statistics = collect_statistics(model, architecture, windows_NT, **settings)
    return {path: found.gram_DD for path, found in statistics.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_linear_of_every_family_gets_the_naive_gram_matrix(family: str) -> None:
    model = random_model(family)
    architecture = describe_architecture(model)
    windows_NT = draw_windows(5, 11)
    found = grams_of(model, architecture, windows_NT, batch_size=2)
    assert tuple(sorted(found)) == tuple(sorted((*architecture.linear_paths, architecture.head)))
    assert_all_close(found, naive_grams(model, architecture, windows_NT))


def test_inputs_wider_than_a_panel_get_the_naive_gram_matrix() -> None:
    width = 2 * PANEL_WIDTH + 40
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=width, num_hidden_layers=1, num_attention_heads=4
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    architecture = describe_architecture(model)
    found = grams_of(model, architecture, draw_windows(3, 20))
    assert found["model.layers.0.mlp.down_proj"].shape == (width, width)
    assert_all_close(found, naive_grams(model, architecture, draw_windows(3, 20)))


def test_the_trained_model_gets_the_naive_gram_matrix(dense: Dense) -> None:
    model, architecture = dense.loaded.model, dense.loaded.architecture
    found = {path: statistics.gram_DD for path, statistics in dense.statistics.items()}
    assert_all_close(found, naive_grams(model, architecture, dense.calibration_NT))
    assert {statistics.num_tokens for statistics in dense.statistics.values()} == {dense.calibration_NT.numel()}


def loud_first_token_model() -> LlamaForCausalLM:
    """A layer whose down-projection reads a billion times more power from token 1 than from any other."""
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=4
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        model.get_parameter("model.layers.0.self_attn.o_proj.weight").zero_()
        embedding_VD = model.get_parameter("model.embed_tokens.weight")
        embedding_VD[:, 0] = 0.0
        embedding_VD[1] = torch.eye(32)[0]
        for name in ("gate_proj", "up_proj"):
            model.get_parameter(f"model.layers.0.mlp.{name}.weight")[:, 0].normal_(std=30.0)
    return model


def weighted_grams(model: nn.Module, architecture: Architecture, windows_NT: Tensor, share: float) -> dict[str, Tensor]:
    """First tokens and the others apart, the first scaled to `share` of the power of the others."""
    first = naive_grams(model, architecture, windows_NT, positions=slice(0, 1))
    other = naive_grams(model, architecture, windows_NT, positions=slice(1, None))
    factor = {path: share * float(other[path].trace() / first[path].trace()) for path in first}
    part = 1 - 1 / windows_NT.shape[1]
    return {path: part * (other[path] + factor[path] * first[path]) for path in first}


@pytest.mark.parametrize("share", [0.1, 1.0])
@pytest.mark.parametrize("family", ["llama", "opt"])
def test_first_tokens_get_their_share_of_the_power(family: str, share: float) -> None:
    model = random_model(family)
    architecture = describe_architecture(model)
    windows_NT = draw_windows(5, 11)
    found = grams_of(model, architecture, windows_NT, batch_size=2, first_token_share=share)
    assert_all_close(found, weighted_grams(model, architecture, windows_NT, share))


def test_first_tokens_that_drown_all_others_leave_them_exact() -> None:
    model = loud_first_token_model()
    architecture = describe_architecture(model)
    windows_NT = draw_windows(4, 40)
    windows_NT[:, 0] = 1
    found = grams_of(model, architecture, windows_NT, first_token_share=0.1)
    plain = grams_of(model, architecture, windows_NT)
    down = "model.layers.0.mlp.down_proj"
    others = naive_grams(model, architecture, windows_NT, positions=slice(1, None))[down]
    assert float(plain[down].trace() / others.trace()) > 1e6
    assert_all_close(found, weighted_grams(model, architecture, windows_NT, 0.1))
    assert_all_close(plain, naive_grams(model, architecture, windows_NT))


def test_the_mean_square_is_the_diagonal_of_a_symmetric_matrix(dense: Dense) -> None:
    for statistics in dense.statistics.values():
        assert torch.equal(statistics.gram_DD, statistics.gram_DD.T)
        assert torch.equal(statistics.mean_square_D, torch.diagonal(statistics.gram_DD))
        assert bool((statistics.mean_square_D >= 0).all())


def test_linears_that_read_one_input_share_one_object(dense: Dense) -> None:
    for layer in dense.loaded.architecture.layers:
        for group in layer.input_groups:
            assert len({id(dense.statistics[path]) for path in group.linears}) == 1
    num_groups = sum(len(layer.input_groups) for layer in dense.loaded.architecture.layers)
    assert len({id(statistics) for statistics in dense.statistics.values()}) == num_groups + 1  # the head


@law
@given(seed=seeds, batch_size=st.integers(1, 20))
def test_neither_batches_nor_the_order_of_windows_matter(dense: Dense, seed: int, batch_size: int) -> None:
    windows_NT = dense.calibration_NT[:5, :16]
    order_N = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    model, architecture = dense.loaded.model, dense.loaded.architecture
    found = grams_of(model, architecture, windows_NT[order_N], batch_size=batch_size)
    assert_all_close(found, grams_of(model, architecture, windows_NT))


def test_statistics_of_two_texts_average_to_those_of_both(dense: Dense) -> None:
    model, architecture = dense.loaded.model, dense.loaded.architecture
    first, second, both = (
        grams_of(model, architecture, dense.calibration_NT[part]) for part in (slice(0, 3), slice(3, 4), slice(0, 4))
    )
    assert_all_close(both, {path: 0.75 * first[path] + 0.25 * second[path] for path in both})


def test_the_model_is_left_as_it_was(tiny_model: LoadedModel) -> None:
    model = tiny_model.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    collect_statistics(model, tiny_model.architecture, draw_windows(2, 9))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_progress_ends_with_all_windows(dense: Dense) -> None:
    seen: list[tuple[int, int]] = []
    collect_statistics(
        dense.loaded.model,
        dense.loaded.architecture,
        dense.calibration_NT[:5, :4],
        batch_size=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_what_is_saved_comes_back_and_holds_each_group_once(dense: Dense) -> None:
    architecture = dense.loaded.architecture
    tensors = statistics_to_tensors(dense.statistics, architecture)
    assert len(tensors) == sum(len(layer.input_groups) for layer in architecture.layers) + 1  # the head
    num_tokens = dense.calibration_NT.numel()
    again = statistics_from_tensors(tensors, architecture, num_tokens=num_tokens)
    assert again.keys() == dense.statistics.keys()
    for path, statistics in again.items():
        assert torch.equal(statistics.gram_DD, dense.statistics[path].gram_DD)
        assert statistics.num_tokens == num_tokens


@pytest.mark.parametrize("shape", [(0, 16), (3, 0)])
def test_no_windows_is_an_error(dense: Dense, shape: tuple[int, int]) -> None:
    with pytest.raises(NoCalibrationDataError) as caught:
        collect_statistics(dense.loaded.model, dense.loaded.architecture, torch.zeros(shape, dtype=torch.int64))
    assert caught.value.code == "compress.no_calibration_data"
    assert isinstance(caught.value, CompressError)


def test_a_model_with_a_weight_that_is_not_a_number_is_named(tiny_model: LoadedModel) -> None:
    with torch.no_grad():
        tiny_model.model.get_parameter("model.layers.1.mlp.gate_proj.weight")[3, 4] = float("nan")
    with pytest.raises(NonFiniteStatisticsError) as caught:
        collect_statistics(tiny_model.model, tiny_model.architecture, draw_windows(2, 9))
    assert caught.value.fields == {"layer": "model.layers.1.mlp.down_proj"}
    assert not any(module._forward_pre_hooks for module in tiny_model.model.modules())


def test_an_input_that_is_always_zero_is_named(tiny_model: LoadedModel) -> None:
    with torch.no_grad():
        tiny_model.model.get_parameter("model.layers.2.self_attn.v_proj.weight").zero_()
    with pytest.raises(SilentInputError) as caught:
        collect_statistics(tiny_model.model, tiny_model.architecture, draw_windows(2, 9))
    assert caught.value.fields == {"layer": "model.layers.2.self_attn.o_proj"}
