"""Kinds of machines that a model is made for, as plain data. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from birdbone.compress.config import BlockType, ProfileName


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """What a kind of machine can hold and likes.

    Attributes:
        memory_bytes: that the file may take together with the cache of keys and values; None is no limit.
        num_threads: that the model runs on, where the machine has so many to spare.
        types: of tensors that its engine reads fast.
        file_share: bytes of the file that are aimed at where no budget is named, as a share of the F16 file.
    """

    memory_bytes: int | None
    num_threads: int
    types: tuple[BlockType, ...]
    file_share: float


PROFILES: Mapping[ProfileName, DeviceProfile] = {
    "edge": DeviceProfile(memory_bytes=256 * 2**20, num_threads=1, types=("q4_0", "iq4_nl", "q8_0"), file_share=0.32),
    "mobile": DeviceProfile(memory_bytes=2 * 2**30, num_threads=2, types=("q4_0", "iq4_nl", "q8_0"), file_share=0.35),
    "laptop": DeviceProfile(
        memory_bytes=8 * 2**30,
        num_threads=4,
        types=("q4_0", "iq4_nl", "q4_1", "q5_0", "q5_1", "q8_0"),
        file_share=0.4,
    ),
    "server": DeviceProfile(
        memory_bytes=None,
        num_threads=16,
        types=("q4_0", "iq4_nl", "q4_1", "q5_0", "q5_1", "q8_0", "f16"),
        file_share=1.0,
    ),
}
"""ARM and small x86 cores have repacked kernels for `q4_0`, `iq4_nl` and `q8_0`; the other types take them longer."""
