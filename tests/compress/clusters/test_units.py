"""Every weight of a layer's linears belongs to a unit, and nothing is counted twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.compress.conftest import Dense

from birdbone.compress.clusters.units import chosen_layers, gather_in, num_units, share_out, unit_parts
from birdbone.compress.config import UnitKind
from birdbone.compress.errors import UnknownLayerError
from birdbone.models.architecture import FusedRows, LinearSlot


@pytest.mark.parametrize("units", ["neurons", "heads"])
def test_the_weights_of_all_units_are_the_weights_of_their_linears(dense: Dense, units: UnitKind) -> None:
    architecture = dense.loaded.architecture
    layer = architecture.layers[1]
    slots = layer.feed_forward if units == "neurons" else layer.attention
    count = num_units(layer, architecture, units)
    assert count == (160 if units == "neurons" else 4)
    total = 0.0
    for part in unit_parts(layer, architecture, units):
        slot = next(slot for slot in slots if slot.path == part.path)
        entries, other = slot.out_features, slot.in_features
        if part.axis == "columns":
            entries, other = other, entries
        owned_U = gather_in(torch.full((entries,), float(other)), part, num_owned=count, is_shared_out=True)
        total += float(owned_U.sum())
        assert bool((owned_U == owned_U[0]).all())
    assert total == sum(slot.out_features * slot.in_features for slot in slots)


def test_heads_of_a_group_share_the_rows_of_k_and_v(dense: Dense) -> None:
    architecture = dense.loaded.architecture
    layer = architecture.layers[0]
    parts = {part.role: part for part in unit_parts(layer, architecture, "heads")}
    key = parts["k"]
    rows = [key.entry_M[key.unit_M == head].tolist() for head in range(4)]
    assert rows == [[*range(16)], [*range(16)], [*range(16, 32)], [*range(16, 32)]]
    value_U = torch.tensor([0.0, 1.0, 0.2, 0.4])
    shared_E = share_out(value_U, list(parts.values()), path=key.path, num_entries=32)
    torch.testing.assert_close(shared_E, torch.tensor([0.5] * 16 + [0.3] * 16, dtype=torch.float64), atol=1e-7, rtol=0)


def test_a_fused_matrix_gives_a_neuron_its_row_of_gate_and_of_up(dense: Dense) -> None:
    fused = FusedRows(parts=("gate", "up"), sizes=(3, 3), order="blocked", num_heads=1)
    slot = LinearSlot(role="gate_up", path="x", out_features=6, in_features=2, has_bias=False, fused=fused)
    architecture = dense.loaded.architecture
    layer = replace(architecture.layers[0], feed_forward=(slot,), feed_forward_size=3)
    gate, up = unit_parts(layer, architecture, "neurons")
    assert (gate.role, gate.entry_M.tolist(), gate.unit_M.tolist()) == ("gate", [0, 1, 2], [0, 1, 2])
    assert (up.role, up.entry_M.tolist(), up.unit_M.tolist()) == ("up", [3, 4, 5], [0, 1, 2])


def test_a_layer_that_there_is_not_is_refused(dense: Dense) -> None:
    assert [layer.index for layer in chosen_layers(dense.loaded.architecture, (2, 0))] == [0, 2]
    with pytest.raises(UnknownLayerError, match="There is no layer 4; the last of the 4 is 3"):
        chosen_layers(dense.loaded.architecture, (4,))
