"""Whatever the bits are, a frame gives them back; and where it should be small, it is."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from birdbone.vault.store.codec.delta import encode_delta
from birdbone.vault.store.codec.frames import Form, decode_frame, encode_change, encode_whole
from birdbone.vault.store.codec.planes import Cursor, bits, planes

widths = st.sampled_from([1, 2, 4, 8])
PECULIAR = {  # zero, minus zero, the smallest denormal, infinity, a quiet and a signalling NaN, all ones
    1: [0, 0x80, 1, 0x7C, 0x7E, 0x7D, 0xFF],
    2: [0, 0x8000, 1, 0x7C00, 0x7E01, 0x7C01, 0xFFFF],
    4: [0, 0x80000000, 1, 0x7F800000, 0x7FC00001, 0x7F800001, 0xFFFFFFFF],
    8: [0, 1 << 63, 1, 0x7FF0 << 48, 0x7FF8 << 48 | 1, 0x7FF0 << 48 | 1, (1 << 64) - 1],
}


def elements_of(width, size):
    values = st.sampled_from(PECULIAR[width]) | st.integers(0, 2 ** (8 * width) - 1)
    return hnp.arrays(f"<u{width}", size, elements=values)


@st.composite
def pairs(draw):
    """Two blocks of one form: the second unlike the first, or the first with zeros, flips and signs in it."""
    width, size = draw(widths), draw(st.integers(0, 60))
    below, above = draw(elements_of(width, size)), draw(elements_of(width, size))
    keep = draw(hnp.arrays(np.bool_, size))
    mixed = np.where(keep, below, above)
    signed = below & above.dtype.type(1 << (8 * width - 1))
    return below, draw(st.sampled_from([above, mixed, np.where(keep, below, 0 * below), np.where(keep, below, signed)]))


@given(pairs(), st.booleans())
def test_a_whole_frame_gives_back_every_bit(pair, is_cold):
    _, block = pair
    frame = encode_whole(block, is_cold=is_cold)
    found = decode_frame(memoryview(frame), num_bytes=block.nbytes, width=block.itemsize)
    assert found.tobytes() == block.tobytes()


@given(pairs())
def test_a_change_gives_back_every_bit(pair):
    below, above = pair
    frame = bytes([Form.DELTA]) + b"".join(encode_delta(below, above))
    before = below.copy()
    found = decode_frame(memoryview(frame), num_bytes=above.nbytes, width=above.itemsize, below=below)
    assert found.tobytes() == above.tobytes()
    assert below.tobytes() == before.tobytes()


@given(pairs(), st.data())
def test_a_damaged_frame_gives_other_bits_or_a_value_error(pair, data):
    below, above = pair
    frame = bytearray([Form.DELTA, *b"".join(encode_delta(below, above))])
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    frame = frame[: data.draw(st.integers(1, len(frame)))]
    try:
        found = decode_frame(memoryview(frame), num_bytes=above.nbytes, width=above.itemsize, below=below)
    except (ValueError, struct.error):
        return
    assert found.nbytes == above.nbytes


@given(elements_of(4, 9), hnp.arrays(np.bool_, st.integers(0, 70)))
def test_planes_and_flags_come_back(elements, flags):
    cursor = Cursor(memoryview(b"".join(planes(elements) + bits(flags))))
    assert cursor.planes(len(elements), 4).tolist() == elements.tolist()
    assert cursor.bits(len(flags)).tolist() == flags.tolist()


def weights(seed=0, size=1 << 17):
    return np.random.default_rng(seed).standard_normal(size, np.float32)


@pytest.mark.parametrize("is_signed", [False, True])
def test_a_wave_of_pruning_costs_little_more_than_the_entropy_of_its_mask(is_signed):
    before = weights()
    after = before * (np.abs(before) > 0.1257)  # a tenth of a normal distribution; times False, a negative gives -0.0
    after = after if is_signed else after + 0.0
    frame = encode_change(before.view(np.uint32), after.view(np.uint32))
    shed = float(np.mean(after == 0))
    entropy_bits = -shed * np.log2(shed) - (1 - shed) * np.log2(1 - shed)
    assert 8 * len(frame) < 1.2 * entropy_bits * len(before)


def test_what_grew_back_costs_its_values_and_the_flags_of_the_zeros():
    before, values = weights(), weights(seed=1)
    before[::2] = 0
    after = before.copy()
    after[::64] = values[::64]
    frame = encode_change(before.view(np.uint32), after.view(np.uint32))
    assert len(frame) < 4 * (len(before) // 64) + len(before) // 2 // 8 + 100


def test_a_block_that_has_nothing_to_do_with_the_one_below_is_not_kept_as_its_change():
    assert encode_change(weights().view(np.uint32), weights(seed=1).view(np.uint32)) is None


def test_what_is_read_often_stays_raw_and_what_is_not_shrinks():
    block = weights().view(np.uint32)
    hot, cold = encode_whole(block, is_cold=False), encode_whole(block, is_cold=True)
    assert (hot[0], cold[0]) == (Form.RAW, Form.PLANES)
    assert len(cold) < 0.87 * len(hot)
    half = np.where(np.arange(len(block)) % 2, block, 0)
    assert encode_whole(half, is_cold=False)[0] == Form.SPARSE
