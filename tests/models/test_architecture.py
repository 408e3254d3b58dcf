from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.models import FusedRows, InputGroup, LayerLayout, LinearSlot


def make_layout() -> LayerLayout:
    query, output = (
        LinearSlot(role=role, path=f"x.{role}", out_features=8, in_features=8, has_bias=False) for role in ("q", "o")
    )
    groups = (
        InputGroup(name="attention_input", linears=("x.q",), in_features=8),
        InputGroup(name="attention_output", linears=("x.o",), in_features=8),
    )
    return LayerLayout(
        index=0,
        path="x",
        attention=(query, output),
        feed_forward=(),
        norms={},
        input_groups=groups,
        num_heads=1,
        num_kv_heads=1,
        feed_forward_size=0,
        sliding_window=None,
        is_parallel=False,
    )


@st.composite
def fused_rows(draw: st.DrawFn) -> FusedRows:
    num_heads = draw(st.integers(1, 6))
    turns = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    return FusedRows(
        parts=tuple(f"p{index}" for index in range(len(turns))),
        sizes=tuple(turn * num_heads for turn in turns),
        order="per_head" if num_heads > 1 else "blocked",
        num_heads=num_heads,
    )


@given(fused_rows())
def test_the_parts_of_a_fused_linear_cover_every_row_once(fused: FusedRows) -> None:
    rows = [row for part in fused.parts for row in fused.rows(part)]
    assert sorted(rows) == list(range(sum(fused.sizes)))


@given(fused_rows())
def test_each_part_has_the_rows_it_promises_in_rising_order(fused: FusedRows) -> None:
    for part, size in zip(fused.parts, fused.sizes, strict=True):
        rows = fused.rows(part)
        assert len(rows) == size
        assert rows == sorted(rows)


def test_a_linear_is_found_by_its_role_and_an_absent_role_is_none() -> None:
    layout = make_layout()
    assert layout.linear("q") is layout.attention[0]
    assert layout.linear("qkv") is None


def test_a_linear_knows_its_input_group_and_a_stranger_has_none() -> None:
    layout = make_layout()
    assert layout.group_of("x.o").name == "attention_output"
    with pytest.raises(KeyError):
        layout.group_of("y.o")
