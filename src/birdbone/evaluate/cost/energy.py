"""Reading the machine's own energy meters: RAPL of Linux for processors, NVML for NVIDIA's GPUs.

Both count since some moment in the past, so the difference of two readings is what was used between them, by all
programs together. RAPL counts in microjoules and begins again at 0 after `max_energy_range_uj`: a reading below the one
before it has wrapped round once. More than once within a turn does not happen (a processor of 300 W takes minutes).
Most systems let only root read RAPL, since it gives away what others compute (Lipp et al. 2021, PLATYPUS).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
"""Where Linux keeps RAPL."""

_COUNTED = ("package", "dram")  # `core` and `uncore` are within the package, and `psys` holds all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One counter of energy."""

    name: str
    read: Callable[[], int]
    """Units since some moment."""
    wraps_at: int | None
    """The highest reading, after which it begins again; None for one that does not."""
    joules_per_unit: float

    def joules_between(self, before: int, after: int) -> float:
        """Return the energy between two readings, which lie less than one round apart."""
        units = after - before
        if units < 0 and self.wraps_at is not None:
            units += self.wraps_at
        return units * self.joules_per_unit


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyMeters:
    """All meters of a machine that may be read; `reason` says why there is none."""

    meters: tuple[Meter, ...]
    reason: str

    @property
    def names(self) -> str:
        """The meters in words."""
        return ", ".join(meter.name for meter in self.meters)

    def read(self) -> tuple[int, ...]:
        """Return a reading of each meter."""
        return tuple(meter.read() for meter in self.meters)

    def joules_between(self, before: tuple[int, ...], after: tuple[int, ...]) -> float | None:
        """Return the energy of all meters between two readings; None where there is no meter."""
        if not self.meters:
            return None
        triples = zip(self.meters, before, after, strict=True)
        return sum(meter.joules_between(earlier, later) for meter, earlier, later in triples)


def find_meters(folder: Path = POWERCAP, *, has_gpu: bool = False) -> EnergyMeters:
    """Return what this machine tells of its energy.

    Args:
        folder: where Linux keeps RAPL.
        has_gpu: the model is on one; an idle GPU is no part of what a model on the processor uses.
    """
    rapl, is_locked = rapl_meters(folder)
    meters = (*rapl, *(nvml_meters() if has_gpu else ()))
    if meters:
        return EnergyMeters(meters=meters, reason="")
    reason = "the machine's energy counter may be read by root only" if is_locked else "the machine does not tell"
    return EnergyMeters(meters=(), reason=reason)


def rapl_meters(folder: Path) -> tuple[tuple[Meter, ...], bool]:
    """Return the meters of processor packages and their memory, and whether there are some that may not be read."""
    meters: list[Meter] = []
    is_locked = False
    for zone in sorted(folder.glob("intel-rapl:*")):  # AMD's are called so too
        try:
            name = (zone / "name").read_text().strip()
            if not name.startswith(_COUNTED):
                continue
            wraps_at = int((zone / "max_energy_range_uj").read_text())
            int((zone / "energy_uj").read_text())
        except PermissionError:
            is_locked = True
        except (OSError, ValueError):  # a zone without a counter
            continue
        else:
            read = _reader(zone / "energy_uj")
            meters.append(Meter(name=f"RAPL {name}", read=read, wraps_at=wraps_at, joules_per_unit=1e-6))
    return tuple(meters), is_locked


def nvml_meters() -> tuple[Meter, ...]:
    """Return the meters of NVIDIA's GPUs; none without the package `pynvml`, its driver, or a GPU that counts."""
    if importlib.util.find_spec("pynvml") is None:
        return ()
    nvml: Any = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        for handle in handles:
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError:
        return ()
    return tuple(_nvml_meter(nvml, handle, index) for index, handle in enumerate(handles))


def _nvml_meter(nvml: Any, handle: Any, index: int) -> Meter:
    def read() -> int:
        return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))

    return Meter(name=f"NVML GPU {index}", read=read, wraps_at=None, joules_per_unit=1e-3)


def _reader(path: Path) -> Callable[[], int]:
    return lambda: int(path.read_text())
