"""The probe of the machine, as small as it gets."""

from __future__ import annotations

import torch

from birdbone.evaluate.cost.probe import probe_machine


def test_both_rates_are_there_with_what_was_done() -> None:
    found = probe_machine(dtype=torch.float32, device="cpu", buffer_bytes=2**20, matmul_size=64)
    assert found.bytes_per_second > 0
    assert found.flops_per_second > 0
    assert found.bandwidth_method == f"best of 5 reads of 1 MiB, {torch.get_num_threads()} thread(s)"
    assert found.matmul_method.startswith("best of 5 products of two 64 x 64 matrices in float32")
