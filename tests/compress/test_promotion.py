"""More bits go where rounding hurts most, and never to more weights than allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import draw_linear, law, seeds

from birdbone.compress.quantize import choose_promotions, relative_output_error

linears = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.tuples(st.floats(0, 1), st.integers(1, 1000)), max_size=8
)


@law
@given(drawn=linears, share=st.floats(0, 1))
def test_what_is_promoted_fits_the_share_and_nothing_that_would_fit_is_left(
    drawn: dict[str, tuple[float, int]], share: float
) -> None:
    errors = {name: error for name, (error, _) in drawn.items()}
    num_weights = {name: count for name, (_, count) in drawn.items()}
    chosen = choose_promotions(errors, num_weights, share=share)
    left = share * sum(num_weights.values()) - sum(num_weights[name] for name in chosen)
    assert left >= -1e-6
    assert all(num_weights[name] > left - 1e-6 for name in errors if name not in chosen)
    assert chosen == [name for name in errors if name in set(chosen)]


@law
@given(drawn=linears)
def test_no_share_promotes_none_and_the_whole_promotes_all(drawn: dict[str, tuple[float, int]]) -> None:
    errors = {name: error for name, (error, _) in drawn.items()}
    num_weights = {name: count for name, (_, count) in drawn.items()}
    assert choose_promotions(errors, num_weights, share=0.0) == []
    assert choose_promotions(errors, num_weights, share=1.0) == list(errors)


def test_the_largest_error_a_weight_goes_first() -> None:
    errors = {"wide": 0.3, "narrow": 0.2, "small": 0.01}
    num_weights = {"wide": 300, "narrow": 100, "small": 100}
    assert choose_promotions(errors, num_weights, share=0.2) == ["narrow"]
    assert choose_promotions(errors, num_weights, share=0.8) == ["wide", "narrow"]


@law
@given(seed=seeds)
def test_the_relative_error_is_the_share_of_the_outputs_power(seed: int) -> None:
    linear, approximation_FD = draw_linear(seed), draw_linear(seed + 1).w_FD
    output_TF = linear.x_TD @ linear.w_FD.T
    power = float(output_TF.square().sum() / len(output_TF))
    found = relative_output_error(linear.w_FD, approximation_FD, linear.gram_DD)
    assert found == pytest.approx(linear.output_error(approximation_FD) / power, rel=1e-3)
    assert relative_output_error(linear.w_FD, linear.w_FD, linear.gram_DD) == 0.0
    assert relative_output_error(linear.w_FD, approximation_FD, linear.gram_DD * 0) == 0.0
