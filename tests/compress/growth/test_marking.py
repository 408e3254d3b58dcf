"""Plates say what was measured and what was not; the ledger forgets nothing and refuses what cannot be."""

from __future__ import annotations

import pytest
from tests.compress.conftest import Dense
from tests.compress.growth.random_models import graph_of

from birdbone.compress.config import GrowthConfig, ProtectConfig
from birdbone.compress.errors import BadLedgerError, UnknownStructureError
from birdbone.compress.growth import PlateLedger, parse_ledger
from birdbone.compress.growth.marking import find_plates, mark_plates


@pytest.fixture(scope="module")
def ledger(dense: Dense) -> PlateLedger:
    model = dense.loaded.model
    config = GrowthConfig(kinds=("layer", "attention", "feed_forward", "kv_group", "neuron"), neurons_per_layer=0.05)
    return find_plates(model, graph_of(model), dense.calibration_NT[:4], config=config, name="tiny")[0]


def test_every_kind_is_found_with_its_size_and_its_damage(ledger: PlateLedger, dense: Dense) -> None:
    kinds = [plate.kind for plate in ledger.plates]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "layer": 4,
        "attention": 4,
        "feed_forward": 4,
        "kv_group": 8,
        "neuron": 4 * 8,
    }
    layer, neuron = ledger.plate("layers.2"), next(plate for plate in ledger.plates if plate.kind == "neuron")
    assert layer.num_parameters * 4 == ledger.num_parameters
    assert layer.damage_basis == "measured"
    assert neuron.damage_basis == "estimated"
    assert neuron.num_parameters == 3 * 64
    assert layer.damage is not None
    assert neuron.damage is not None
    assert neuron.damage < layer.damage
    assert ledger.plate("layers.0").status == "kept"
    assert ledger.plate("layers.0").reason == "one of the first 1 layers"


def test_what_was_not_measured_is_absent(dense: Dense) -> None:
    model = dense.loaded.model
    config = GrowthConfig(kinds=("attention", "kv_group"), ablate_windows=0, protect=ProtectConfig(first_blocks=0))
    found, _ = find_plates(model, graph_of(model), dense.calibration_NT[:2], config=config, name="tiny")
    assert all(plate.damage is None and plate.damage_basis is None for plate in found.plates)
    assert mark_plates(found, max_damage=100.0).count("marked") == 0


def test_marking_takes_those_under_the_bound_and_spares_the_protected(ledger: PlateLedger) -> None:
    bound = sorted(plate.damage for plate in ledger.plates if plate.damage is not None)[10]
    marked = mark_plates(ledger, max_damage=bound, wave=2)
    for plate in marked.plates:
        if plate.status == "marked":
            assert plate.damage is not None
            assert plate.damage <= bound
    assert marked.count("kept") == ledger.count("kept")
    assert marked.count("marked") == len(marked.events) > 0
    assert all(event.wave == 2 and event.before == "found" for event in marked.events)


def test_the_ledger_reads_back_and_keeps_every_change(ledger: PlateLedger) -> None:
    name = "layers.2.attention"
    moved = ledger.move([name], "shed", wave=1).move([name], "restored", wave=2, note="the gate failed")
    again = parse_ledger(moved.model_dump_json())
    assert again == moved
    assert [(event.wave, event.after) for event in again.events] == [(1, "shed"), (2, "restored")]
    assert again.plate(name).reason == "the gate failed"


def test_what_cannot_be_is_refused(ledger: PlateLedger) -> None:
    with pytest.raises(BadLedgerError, match="is kept; it cannot become shed"):
        ledger.move(["layers.0"], "shed", wave=1)
    with pytest.raises(UnknownStructureError):
        ledger.move(["layers.77"], "marked", wave=1)
    for text in ("{}", "no JSON"):
        with pytest.raises(BadLedgerError, match="no ledger of growth plates"):
            parse_ledger(text)
