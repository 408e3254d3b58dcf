"""Small limits, and a skip where the machine cannot hold foreign code."""

from __future__ import annotations

import pytest

from birdbone.evaluate.sandbox import Limits, describe_layers


@pytest.fixture(scope="session")
def sandbox() -> None:
    layers = describe_layers()
    if not layers.is_enough:
        pytest.skip(f"no sandbox here: {layers.missing}")


@pytest.fixture(scope="session")
def limits() -> Limits:
    """Wall time is long where it does not matter, for machines that are busy."""
    return Limits(wall_seconds=30, cpu_seconds=3, memory_bytes=128 * 2**20, num_processes=6, output_bytes=16_384)
