"""Plans are plain data; what does not go together, or brings nothing, is said with its reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.compress.errors import PlanOrderError
from birdbone.compress.plan import (
    Bits,
    Cut,
    Ground,
    Heal,
    LowRank,
    Plan,
    Step,
    Zeros,
    find_objections,
    plan_from_data,
    require_compatible,
)

CUTS = st.builds(Cut, pattern=st.sampled_from(["layer", "kv_group", "neuron"]), share=st.floats(0.01, 0.5))
STEPS = st.one_of(
    CUTS,
    st.builds(Zeros, share=st.floats(0.1, 0.9)),
    st.builds(LowRank, byte_share=st.floats(0.1, 0.9)),
    st.builds(Heal, num_steps=st.integers(1, 500)),
    st.builds(Bits, bits_per_weight=st.floats(4, 16), embedding=st.sampled_from(["q8_0", "q4_0"])),
)
BITS = Bits(bits_per_weight=4.6, embedding="q8_0")
NEURONS, GROUPS, LAYERS = (Cut(pattern=kind, share=0.1) for kind in ("neuron", "kv_group", "layer"))
HEAL = Heal(num_steps=10)


@given(st.lists(STEPS, max_size=5))
def test_a_plan_survives_as_data(steps: list[Step]) -> None:
    plan = Plan(steps=tuple(steps))
    assert plan_from_data(plan.to_data()) == plan
    assert plan_from_data(plan.to_data()).digest == plan.digest


@given(st.lists(STEPS, max_size=5))
def test_nothing_is_carried_out_after_rounding(steps: list[Step]) -> None:
    plan = Plan(steps=(BITS, *steps))
    fatal = [found for found in find_objections(plan, Ground()) if found.is_fatal]
    assert len(fatal) >= len(steps)


@given(st.permutations([NEURONS, GROUPS, LAYERS, BITS]))
def test_of_all_orders_only_coarse_to_fine_and_bits_last_is_right(steps: list[Step]) -> None:
    is_right = steps == [LAYERS, GROUPS, NEURONS, BITS]
    assert (find_objections(Plan(steps=tuple(steps)), Ground()) == ()) is is_right


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((BITS, LowRank(byte_share=0.5)), "factorise before bits"),
        ((BITS, NEURONS), "cut before bits"),
        ((BITS, HEAL), "heal before bits"),
        ((HEAL, NEURONS), "heal after all cuts"),
        ((NEURONS, LAYERS), "cut the coarse first"),
        ((NEURONS, NEURONS), "add the shares"),
        ((LAYERS, HEAL), "layers are gone"),
        ((HEAL,), "nothing to heal"),
        ((Zeros(share=0.5),), "bring no bytes"),
        ((LowRank(byte_share=0.5),), "GGUF has no factors"),
        ((BITS, BITS), "done twice"),
    ],
)
def test_each_objection_gives_its_reason(steps: tuple[Step, ...], reason: str) -> None:
    assert any(reason in found.reason for found in find_objections(Plan(steps=steps), Ground()))
    with pytest.raises(PlanOrderError, match=steps[-1].words.split()[0]):
        require_compatible(Plan(steps=steps), Ground())


def test_a_family_without_layers_that_differ_loses_layers_only() -> None:
    ground = Ground(holds_differing_layers=False)
    assert find_objections(Plan(steps=(LAYERS, BITS)), ground) == ()
    assert find_objections(Plan(steps=(NEURONS, BITS)), ground)[0].is_fatal


def test_what_is_no_plan_is_refused() -> None:
    with pytest.raises(PlanOrderError, match="no plan"):
        plan_from_data([{"kind": "magic"}])
