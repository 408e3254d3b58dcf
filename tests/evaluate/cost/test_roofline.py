"""What bounds a phase."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from birdbone.evaluate.cost.results import MachineRates, PhaseBound
from birdbone.evaluate.cost.roofline import phase_bound

AMOUNT = st.floats(1.0, 1e12)


def bound(flops: float, num_bytes: float, seconds: float, *, bandwidth: float, matmul: float) -> PhaseBound:
    rates = MachineRates(bytes_per_second=bandwidth, flops_per_second=matmul, bandwidth_method="", matmul_method="")
    return phase_bound("decode", flops=flops, num_bytes=num_bytes, seconds=seconds, rates=rates)


def test_by_hand() -> None:
    decode = bound(2e8, 5e8, 0.05, bandwidth=2e10, matmul=1e11)
    assert (decode.intensity, decode.bandwidth_share, decode.matmul_share) == (0.4, 0.5, 0.04)
    assert decode.bound == "memory"
    assert bound(2e8, 5e8, 0.06, bandwidth=2e10, matmul=1e11).bound == "neither"
    assert bound(1e11, 5e8, 1.25, bandwidth=2e10, matmul=1e11).bound == "arithmetic"


@given(AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT)
def test_a_phase_under_the_ridge_is_never_bounded_by_arithmetic(
    flops: float, num_bytes: float, seconds: float, bandwidth: float, matmul: float
) -> None:
    found = bound(flops, num_bytes, seconds, bandwidth=bandwidth, matmul=matmul)
    if found.intensity < 0.999 * matmul / bandwidth:
        assert found.bound != "arithmetic"
    elif found.intensity > 1.001 * matmul / bandwidth:
        assert found.bound != "memory"
    assert (found.bound == "neither") == (max(found.bandwidth_share, found.matmul_share) < 0.5)
