from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertLMHeadModel, LlamaForSequenceClassification, PreTrainedModel

from birdbone.models import (
    ArchitectureMismatchError,
    LinearSlot,
    UnsupportedArchitectureError,
    decoder_layers,
    describe_architecture,
    linear_modules,
)
from birdbone.models.families import FAMILIES

MakeTiny = Callable[..., PreTrainedModel]
every_family = pytest.mark.parametrize("family", FAMILIES)
TOKENS = torch.randint(3, 96, (2, 13), generator=torch.Generator().manual_seed(1))


def weight_of(model: PreTrainedModel, slot: LinearSlot | None, part: str) -> torch.Tensor:
    assert slot is not None
    weight = model.get_submodule(slot.path).weight
    return weight if slot.fused is None else weight[slot.fused.rows(part)]


@every_family
def test_the_description_says_what_the_configuration_says(family: str, make_tiny: MakeTiny) -> None:
    model = make_tiny(family)
    architecture = describe_architecture(model)
    assert architecture.family == family
    assert (architecture.num_layers, architecture.hidden_size, architecture.vocab_size) == (3, 32, 96)
    assert architecture.num_heads == 4
    assert architecture.num_kv_heads == (4 if family in ("gpt_neox", "opt") else 2)
    assert architecture.head_dim == (16 if family in ("qwen3", "gemma", "gemma2", "gemma3") else 8)
    assert architecture.context_length == 64
    assert architecture.is_embedding_tied == model.config.tie_word_embeddings
    assert {layer.feed_forward_size for layer in architecture.layers} == {48}


@every_family
def test_every_linear_of_every_layer_is_found_exactly_once(family: str, make_tiny: MakeTiny) -> None:
    model = make_tiny(family)
    architecture = describe_architecture(model)
    inside = {name for name, module in model.named_modules() if isinstance(module, nn.Linear) and name != "lm_head"}
    assert set(linear_modules(model, architecture)) == inside
    assert len(architecture.linear_paths) == len(inside)


@every_family
def test_every_norm_of_every_layer_is_found(family: str, make_tiny: MakeTiny) -> None:
    model = make_tiny(family)
    for layer in describe_architecture(model).layers:
        inside = {name for name, _ in model.get_submodule(layer.path).named_modules() if "norm" in name}
        assert {path.removeprefix(f"{layer.path}.") for path in layer.norms.values()} == inside


@every_family
def test_linears_of_one_group_read_the_very_same_tensor_and_groups_differ(family: str, make_tiny: MakeTiny) -> None:
    model = make_tiny(family)
    architecture = describe_architecture(model)
    seen: dict[str, torch.Tensor] = {}
    for path, linear in linear_modules(model, architecture).items():
        linear.register_forward_pre_hook(lambda _, inputs, path=path: seen.update({path: inputs[0]}))
    with torch.no_grad():
        model(TOKENS)
    for layer in architecture.layers:
        inputs = [seen[group.linears[0]] for group in layer.input_groups]
        assert len({id(tensor) for tensor in inputs}) == len(inputs)
        for group in layer.input_groups:
            assert len({id(seen[path]) for path in group.linears}) == 1
            assert seen[group.linears[0]].shape[-1] == group.in_features


@every_family
def test_the_order_of_the_groups_is_the_order_in_which_they_run(family: str, make_tiny: MakeTiny) -> None:
    model = make_tiny(family)
    architecture = describe_architecture(model)
    order: list[str] = []
    for path, linear in linear_modules(model, architecture).items():
        linear.register_forward_pre_hook(lambda _, inputs, path=path: order.append(path))
    with torch.no_grad():
        model(TOKENS)
    found = [next(g.name for layer in architecture.layers for g in layer.input_groups if p in g.linears) for p in order]
    expected = [group.name for layer in architecture.layers for group in layer.input_groups for _ in group.linears]
    assert found == expected


@every_family
def test_layers_and_their_paths_agree(family: str, make_tiny: MakeTiny) -> None:
    model = make_tiny(family)
    architecture = describe_architecture(model)
    for index, layer in enumerate(decoder_layers(model, architecture)):
        assert model.get_submodule(architecture.layer_path(index)) is layer


@pytest.mark.parametrize(
    ("family", "windows"),
    [
        ("llama", [None, None, None]),
        ("mistral", [5, 5, 5]),
        ("qwen2", [None, 5, 5]),
        ("gemma2", [5, None, 5]),
        ("gemma3", [5, 5, None]),
        ("phi3", [5, 5, 5]),
    ],
)
def test_each_layer_knows_its_own_sliding_window(family: str, windows: list[int | None], make_tiny: MakeTiny) -> None:
    assert [layer.sliding_window for layer in describe_architecture(make_tiny(family)).layers] == windows


