"""What may slow this machine down: a battery, and heat. Each figure is None where the system does not tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

_CORES = Path("/sys/devices/system/cpu")
_ZONES = Path("/sys/class/thermal")
_SLOWING_TRIPS = ("passive", "hot", "critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Battery and heat, as far as the system tells."""

    battery_percent: float | None
    """How full the battery is; None without one."""
    is_plugged_in: bool | None
    """Whether the machine runs from the mains; None without a battery."""
    hottest_celsius: float | None
    """The warmest sensor of the processor."""
    throttle_celsius: float | None
    """Where the system begins to slow the processor down: the lowest limit of its thermal zones."""
    num_throttled: int | None
    """How often cores were slowed by heat since the machine started, all cores together."""
    capped_frequency_share: float | None
    """The frequency that the system allows now, as a share of the processor's highest; 1 is no cap."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before anything is timed, in sentences."""
        found = []
        if self.is_plugged_in is False:
            percent = "" if self.battery_percent is None else f" ({self.battery_percent:.0f} %)"
            found.append(f"The machine runs on its battery{percent}: times may be longer than on the mains.")
        if self.capped_frequency_share is not None and self.capped_frequency_share < 1:
            found.append(f"The system holds the processor at {self.capped_frequency_share:.0%} of its frequency.")
        if self.hottest_celsius is not None and self.throttle_celsius is not None:
            room = self.throttle_celsius - self.hottest_celsius
            if room < 5:
                found.append(f"The processor is {room:.0f} degrees below where it is slowed down.")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON data."""
        return asdict(self)


def read_power() -> Power:
    """Return battery and heat as they are now. Reads a few small files; asks for no rights."""
    battery = _battery()
    return Power(
        battery_percent=None if battery is None else float(battery.percent),
        is_plugged_in=None if battery is None else battery.power_plugged,
        hottest_celsius=_hottest(),
        throttle_celsius=min(_slowing_trips(), default=None),
        num_throttled=_sum_of(_CORES.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")),
        capped_frequency_share=_frequency_share(),
    )


def _battery() -> Any:
    ask = getattr(psutil, "sensors_battery", None)  # absent on some systems
    return None if ask is None else ask()


def _hottest() -> float | None:
    ask = getattr(psutil, "sensors_temperatures", None)
    sensors = {} if ask is None else ask()
    found = [each.current for name, group in sensors.items() if _is_processor(name) for each in group if each.current]
    return max(found, default=None)


def _is_processor(sensor: str) -> bool:
    return any(word in sensor.lower() for word in ("core", "cpu", "k10temp", "zenpower", "soc"))


def _slowing_trips() -> Iterator[float]:
    for kind in _ZONES.glob("thermal_zone*/trip_point_*_type"):
        if _text(kind) in _SLOWING_TRIPS:
            value = _number(kind.with_name(kind.name.replace("_type", "_temp")))
            if value:
                yield value / 1000


def _frequency_share() -> float | None:
    folder = _CORES / "cpu0/cpufreq"
    allowed, most = _number(folder / "scaling_max_freq"), _number(folder / "cpuinfo_max_freq")
    return None if not allowed or not most else allowed / most


def _sum_of(paths: Iterator[Path]) -> int | None:
    counts = [count for path in paths if (count := _number(path)) is not None]
    return sum(counts) if counts else None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
