"""An update gives the same bits as IEEE arithmetic in order, whatever machine, block or dtype."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.vault.store.blobs import apply_update
from birdbone.vault.store.codec.low_rank import FLOAT_DTYPES, LowRankUpdate, add_low_rank, as_float32

WIDTHS = {"F32": np.uint32, "F16": np.uint16, "BF16": np.uint16}


def update_of(rows, columns, rank, seed=0):
    rng = np.random.default_rng(seed)
    return LowRankUpdate(
        a=rng.standard_normal((rank, columns), np.float32), b=rng.standard_normal((rows, rank), np.float32), scale=0.25
    )


def bits_of(values, dtype):
    """Round float32 values to a dtype by a way of its own: the nearest of all that are near."""
    if dtype == "F32":
        return values.view(np.uint32)
    if dtype == "F16":
        return values.astype(np.float16).view(np.uint16)
    low = (values.view(np.uint32) >> 16).astype(np.uint32)
    high = low + 1
    below, above = ((part << 16).astype(np.uint32).view(np.float32).astype(np.float64) for part in (low, high))
    exact = values.astype(np.float64)
    to_low, to_high = np.abs(exact - below), np.abs(above - exact)
    take_low = (to_low < to_high) | ((to_low == to_high) & (low % 2 == 0))
    return np.where(take_low, low, high).astype(np.uint16)


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
def test_the_sum_runs_over_the_rank_in_order_and_is_rounded_once(dtype):
    update = update_of(5, 7, 3)
    weights = bits_of(np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32), dtype)
    expected = np.zeros((5, 7), np.float32)
    for row in range(5):
        for column in range(7):
            total = np.float32(0)
            for rank in range(3):
                total = np.float32(total + np.float32(update.b[row, rank] * update.a[rank, column]))
            total = np.float32(total * np.float32(0.25))
            expected[row, column] = np.float32(total + as_float32(weights, dtype)[row, column])
    assert np.array_equal(add_low_rank(weights, update, dtype=dtype), bits_of(expected, dtype))


def test_a_weight_that_was_shed_stays_shed_with_its_sign():
    weights = np.array([[0.0, -0.0, 1.0]], np.float32).view(np.uint32)
    found = add_low_rank(weights, update_of(1, 3, 2), dtype="F32")
    assert found[0, :2].tolist() == weights[0, :2].tolist()
    assert found[0, 2] != weights[0, 2]


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), cut=st.integers(1, 200))
def test_blocks_that_cut_rows_make_the_same_matrix(rows, columns, cut):
    from birdbone.vault.store import blobs

    weights = np.random.default_rng(2).standard_normal((rows, columns)).astype(np.float32).view(np.uint32)
    update = update_of(rows, columns, 2)
    whole = add_low_rank(weights, update, dtype="F32").reshape(-1)
    old, blobs.BLOCK_BYTES = blobs.BLOCK_BYTES, 4 * cut
    try:
        flat = weights.reshape(-1)
        parts = [
            apply_update(flat[start : start + cut], update, dtype="F32", index=start // cut)
            for start in range(0, len(flat), cut)
        ]
    finally:
        blobs.BLOCK_BYTES = old
    assert np.array_equal(np.concatenate(parts), whole)


def test_factors_that_do_not_belong_together_are_refused():
    with pytest.raises(ValueError, match="are no"):
        LowRankUpdate(a=np.zeros((2, 3), np.float32), b=np.zeros((3, 3), np.float32), scale=1.0)
