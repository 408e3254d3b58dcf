"""Where the time goes: profiles of a tiny model, and stacks worked by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tests.evaluate.tiny import tiny_model

from birdbone.evaluate.cost.profiling import BETWEEN, flame_of, kind_of, operators_of, profile_phase
from birdbone.evaluate.cost.results import Flame, Profile
from birdbone.evaluate.cost.runners import TorchRunner

NUM_LAYERS, NUM_LINEARS, NUM_STEPS = 2, 2 * 7 + 1, 3
SPENT = {
    ("module: Model",): (1.0, 1),
    ("module: Model", "aten::mm"): (6.0, 4),
    ("module: Model", "module: layers.*"): (1.0, 2),
    ("module: Model", "module: layers.*", "aten::mm"): (1.5, 2),
    ("module: Model", "aten::tiny"): (0.001, 1),
    ("aten::argmax",): (0.5, 1),
}


@pytest.fixture(scope="module")
def profile() -> Profile:
    runner = TorchRunner(tiny_model("llama"))
    runner.ready(5)
    hooks = [len(module._forward_hooks) for module in runner.model.modules()]
    found = profile_phase(
        runner.model, lambda: runner.decode(NUM_STEPS), name="decode", num_tokens=NUM_STEPS, min_share=0.0
    )
    assert [len(module._forward_hooks) for module in runner.model.modules()] == hooks
    return found


def boxes(flame: Flame) -> Iterator[Flame]:
    yield flame
    for child in flame.children:
        yield from boxes(child)


def test_shares_make_a_whole_and_every_linear_is_seen(profile: Profile) -> None:
    assert sum(row.share for row in profile.operators) == pytest.approx(1)
    calls = {row.name: row.num_calls for row in profile.operators}
    assert calls["aten::linear"] == NUM_STEPS * NUM_LINEARS
    assert BETWEEN in calls
    seconds = [row.self_seconds for row in profile.operators]
    assert seconds == sorted(seconds, reverse=True)
    assert profile.clock == "CPU"


def test_layers_are_one_box_below_the_model(profile: Profile) -> None:
    (layers,) = [box for box in boxes(profile.flame) if box.name == "layers.*"]
    assert (layers.kind, layers.count) == ("module", NUM_LAYERS * NUM_STEPS)
    assert {"self_attn", "mlp"} <= {box.name for box in layers.children}
    (down,) = [box for box in boxes(layers) if box.name == "down_proj"]
    assert "aten::linear" in {box.name for box in down.children}


def test_no_box_is_narrower_than_what_it_holds(profile: Profile) -> None:
    for box in boxes(profile.flame):
        assert sum(child.seconds for child in box.children) <= box.seconds + 1e-9
    assert profile.flame.seconds == pytest.approx(sum(row.self_seconds for row in profile.operators))


def test_a_tree_worked_by_hand() -> None:
    flame = flame_of(SPENT, name="decode")
    assert (flame.name, flame.seconds) == ("decode", pytest.approx(10.001))
    model, argmax = flame.children
    assert (model.name, model.kind, model.seconds) == ("Model", "module", pytest.approx(9.501))
    assert [(box.name, box.seconds, box.count) for box in model.children] == [("aten::mm", 6, 4), ("layers.*", 2.5, 2)]
    assert (argmax.name, argmax.kind) == ("aten::argmax", "other operator")
    rows = operators_of(SPENT)
    assert [(row.name, row.self_seconds, row.num_calls) for row in rows[:3]] == [
        ("aten::mm", 7.5, 6),
        (BETWEEN, 2.0, 3),
        ("aten::argmax", 0.5, 1),
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::addmm", "matrix product"),
        ("aten::mkldnn_linear", "matrix product"),
        ("mkldnn::_linear_pointwise", "matrix product"),
        ("aten::matmul", "matrix product"),
        ("aten::mul", "other operator"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("module: lm_head", "module"),
    ],
)
def test_kinds(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_a_model_that_fails_is_left_as_it_was() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(RuntimeError):
        profile_phase(model, lambda: model(torch.ones(1, 3)), name="prefill", num_tokens=1)
    assert not any(module._forward_pre_hooks for module in model.modules())