def test_rope_is_described_and_absent_where_positions_are_learned(make_tiny: MakeTiny) -> None:
    llama, neox, gemma3, opt = (
        describe_architecture(make_tiny(family)) for family in ("llama", "gpt_neox", "gemma3", "opt")
    )
    assert llama.rope is not None
    assert (llama.rope.kind, llama.rope.theta, llama.local_rope) == ("default", 10_000.0, None)
    assert neox.rope is not None
    assert neox.rope.partial_fraction == 0.25
    assert gemma3.rope is not None
    assert gemma3.local_rope is not None
    assert gemma3.rope.theta > gemma3.local_rope.theta
    assert opt.rope is None
    assert opt.position_embedding == "model.decoder.embed_positions"


def test_a_rope_scaling_rule_keeps_its_numbers(make_tiny: MakeTiny) -> None:
    scaling = {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}
    rope = describe_architecture(make_tiny("llama", rope_parameters=scaling)).rope
    assert rope is not None
    assert (rope.kind, rope.theta, dict(rope.scaling)) == ("linear", 500.0, {"factor": 4.0})


@pytest.mark.parametrize("family", ["phi3", "gpt_neox"])
def test_the_parts_of_a_fused_qkv_give_the_tensors_that_attention_uses(family: str, make_tiny: MakeTiny) -> None:
    """Zeroing the value rows of one layer must silence its attention, and nothing else."""
    model = make_tiny(family)
    layer = describe_architecture(model).layers[1]
    slot = layer.linear("qkv")
    assert slot is not None
    assert slot.fused is not None
    attention = model.get_submodule(layer.path).get_submodule(FAMILIES[layer_family(model)].attention["o"])
    seen: list[torch.Tensor] = []
    attention.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    fused = model.get_submodule(slot.path)
    rows = slot.fused.rows("v")
    with torch.no_grad():
        model(TOKENS)
        fused.weight[rows] = 0
        if fused.bias is not None:
            fused.bias[rows] = 0
        model(TOKENS)
    assert seen[0].abs().max() > 0.01
    assert seen[1].abs().max() == 0


def test_the_gate_of_a_fused_feed_forward_is_its_first_half(make_tiny: MakeTiny) -> None:
    model = make_tiny("phi3")
    layer = describe_architecture(model).layers[0]
    gate, up = (weight_of(model, layer.linear("gate_up"), part) for part in ("gate", "up"))
    hidden = torch.randn(5, 32, generator=torch.Generator().manual_seed(2))
    block = model.get_submodule(f"{layer.path}.mlp")
    inner = nn.functional.silu(hidden @ gate.T) * (hidden @ up.T)
    torch.testing.assert_close(block.down_proj(inner), block(hidden))


def test_layers_of_different_feed_forward_width_are_described_each_by_its_own(make_tiny: MakeTiny) -> None:
    model = make_tiny("llama")
    block = model.model.layers[1].mlp
    block.gate_proj, block.up_proj, block.down_proj = nn.Linear(32, 24), nn.Linear(32, 24), nn.Linear(24, 32)
    assert [layer.feed_forward_size for layer in describe_architecture(model).layers] == [48, 24, 48]


def test_an_unknown_architecture_is_refused_with_the_names_of_those_supported() -> None:
    config = BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=30, is_decoder=True
    )
    with pytest.raises(UnsupportedArchitectureError, match=r"`bert`.*llama, mistral, .*opt") as caught:
        describe_architecture(BertLMHeadModel(config))
    assert caught.value.fields["supported"] == list(FAMILIES)


def break_nothing_but(model: Any, fault: str) -> None:
    match fault:
        case "a missing module":
            del model.model.layers[1].mlp.up_proj
        case "another shape":
            model.model.layers[1].self_attn.k_proj = nn.Linear(32, 8)
        case "unequal widths":
            model.model.layers[1].mlp.up_proj = nn.Linear(32, 40)
        case "another kind of module":
            model.model.layers[1].self_attn.o_proj = nn.Identity()
        case "a missing norm":
            del model.model.norm
        case "fewer layers":
            del model.model.layers[2]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("a missing module", r"no module `model\.layers\.1\.mlp\.up_proj`"),
        ("another shape", r"layers\.1\.self_attn\.k_proj\.weight should have shape \(16, 32\), it has \(8, 32\)"),
        ("unequal widths", r"up_proj\.weight should have shape \(48, 32\)"),
        ("another kind of module", r"o_proj` should be a Linear, it is a Identity"),
        ("a missing norm", r"no module `model\.norm`"),
        ("fewer layers", r"promises 3 layers, the model has 2"),
    ],
)
def test_a_model_that_is_not_what_its_family_is_gets_an_error_that_names_the_module(
    fault: str, message: str, make_tiny: MakeTiny
) -> None:
    model = make_tiny("llama")
    break_nothing_but(model, fault)
    with pytest.raises(ArchitectureMismatchError, match=message):
        describe_architecture(model)


def test_a_model_without_a_language_model_head_is_refused(make_tiny: MakeTiny) -> None:
    model = LlamaForSequenceClassification(make_tiny("llama").config)
    with pytest.raises(ArchitectureMismatchError, match="not a causal language model"):
        describe_architecture(model)


def layer_family(model: PreTrainedModel) -> Any:
    return describe_architecture(model).family
