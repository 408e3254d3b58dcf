"""The law of surgery: without its parts a model computes what it computes with those parts set to zero."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import PreTrainedModel

from birdbone.models import (
    Architecture,
    ArchitectureMismatchError,
    LayerKeep,
    LayerLayout,
    SurgeryError,
    capture_block_inputs,
    describe_architecture,
    finish_blocks,
    run_block,
    shrink_model,
)
from birdbone.models.families import FAMILIES

MakeTiny = Callable[..., PreTrainedModel]
every_family = pytest.mark.parametrize("family", FAMILIES)
law = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
TOKENS = torch.randint(3, 96, (2, 11), generator=torch.Generator().manual_seed(1))
NUM_NEURONS = 48
CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}


def heads_of(family: str) -> tuple[int, int]:
    return (4, 4) if family in ("gpt_neox", "opt") else (4, 2)


@st.composite
def layer_keeps(draw: st.DrawFn, family: str) -> LayerKeep:
    num_heads, num_groups = heads_of(family)
    per_group = num_heads // num_groups
    neurons = draw(st.none() | st.sets(st.integers(0, NUM_NEURONS - 1)).map(lambda kept: tuple(sorted(kept))))
    groups = draw(st.sets(st.integers(0, num_groups - 1)).map(sorted))
    if draw(st.booleans()):
        return LayerKeep(neurons=neurons, kv_groups=tuple(groups))
    count = draw(st.integers(1, per_group))
    members = st.sets(st.integers(0, per_group - 1), min_size=count, max_size=count).map(sorted)
    heads = tuple(group * per_group + member for group in groups for member in draw(members))
    return LayerKeep(neurons=neurons, query_heads=heads)


def cuts(family: str) -> st.SearchStrategy[dict[int, LayerKeep]]:
    return st.dictionaries(st.integers(0, 2), layer_keeps(family), max_size=3)


def staying_heads(layout: LayerLayout, keep: LayerKeep) -> set[int]:
    heads = set(range(layout.num_heads)) if keep.query_heads is None else set(keep.query_heads)
    groups = set(range(layout.num_kv_heads)) if keep.kv_groups is None else set(keep.kv_groups)
    return {head for head in heads if head * layout.num_kv_heads // layout.num_heads in groups}


@torch.no_grad()
def silence(linear: nn.Module, columns: list[int], *, is_whole: bool) -> None:
    """Set what the linear hands on from these inputs to zero; its bias too when the whole block is out."""
    assert isinstance(linear, nn.Linear)
    linear.weight[:, columns] = 0
    if is_whole and linear.bias is not None:
        linear.bias.zero_()


def zeroed(model: PreTrainedModel, architecture: Architecture, keeps: Mapping[int, LayerKeep]) -> PreTrainedModel:
    """Return a copy of `model` in which the parts that are not kept hand on zeros."""
    silenced = copy.deepcopy(model)
    for index, keep in keeps.items():
        layout = architecture.layers[index]
        neurons = set(range(layout.feed_forward_size)) if keep.neurons is None else set(keep.neurons)
        heads = staying_heads(layout, keep)
        lost = sorted(set(range(layout.feed_forward_size)) - neurons)
        width = architecture.head_dim
        columns = [h * width + d for h in range(layout.num_heads) if h not in heads for d in range(width)]
        silence(silenced.get_submodule(layout.feed_forward[-1].path), lost, is_whole=not neurons)
        silence(silenced.get_submodule(layout.attention[-1].path), columns, is_whole=not heads)
    return silenced


def logits(model: PreTrainedModel, tokens: Tensor = TOKENS) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(tokens).logits
    return found


@every_family
@law
@given(data=st.data())
def test_a_shrunk_model_is_the_model_with_the_same_parts_at_zero(
    family: str, data: st.DataObject, make_tiny: MakeTiny
) -> None:
    model = make_tiny(family)
    architecture, keeps = describe_architecture(model), data.draw(cuts(family))
    expected = logits(zeroed(model, architecture, keeps))
    shrunk = shrink_model(model, architecture, keeps)
    torch.testing.assert_close(logits(model), expected, **CLOSE)
    assert shrunk.num_parameters_after == sum(p.numel() for p in model.parameters())
    for index, keep in keeps.items():
        layout = shrunk.architecture.layers[index]
        assert layout.num_heads == len(staying_heads(architecture.layers[index], keep))
        assert layout.feed_forward_size == (NUM_NEURONS if keep.neurons is None else len(keep.neurons))


@every_family
@law
@given(data=st.data())
def test_what_stays_is_untouched_bit_for_bit(family: str, data: st.DataObject, make_tiny: MakeTiny) -> None:
    model = make_tiny(family)
    architecture, keeps = describe_architecture(model), data.draw(cuts(family))
    before = {name: set(tensor.flatten().tolist()) for name, tensor in model.state_dict().items()}
    untouched = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not any(name.startswith(f"{architecture.layer_path(index)}.") for index in keeps)
    }
    shrink_model(model, architecture, keeps)
    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in untouched.items())
    assert all(set(tensor.flatten().tolist()) <= before[name] for name, tensor in after.items())


@every_family
@law
@given(data=st.data())
def test_decoding_with_a_cache_gives_what_one_forward_gives(
    family: str, data: st.DataObject, make_tiny: MakeTiny
) -> None:
    model = make_tiny(family)
    architecture = describe_architecture(model)
    keeps, layers = data.draw(cuts(family)), data.draw(st.sets(st.integers(0, 2), min_size=1).map(sorted))
    shrink_model(model, architecture, keeps, layers=layers)
    with torch.no_grad():
        step = model(TOKENS[:, :4], use_cache=True)
        found = [step.logits]
        for position in range(4, TOKENS.shape[1]):
            step = model(TOKENS[:, position : position + 1], past_key_values=step.past_key_values, use_cache=True)
            found.append(step.logits)
    torch.testing.assert_close(torch.cat(found, dim=1), logits(model), **CLOSE)


@every_family
def test_generation_is_the_same_with_and_without_a_cache_when_the_first_layer_has_no_attention(
    family: str, make_tiny: MakeTiny
) -> None:
    model = make_tiny(family)
    keeps = {0: LayerKeep(kv_groups=()), 1: LayerKeep(neurons=()), 2: LayerKeep(neurons=(0, 9), kv_groups=(1,))}
    shrink_model(model, describe_architecture(model), keeps)
    mask = torch.ones_like(TOKENS)
    cached, uncached = (
        model.generate(TOKENS, attention_mask=mask, max_new_tokens=9, do_sample=False, use_cache=use_cache)
        for use_cache in (True, False)
    )
    assert torch.equal(cached, uncached)
    assert cached.shape[1] > TOKENS.shape[1]


@every_family
@law
@given(layers=st.sets(st.integers(0, 2), min_size=1), seed=st.integers(0, 9))
def test_a_dropped_layer_is_a_layer_that_hands_its_input_on(
    family: str, layers: set[int], seed: int, make_tiny: MakeTiny
) -> None:
    model = make_tiny(family)
    architecture = describe_architecture(model)
    tokens = torch.randint(3, 96, (2, 9), generator=torch.Generator().manual_seed(seed))
    empty = LayerKeep(neurons=(), kv_groups=())
    expected = logits(zeroed(model, architecture, dict.fromkeys({0, 1, 2} - layers, empty)), tokens)
    shrunk = shrink_model(model, architecture, {}, layers=sorted(layers))
    torch.testing.assert_close(logits(model, tokens), expected, **CLOSE)
    windows = [architecture.layers[index].sliding_window for index in sorted(layers)]
    assert [layer.sliding_window for layer in shrunk.architecture.layers] == windows
    assert model.config.num_hidden_layers == shrunk.architecture.num_layers == len(layers)


@every_family
def test_surgery_after_surgery_is_surgery_at_once(family: str, make_tiny: MakeTiny) -> None:
    once, twice = make_tiny(family), make_tiny(family)
    group = LayerKeep(neurons=tuple(range(0, 48, 2)), kv_groups=(1,))
    shrink_model(once, describe_architecture(once), {0: group, 2: group}, layers=[0, 2])
    shrink_model(twice, describe_architecture(twice), {0: LayerKeep(kv_groups=(1,)), 2: group})
    shrink_model(twice, describe_architecture(twice), {}, layers=[0, 2])
    shrink_model(twice, describe_architecture(twice), {0: LayerKeep(neurons=tuple(range(0, 48, 2)))})
    assert torch.equal(logits(once), logits(twice))


@every_family
def test_rows_of_the_vocabulary_go_from_embedding_and_head(family: str, make_tiny: MakeTiny) -> None:
    model = make_tiny(family)
    architecture, expected = describe_architecture(model), logits(model)
    kept = [0, 1, 2, *sorted(set(TOKENS.flatten().tolist()))]
    shrunk = shrink_model(model, architecture, {}, vocabulary=kept[::-1])
    new_ids = torch.tensor([kept.index(token) for token in TOKENS.flatten().tolist()]).view_as(TOKENS)
    torch.testing.assert_close(logits(model, new_ids), expected[..., kept], **CLOSE)
    assert shrunk.token_ids == tuple(kept)
    assert shrunk.architecture.vocab_size == model.config.vocab_size == len(kept)
    assert shrunk.architecture.is_embedding_tied == architecture.is_embedding_tied
    assert model(new_ids, labels=new_ids).loss.isfinite()


def test_special_tokens_take_their_new_ids(make_tiny: MakeTiny) -> None:
    model = make_tiny("llama", bos_token_id=5, eos_token_id=[7, 9], pad_token_id=None)
    model.generation_config.bos_token_id, model.generation_config.eos_token_id = 5, [7, 9]
    model.generation_config.pad_token_id = None
    shrink_model(model, describe_architecture(model), {}, vocabulary=[5, 7, 9, 40])
    for config in (model.config, model.generation_config):
        assert (config.bos_token_id, config.eos_token_id) == (0, [1, 2])


def test_a_model_without_parts_runs_block_by_block_too(make_tiny: MakeTiny) -> None:
    model = make_tiny("gemma3")
    keeps = {0: LayerKeep(kv_groups=()), 1: LayerKeep(neurons=()), 2: LayerKeep(neurons=(), kv_groups=())}
    architecture = shrink_model(model, describe_architecture(model), keeps).architecture
    hidden, context = capture_block_inputs(model, architecture, TOKENS)
    with torch.no_grad():
        for index in range(architecture.num_layers):
            hidden = run_block(model, architecture, index, hidden_BTD=hidden, context=context)
        torch.testing.assert_close(finish_blocks(model, architecture, hidden), logits(model))
    assert [len(layer.linears) for layer in architecture.layers] == [3, 4, 0]
    assert [len(layer.norms) for layer in architecture.layers] == [2, 4, 0]
    assert [len(layer.input_groups) for layer in architecture.layers] == [2, 2, 0]


def test_sizes_that_all_layers_share_stand_in_the_configuration(make_tiny: MakeTiny) -> None:
    model = make_tiny("llama")
    keep = LayerKeep(neurons=tuple(range(32)), query_heads=(0, 2))
    architecture = shrink_model(model, describe_architecture(model), dict.fromkeys(range(3), keep)).architecture
    config: Any = model.config
    assert (config.intermediate_size, config.num_attention_heads, config.num_key_value_heads) == (32, 2, 2)
    assert (config.head_dim, architecture.num_heads, architecture.head_dim) == (8, 2, 8)


def test_a_copy_of_a_shrunk_phi3_counts_its_own_heads(make_tiny: MakeTiny) -> None:
    model = make_tiny("phi3")
    shrink_model(model, describe_architecture(model), {1: LayerKeep(kv_groups=(1,))})
    twin = copy.deepcopy(model)
    assert torch.equal(logits(twin), logits(model))
    assert twin.model.layers[1].self_attn.config.hidden_size == 32


def test_gradients_and_frozen_weights_outlive_surgery(make_tiny: MakeTiny) -> None:
    model = make_tiny("llama")
    model.model.layers[0].mlp.up_proj.weight.requires_grad_(False)
    shrink_model(model, describe_architecture(model), {0: LayerKeep(neurons=(1, 2, 3)), 1: LayerKeep(kv_groups=())})
    model(TOKENS, labels=TOKENS).loss.backward()
    assert model.model.layers[0].mlp.up_proj.weight.grad is None
    assert model.model.layers[0].mlp.down_proj.weight.grad.shape == (32, 3)


@pytest.mark.parametrize(
    ("keeps", "settings_", "message"),
    [
        ({0: LayerKeep(neurons=(48,))}, {}, r"neurons of layer 0: there is no index 48, they go from 0 to 47"),
        ({1: LayerKeep(query_heads=(-1,))}, {}, r"query heads of layer 1: there is no index -1"),
        ({1: LayerKeep(kv_groups=(2,))}, {}, r"KV groups of layer 1: there is no index 2"),
        ({3: LayerKeep()}, {}, r"keep_by_layer: there is no index 3"),
        ({2: LayerKeep(query_heads=(0, 1, 2))}, {}, r"layer 2 must keep equally many .* would keep 0: 2, 1: 1"),
        ({0: LayerKeep(neurons=(0,))}, {"layers": []}, r"No layer would be left"),
        ({0: LayerKeep(neurons=(0,))}, {"layers": [0, 5]}, r"layers: there is no index 5"),
        ({0: LayerKeep(neurons=(0,))}, {"vocabulary": []}, r"No token would be left"),
        ({0: LayerKeep(neurons=(0,))}, {"vocabulary": [0, 1, 2, 96]}, r"Token 96 has no row"),
        ({0: LayerKeep(neurons=(0,))}, {"vocabulary": [0, 1, 5]}, r"Token 2 is the model's eos_token_id"),
    ],
)
def test_what_cannot_be_is_refused_and_the_model_is_as_it_was(
    keeps: dict[int, LayerKeep], settings_: dict[str, Any], message: str, make_tiny: MakeTiny
) -> None:
    model = make_tiny("llama")
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(SurgeryError, match=message):
        shrink_model(model, describe_architecture(model), keeps, **settings_)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert len(before) == len(model.state_dict())


def test_an_attention_that_counts_other_groups_than_it_has_is_refused(make_tiny: MakeTiny) -> None:
    model = make_tiny("llama")
    model.model.layers[1].self_attn.num_key_value_groups = 4
    with pytest.raises(ArchitectureMismatchError, match="2 query heads a key-value head, but it computes with 4"):
        describe_architecture(model)
