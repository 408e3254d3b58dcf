"""The interval of a median."""

from __future__ import annotations

from math import comb

from hypothesis import given
from hypothesis import strategies as st

from birdbone.evaluate import median


@given(st.lists(st.floats(0.1, 1e3), min_size=1, max_size=40))
def test_the_interval_of_a_median_is_the_narrowest_that_covers_95_of_100(values: list[float]) -> None:
    figure = median(values)
    ordered = sorted(values)
    count = len(values)
    covers = [1 - 2 * sum(comb(count, j) for j in range(k)) / 2**count for k in range(1, count // 2 + 1)]
    depth = sum(cover >= 0.95 for cover in covers)
    if depth == 0:
        assert count < 6
        assert figure.low is figure.high is None
    else:
        assert (figure.low, figure.high) == (ordered[depth - 1], ordered[-depth])
        assert figure.low <= figure.value <= figure.high
