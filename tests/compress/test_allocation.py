"""The knapsack keeps its budget, is the best there is, never gets worse with more room, and says what it cannot do."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.compress.matrices import law

from birdbone.compress.config import AllocationConfig, QuantizeFormat
from birdbone.compress.errors import BitsBudgetError
from birdbone.compress.quantize.allocation import TypeOption, allocate

TYPES = ("q4_0", "q5_0", "q8_0")
Options = dict[str, list[TypeOption]]


@st.composite
def draw_options(draw: st.DrawFn, *, step: int = 1, most: int = 60) -> Options:
    """Up to four tensors with up to three types each; larger types need not be better."""
    return {
        f"tensor {number}": [
            TypeOption(
                type=kind,
                size_bytes=step * draw(st.integers(1, most)),
                damage=draw(st.floats(0, 10, allow_subnormal=False)),
            )
            for kind in TYPES[: draw(st.integers(1, 3))]
        ]
        for number in range(draw(st.integers(1, 4)))
    }


def least(options: Options) -> int:
    return sum(min(option.size_bytes for option in each) for each in options.values())


def best_by_trying_all(options: Options, max_bytes: int) -> float:
    choices = itertools.product(*options.values())
    return min(
        sum(option.damage for option in choice)
        for choice in choices
        if sum(option.size_bytes for option in choice) <= max_bytes
    )


@law
@given(options=draw_options(step=18), extra=st.integers(0, 3000))
def test_the_choice_is_the_best_of_all_within_the_budget(options: Options, extra: int) -> None:
    max_bytes = least(options) + extra
    found = allocate(options, max_bytes=max_bytes)
    assert found.size_bytes <= max_bytes
    assert found.damage == pytest.approx(best_by_trying_all(options, max_bytes))
    chosen = [next(o for o in each if o.type == found.types[name]) for name, each in options.items()]
    assert found.size_bytes == sum(option.size_bytes for option in chosen)
    assert found.damage == pytest.approx(sum(option.damage for option in chosen))


@law
@given(options=draw_options(most=10**7), extra=st.integers(0, 3 * 10**7), more=st.integers(0, 10**7))
def test_where_sizes_share_no_divisor_the_budget_holds_and_more_room_never_harms(
    options: Options, extra: int, more: int
) -> None:
    narrow = allocate(options, max_bytes=least(options) + extra)
    wide = allocate(options, max_bytes=least(options) + extra + more)
    assert narrow.size_bytes <= least(options) + extra
    assert wide.damage <= narrow.damage + 1e-9


def test_the_bits_go_where_they_help_most() -> None:
    options = {
        name: [TypeOption(type="q4_0", size_bytes=18, damage=damage), TypeOption(type="q8_0", size_bytes=34, damage=0)]
        for name, damage in (("quiet", 0.1), ("loud", 2.0), ("middling", 1.0))
    }
    found = allocate(options, max_bytes=3 * 18 + 2 * 16)
    assert found.types == {"quiet": "q4_0", "loud": "q8_0", "middling": "q8_0"}
    assert (found.size_bytes, found.damage) == (86, pytest.approx(0.1))


def test_of_two_that_harm_alike_the_smaller_is_taken() -> None:
    options = {
        "a": [TypeOption(type="q8_0", size_bytes=34, damage=0.5), TypeOption(type="q4_0", size_bytes=18, damage=0.5)]
    }
    assert allocate(options, max_bytes=1000).types == {"a": "q4_0"}


def test_a_target_below_the_smallest_types_says_what_is_needed() -> None:
    options = {"a": [TypeOption(type="q4_0", size_bytes=18, damage=1.0)]}
    with pytest.raises(BitsBudgetError, match="18 bytes") as caught:
        allocate(options, max_bytes=17)
    assert caught.value.code == "compress.bits_budget"


def test_a_format_with_a_target_is_named_by_it_and_counts_as_low_bits() -> None:
    wanted = QuantizeFormat(allocation=AllocationConfig(bits_per_weight=4.6), embedding="q8_0")
    assert (wanted.label, wanted.is_low_bit) == ("4.6bit", True)
    high = QuantizeFormat(allocation=AllocationConfig(bits_per_weight=8.5, types=("q8_0", "f16")), embedding="q8_0")
    assert not high.has_low_bits


@pytest.mark.parametrize("types", [(), ("q4_0", "q4_0")])
def test_types_to_choose_from_are_some_and_differ(types: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="names one type at least"):
        AllocationConfig.model_validate({"bits_per_weight": 4.6, "types": types})
