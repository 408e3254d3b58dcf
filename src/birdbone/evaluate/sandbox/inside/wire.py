"""Frames and values between parent, judge and suspect.

A frame is four bytes of length and that much JSON. A value crosses as plain data of exact built-in types, or as the
number of an object that stays where it is. So the judge never holds an object whose `==` the suspect wrote, and reading
cannot run code, as unpickling would. Integers and floats travel in hexadecimal: exact, and linear in their length.
"""

from __future__ import annotations

import builtins
import json
import os
from collections.abc import Callable
from typing import Any

MAX_FRAME_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 100

_CONTAINERS: dict[str, Any] = {"l": list, "t": tuple, "s": set, "z": frozenset}
_TYPES = {name: value for name, value in vars(builtins).items() if isinstance(value, type)}


class WireError(Exception):
    """What came is no frame or no value; or what was to be sent has no plain form."""


class ClosedError(WireError):
    """The other side closed the pipe, or died."""


def send(descriptor: int, message: object) -> None:
    """Write one frame.

    Raises:
        ClosedError: nobody reads any more.
        WireError: the frame is larger than `MAX_FRAME_BYTES`.
    """
    payload = json.dumps(message).encode()
    if len(payload) > MAX_FRAME_BYTES:
        raise WireError(f"a message of {len(payload)} bytes; at most {MAX_FRAME_BYTES} cross")
    rest = memoryview(len(payload).to_bytes(4, "big") + payload)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError as error:
        raise ClosedError("the other side is gone") from error


def receive(descriptor: int) -> Any:
    """Return the next frame's message.

    Raises:
        ClosedError: the pipe ended.
        WireError: the bytes are no frame.
    """
    size = int.from_bytes(_read_exactly(descriptor, 4), "big")
    if size > MAX_FRAME_BYTES:
        raise WireError(f"a frame that claims {size} bytes")
    payload = _read_exactly(descriptor, size)
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WireError("a frame that is not JSON") from error


def encode(value: object, keep: Callable[[object], int] | None = None, *, depth: int = 0) -> Any:
    """Return `value` as what JSON can say.

    A subclass of a built-in type crosses as that type, read by the type's own methods and not by overridden ones.

    Args:
        value: anything.
        keep: stores an object that has no plain form, and returns its number; without it such an object is an error.
        depth: how deep in containers `value` lies.

    Raises:
        WireError: no plain form and no `keep`, or nested deeper than `MAX_DEPTH` (a list that holds itself).
    """
    if depth > MAX_DEPTH:
        raise WireError(f"a value nested deeper than {MAX_DEPTH}")
    if value is None or value is True or value is False:
        return value
    for kind, container in _CONTAINERS.items():
        if isinstance(value, container):
            return [kind, [encode(item, keep, depth=depth + 1) for item in container.__iter__(value)]]
    if isinstance(value, dict):
        pairs = dict.items(value)
        return ["d", [[encode(k, keep, depth=depth + 1), encode(v, keep, depth=depth + 1)] for k, v in pairs]]
    return _encode_scalar(value, keep)


def decode(code: Any, resolve: Callable[[int], object] | None = None) -> Any:
    """Return the value that `encode` was given; `resolve` turns the number of a kept object into what stands for it.

    Raises:
        WireError: `code` is none that `encode` makes.
    """
    try:
        return _decode(code, resolve)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise WireError(f"a value that cannot be read ({type(error).__name__})") from error


def _read_exactly(descriptor: int, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = os.read(descriptor, min(size - len(parts), 65536))
        except OSError as error:
            raise ClosedError("the pipe cannot be read") from error
        if not part:
            raise ClosedError("the other side is gone")
        parts += part
    return bytes(parts)


def _encode_scalar(value: object, keep: Callable[[object], int] | None) -> Any:
    if isinstance(value, int):
        return ["i", int.__format__(int.__int__(value), "x")]
    if isinstance(value, float):
        return ["f", float.hex(value)]
    if isinstance(value, complex):
        return ["c", float.hex(value.real), float.hex(value.imag)]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return ["b", bytes.hex(value)]
    if isinstance(value, range):
        return ["r", value.start, value.stop, value.step]
    if isinstance(value, type) and _TYPES.get(value.__name__) is value:
        return ["y", value.__name__]
    if keep is None:
        raise WireError(f"an object of type {type(value).__name__} has no plain form")
    return ["h", keep(value)]


def _decode(code: Any, resolve: Callable[[int], object] | None) -> Any:
    if code is None or isinstance(code, (bool, str)):
        return code
    kind, first = code[0], code[1]
    match kind:
        case "i":
            return int(first, 16)
        case "f":
            return float.fromhex(first)
        case "c":
            return complex(float.fromhex(first), float.fromhex(code[2]))
        case "b":
            return bytes.fromhex(first)
        case "r":
            return range(int(first), int(code[2]), int(code[3]))
        case "y":
            return _TYPES[first]
        case "d":
            return {_decode(k, resolve): _decode(v, resolve) for k, v in first}
        case "h" if resolve is not None:
            return resolve(int(first))
        case _:
            return _CONTAINERS[kind](_decode(item, resolve) for item in first)
