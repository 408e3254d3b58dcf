from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from birdbone.models import (
    Architecture,
    BlockShapeError,
    LoadedModel,
    capture_block_inputs,
    decoder_layers,
    describe_architecture,
    finish_blocks,
    run_block,
)
from birdbone.models.families import FAMILIES

MakeTiny = Callable[..., PreTrainedModel]


def draw_tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(3, 96, shape, generator=torch.Generator().manual_seed(seed))


def logits_by_blocks(model: PreTrainedModel, architecture: Architecture, tokens: torch.Tensor) -> torch.Tensor:
    hidden, context = capture_block_inputs(model, architecture, tokens)
    for index in range(architecture.num_layers):
        hidden = run_block(model, architecture, index, hidden_BTD=hidden, context=context)
    return finish_blocks(model, architecture, hidden)


@pytest.mark.parametrize("family", FAMILIES)
def test_block_by_block_gives_the_logits_of_the_whole_model(family: str, make_tiny: MakeTiny) -> None:
    model = make_tiny(family)
    architecture = describe_architecture(model)
    with torch.no_grad():
        for shape in ((1, 1), (2, 17), (3, 4)):
            tokens = draw_tokens(*shape)
            torch.testing.assert_close(
                logits_by_blocks(model, architecture, tokens), model(tokens).logits, rtol=1e-5, atol=1e-5
            )


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["mistral", "qwen2", "gemma3"])
def test_sliding_windows_hold_in_each_attention_implementation(
    family: str, implementation: str, make_tiny: MakeTiny
) -> None:
    model = make_tiny(family)
    model.set_attn_implementation(implementation)
    architecture = describe_architecture(model)
    tokens = draw_tokens(2, 20)
    with torch.no_grad():
        torch.testing.assert_close(logits_by_blocks(model, architecture, tokens), model(tokens).logits)


def test_the_projections_and_the_late_norm_of_small_opt_models_are_kept(make_tiny: MakeTiny) -> None:
    model = make_tiny("opt", word_embed_proj_dim=16, do_layer_norm_before=False)
    architecture = describe_architecture(model)
    assert (architecture.final_norm, architecture.head_projection) == (None, "model.decoder.project_out")
    tokens = draw_tokens(2, 9)
    with torch.no_grad():
        torch.testing.assert_close(logits_by_blocks(model, architecture, tokens), model(tokens).logits)


def test_serial_residuals_of_gpt_neox_hold_too(make_tiny: MakeTiny) -> None:
    model = make_tiny("gpt_neox", use_parallel_residual=False)
    architecture = describe_architecture(model)
    assert not architecture.layers[0].is_parallel
    tokens = draw_tokens(2, 9)
    with torch.no_grad():
        torch.testing.assert_close(logits_by_blocks(model, architecture, tokens), model(tokens).logits)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(num_rows=st.integers(1, 3), num_tokens=st.integers(1, 12), seed=st.integers(0, 99))
def test_a_context_serves_every_batch_of_its_shape(
    num_rows: int, num_tokens: int, seed: int, make_tiny: MakeTiny
) -> None:
    model = make_tiny("gemma3")
    architecture = describe_architecture(model)
    first, second = (draw_tokens(num_rows, num_tokens, seed=seed + offset) for offset in (0, 1000))
    with torch.no_grad():
        _, context = capture_block_inputs(model, architecture, first)
        hidden, _ = capture_block_inputs(model, architecture, second)
        for index in range(architecture.num_layers):
            hidden = run_block(model, architecture, index, hidden_BTD=hidden, context=context)
        torch.testing.assert_close(finish_blocks(model, architecture, hidden), model(second).logits)


def test_capturing_runs_no_block_and_leaves_the_model_as_it_was(make_tiny: MakeTiny) -> None:
    model = make_tiny("llama")
    architecture = describe_architecture(model)
    tokens = draw_tokens(2, 6)
    ran: list[int] = []
    for layer in decoder_layers(model, architecture):
        layer.get_submodule("mlp").register_forward_hook(lambda *_: ran.append(1))
    before = model(tokens).logits
    ran.clear()
    hidden, _ = capture_block_inputs(model, architecture, tokens)
    assert not ran
    assert torch.equal(hidden, model.get_input_embeddings()(tokens))
    assert torch.equal(model(tokens).logits, before)


def test_a_layer_with_a_forward_of_its_own_gets_it_back(make_tiny: MakeTiny) -> None:
    model = make_tiny("llama")
    architecture = describe_architecture(model)
    layer = decoder_layers(model, architecture)[0]
    own = layer.forward
    layer.forward = own
    capture_block_inputs(model, architecture, draw_tokens(1, 4))
    assert layer.__dict__["forward"] == own


def test_a_context_is_refused_for_another_shape(make_tiny: MakeTiny) -> None:
    model = make_tiny("llama")
    architecture = describe_architecture(model)
    hidden, context = capture_block_inputs(model, architecture, draw_tokens(2, 6))
    with pytest.raises(BlockShapeError, match=r"\(2, 6\), got \(2, 5\)"):
        run_block(model, architecture, 0, hidden_BTD=hidden[:, :5], context=context)


def test_gradients_flow_through_a_block(make_tiny: MakeTiny) -> None:
    model = make_tiny("llama")
    architecture = describe_architecture(model)
    hidden, context = capture_block_inputs(model, architecture, draw_tokens(2, 6))
    run_block(model, architecture, 1, hidden_BTD=hidden.detach(), context=context).square().sum().backward()
    grads = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert grads
    assert all(name.startswith("model.layers.1.") for name in grads)


def test_the_law_holds_for_the_trained_model(tiny_model: LoadedModel) -> None:
    tokens = torch.randint(3, 500, (2, 200), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        by_blocks = logits_by_blocks(tiny_model.model, tiny_model.architecture, tokens)
        torch.testing.assert_close(by_blocks, tiny_model.model(tokens).logits)
