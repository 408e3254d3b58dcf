"""What crosses between judge and suspect comes out as it went in, and only as plain data."""

from __future__ import annotations

import collections
import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.sandbox.inside import wire

hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)
values = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(hashable, inner, max_size=4) | st.sets(hashable, max_size=4)
    ),
    max_leaves=12,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


class Fake(str):
    def __eq__(self, other: object) -> bool:
        return True

    def __str__(self) -> str:
        return "another"

    __hash__ = str.__hash__


def shape(value: Any) -> Any:
    """The value with the type of each part, so that 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return dict, [(shape(k), shape(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [shape(item) for item in value]
    return type(value), repr(value) if isinstance(value, (float, complex)) else value


@settings(max_examples=50, deadline=None)
@given(values)
def test_a_plain_value_comes_back_with_its_types(value: Any) -> None:
    assert shape(wire.decode(json.loads(json.dumps(wire.encode(value))))) == shape(value)


@settings(max_examples=50, deadline=None)
@given(json_values)
def test_any_json_is_a_value_or_a_wire_error_and_nothing_else(code: Any) -> None:
    try:
        wire.decode(code)
    except wire.WireError:
        return


@pytest.mark.parametrize("value", [float("inf"), -0.0, -1, "\udcff", range(1, 9, 2), int, [[]], {(): {1}}])
def test_values_at_the_edge_come_back(value: Any) -> None:
    assert shape(wire.decode(json.loads(json.dumps(wire.encode(value))))) == shape(value)


def test_an_integer_too_long_to_print_comes_back() -> None:
    assert wire.decode(wire.encode(10**5000)) == 10**5000


def test_a_subclass_crosses_as_the_type_below_it() -> None:
    assert wire.decode(wire.encode(collections.Counter("aab"))) == {"a": 2, "b": 1}
    assert type(wire.decode(wire.encode(collections.OrderedDict(a=1)))) is dict
    crossed = wire.decode(wire.encode(Fake("wrong")))
    assert type(crossed) is str
    assert crossed == "wrong"
    assert crossed != "right"


def test_an_object_without_a_plain_form_is_kept_or_refused() -> None:
    kept: list[object] = []
    thing = object()
    code = wire.encode([thing], lambda value: kept.append(value) or 7)
    assert code == ["l", [["h", 7]]]
    assert kept == [thing]
    assert wire.decode(code, lambda number: f"object {number}") == ["object 7"]
    with pytest.raises(wire.WireError, match="no plain form"):
        wire.encode(thing)
    with pytest.raises(wire.WireError):
        wire.decode(code)


def test_a_list_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(wire.WireError, match="deeper than 100"):
        wire.encode(loop)


def test_a_frame_comes_out_as_it_went_in_and_the_end_is_told() -> None:
    reader, writer = os.pipe()
    wire.send(writer, {"value": ["i", "-ff"]})
    os.close(writer)
    assert wire.decode(wire.receive(reader)["value"]) == -255
    with pytest.raises(wire.ClosedError):
        wire.receive(reader)
    os.close(reader)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xff\xff\xffx", b"\0\0\0\x02{]", b"\0\0\0\x01\xff", (2 * 10**5).to_bytes(4, "big") + b"[" * 2 * 10**5],
)
def test_bytes_that_are_no_frame_are_refused(content: bytes) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.write(writer, content)
        os._exit(0)
    os.close(writer)
    with pytest.raises(wire.WireError):
        wire.receive(reader)
    os.close(reader)
    os.waitpid(pid, 0)
