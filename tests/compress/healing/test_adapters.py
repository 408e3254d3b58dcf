"""Masked adapters: they begin as nothing, learn by the right gradient, and merge into exactly what they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.healing.pruned import changed_by, state_of, thin_out
from tests.compress.matrices import draw_mask, law, seeds
from torch import Tensor, nn
from torch.nn import functional

from birdbone.compress.errors import BadAdapterError, RankError
from birdbone.compress.healing import (
    MaskedLora,
    merge_adapters,
    put_adapters,
    quantize_nf4,
    read_adapters,
    take_adapters_out,
    write_adapters,
)
from birdbone.compress.healing.adapters import FrozenWeight
from birdbone.compress.quantize import fit_grid, round_to_grid
from birdbone.models import LoadedModel
from birdbone.models.gguf import GgufType

BASES = ("float", "nf4", "q4_0")


def held(w_FD: Tensor, base: str) -> FrozenWeight:
    if base == "nf4":
        return quantize_nf4(w_FD)
    return w_FD if base == "float" else round_to_grid(w_FD, fit_grid(w_FD, torch.ones(w_FD.shape[1]), GgufType.Q4_0))


def learned(weight: FrozenWeight, mask_FD: Tensor | None, *, rank: int, seed: int = 0) -> MaskedLora:
    """Return an adapter whose factors are no longer those it began with."""
    generator = torch.Generator().manual_seed(seed)
    bias = nn.Parameter(torch.randn(weight.shape[0], generator=generator))
    adapter = MaskedLora(weight, mask_FD, bias, rank=rank, alpha=16.0, generator=generator)
    with torch.no_grad():
        adapter.left.normal_(generator=generator)
    return adapter


@law
@given(
    seed=seeds,
    rows=st.integers(1, 12),
    blocks=st.integers(1, 2),
    rank=st.integers(1, 12),
    keep=st.sampled_from([0.1, 0.5, 1.0]),
    base=st.sampled_from(BASES),
)
def test_merging_revives_no_zero_and_gives_the_same_outputs(
    seed: int, rows: int, blocks: int, rank: int, keep: float, base: str
) -> None:
    generator = torch.Generator().manual_seed(seed)
    linear, mask_FD = nn.Linear(32 * blocks, rows), draw_mask(seed, rows, 32 * blocks, keep=keep)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(rows, 32 * blocks, generator=generator) * mask_FD)
    model = nn.Sequential(linear)
    placed = put_adapters(
        model,  # type: ignore[arg-type]
        {"0": held(linear.weight.detach(), base)},
        {"0": mask_FD},
        ranks={"0": min(rank, rows)},
        alpha=8.0,
        generator=generator,
    )
    with torch.no_grad():
        placed.adapters["0"].left.normal_(generator=generator)
    x_MD = torch.randn(5, 32 * blocks, generator=generator)
    before_MF = model(x_MD)
    merge_adapters(model, placed, onto_base=True)  # type: ignore[arg-type]
    assert model[0] is linear
    assert bool((linear.weight[~mask_FD] == 0).all())
    torch.testing.assert_close(model(x_MD), before_MF, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("is_masked", [True, False])
@pytest.mark.parametrize("base", BASES)
def test_outputs_and_gradients_are_those_of_the_formula(base: str, is_masked: bool) -> None:
    weight = held(torch.randn(6, 64, generator=torch.Generator().manual_seed(1)), base)
    mask_FD = draw_mask(2, 6, 64) if is_masked else None
    adapter = learned(weight, mask_FD, rank=3)
    x = torch.randn(2, 4, 64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    of = (x, adapter.left, adapter.right, adapter.bias)
    update = adapter.scale * (adapter.left @ adapter.right)
    plain = functional.linear(
        x, adapter.frozen_weight() + (update if mask_FD is None else update * mask_FD), adapter.bias
    )
    output = adapter(x)
    torch.testing.assert_close(output, plain)
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(4))
    ours = torch.autograd.grad((output * direction).sum(), of)
    theirs = torch.autograd.grad((plain * direction).sum(), of)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_in_bfloat16_it_learns_too() -> None:
    adapter = learned(torch.randn(6, 64, generator=torch.Generator().manual_seed(1)), draw_mask(2, 6, 64), rank=3)
    x = torch.randn(4, 64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        adapter(x).float().square().mean().backward()
    assert adapter.left.grad is not None
    assert adapter.left.grad.dtype == torch.float32
    assert bool(adapter.left.grad.isfinite().all())


def test_it_begins_as_the_linear_was_and_can_be_taken_out(tiny_model: LoadedModel) -> None:
    masks, model = thin_out(tiny_model), tiny_model.model
    before, ids_BT = state_of(tiny_model), torch.arange(16)[None]
    logits = model(input_ids=ids_BT).logits
    paths = tiny_model.architecture.linear_paths[:5]
    placed = put_adapters(
        model,
        {path: model.get_parameter(f"{path}.weight").detach() for path in paths},
        masks,
        ranks=dict.fromkeys(paths, 2),
        alpha=4.0,
        generator=torch.Generator().manual_seed(0),
    )
    assert sum(isinstance(module, MaskedLora) for module in model.modules()) == 5
    torch.testing.assert_close(model(input_ids=ids_BT).logits, logits)
    take_adapters_out(model, placed)
    assert changed_by(before, tiny_model) == set()


def test_a_rank_beyond_the_smaller_side_is_refused_and_nothing_is_replaced(tiny_model: LoadedModel) -> None:
    model, paths = tiny_model.model, tiny_model.architecture.linear_paths[:2]
    with pytest.raises(RankError, match="takes ranks from 1 to 32; 33 came") as caught:
        put_adapters(
            model,
            {path: model.get_parameter(f"{path}.weight").detach() for path in paths},
            {},
            ranks={paths[0]: 8, paths[1]: 33},
            alpha=1.0,
            generator=torch.Generator(),
        )
    assert caught.value.code == "compress.rank"
    assert not any(isinstance(module, MaskedLora) for module in model.modules())


def test_factors_are_written_and_read_as_they_are(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 6))
    generator = torch.Generator().manual_seed(0)
    weights = {name: model.get_parameter(f"{name}.weight").detach() for name in ("0", "1")}
    placed = put_adapters(model, weights, {}, ranks={"0": 2, "1": 3}, alpha=6.0, generator=generator)  # type: ignore[arg-type]
    path = write_adapters(tmp_path / "adapter.safetensors", placed)
    stored = read_adapters(path)
    assert {name: each.scale for name, each in stored.items()} == {"0": 3.0, "1": 2.0}
    for name, each in stored.items():
        assert torch.equal(each.left_FR, placed.adapters[name].left)
        assert torch.equal(each.right_RD, placed.adapters[name].right)
    path.write_bytes(b"no adapters")
    with pytest.raises(BadAdapterError) as caught:
        read_adapters(path)
    assert caught.value.code == "compress.bad_adapter"
