"""The self-test: another layout of the library's structures is an error, never a crash."""

from __future__ import annotations

import struct

import pytest

from birdbone.models.llamacpp import EngineSelfTestError
from birdbone.models.llamacpp.library import check_defaults, check_layout, load_library

FRONT = struct.pack("<4I", 512, 2048, 512, 1)
THREADS = struct.pack("<8i", 0, 0, 1, 4, 4, 0, -1, -1)


def test_the_installed_library_passes_its_self_test() -> None:
    check_layout(load_library())


def test_the_threads_may_move_a_little() -> None:
    check_defaults(FRONT + THREADS)
    check_defaults(FRONT + struct.pack("<8i", 0, 4, 4, 0, -1, -1, 0, 0))


@pytest.mark.parametrize("field", range(4))
def test_another_value_in_front_is_refused_by_name(field: int) -> None:
    changed = bytearray(FRONT + THREADS)
    struct.pack_into("<I", changed, 4 * field, 77)
    with pytest.raises(EngineSelfTestError, match=r"n_(ctx|batch|ubatch|seq_max) reads 77"):
        check_defaults(bytes(changed))


def test_threads_that_are_nowhere_are_refused() -> None:
    with pytest.raises(EngineSelfTestError, match="thread"):
        check_defaults(FRONT + struct.pack("<8i", 0, 4, 0, 4, 0, 4, 0, 4))
