"""A machine as plans need it: what it is, how fast its memory is, what may slow it; with a digest that stays."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from birdbone.core import digest_json
from birdbone.watch.bandwidth import Bandwidth, measure_bandwidth
from birdbone.watch.power import Power, read_power
from birdbone.watch.resources import Hardware, describe_hardware

_GIBIBYTE = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareProfile:
    """What decides how fast a model runs here."""

    hardware: Hardware
    bandwidth: Bandwidth | None
    """None where it was not measured."""
    power: Power

    @property
    def digest(self) -> str:
        """Name of the machine under which timings are kept.

        It holds what the machine is, and nothing that is measured or changes by itself: bandwidth, heat, load, the
        versions of software. Memory counts in whole GiB, since systems report it a little differently each time.
        """
        hardware = self.hardware
        return digest_json(
            {
                "cpu": hardware.cpu_model,
                "cores": hardware.num_available_cores,
                "isa": sorted(hardware.isa),
                "gpus": list(hardware.gpus),
                "memory_gibibytes": round(hardware.memory_bytes / _GIBIBYTE),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data."""
        return {
            **self.hardware.to_dict(),
            "memory_bandwidth": None if self.bandwidth is None else asdict(self.bandwidth),
            "power": self.power.to_dict(),
            "digest": self.digest,
        }


def profile_hardware(*, num_threads: int = 1, measures_bandwidth: bool = True) -> HardwareProfile:
    """Return the profile of this machine; with the bandwidth it takes about a second."""
    bandwidth = measure_bandwidth(num_threads=num_threads) if measures_bandwidth else None
    return HardwareProfile(hardware=describe_hardware(), bandwidth=bandwidth, power=read_power())
