"""Which of memory and arithmetic bounds a phase.

Source: Williams, Waterman and Patterson 2009, Communications of the ACM 52(4), "Roofline". Differs: both roofs are what
a short probe reached on this machine with these threads, not what its maker promises.
"""

from __future__ import annotations

from birdbone.evaluate.cost.results import Bound, MachineRates, PhaseBound

_MIN_SHARE = 0.5  # under half of both roofs, what holds a phase back is neither: calls, Python, waiting, other programs


def phase_bound(phase: str, *, flops: float, num_bytes: float, seconds: float, rates: MachineRates) -> PhaseBound:
    """Return how much of the machine a phase used.

    Args:
        phase: its name.
        flops: that it needs.
        num_bytes: that it reads from memory.
        seconds: that it took, above 0.
        rates: of the machine.
    """
    bandwidth_share = num_bytes / seconds / rates.bytes_per_second
    matmul_share = flops / seconds / rates.flops_per_second
    return PhaseBound(
        phase=phase,
        flops=flops,
        num_bytes=num_bytes,
        seconds=seconds,
        intensity=flops / num_bytes,
        bandwidth_share=bandwidth_share,
        matmul_share=matmul_share,
        bound=_bound(bandwidth_share, matmul_share),
    )


def _bound(bandwidth_share: float, matmul_share: float) -> Bound:
    if max(bandwidth_share, matmul_share) < _MIN_SHARE:
        return "neither"
    return "memory" if bandwidth_share >= matmul_share else "arithmetic"
