"""What this machine is, what it has to spare, and what we are using of it.

Containers are taken at their word: cores are those that affinity and the cgroup's CPU quota leave us, memory what the
cgroup's limit leaves us.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from birdbone.watch.metrics import MetricSink, NullSink

_CGROUP = Path("/sys/fs/cgroup")
_CPUINFO = Path("/proc/cpuinfo")
_OWN_STATUS = Path("/proc/self/status")
_FLAGS_THAT_MATTER = {
    "avx2": "avx2",
    "avx512f": "avx512",
    "avx512_bf16": "avx512_bf16",
    "amx_bf16": "amx_bf16",
    "asimd": "neon",
    "bf16": "arm_bf16",
}
_LOAD_SECONDS = 0.5
_FAST_BF16 = frozenset(("avx512_bf16", "amx_bf16", "arm_bf16"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """A machine, as far as it decides speed. None and empty mean that the system does not say."""

    cpu_model: str
    num_physical_cores: int | None
    num_logical_cores: int
    num_available_cores: int
    isa: tuple[str, ...]
    memory_bytes: int
    gpus: tuple[str, ...]
    system: str
    python: str

    @property
    def has_fast_bf16(self) -> bool:
        """Whether the CPU multiplies bfloat16 natively; elsewhere float32 is several times faster."""
        return not _FAST_BF16.isdisjoint(self.isa)

    def to_dict(self) -> dict[str, Any]:
        """Return the description as plain JSON data."""
        return {**asdict(self), "isa": list(self.isa), "gpus": list(self.gpus)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSample:
    """One look at the machine and at this process, children included where the name says `tree`.

    `cpu_percent` counts one core as 100 and needs an earlier sample to compare with; without one it is None.
    `lifetime_peak_rss_bytes` is the operating system's own figure for this process since it started.
    """

    at_seconds: float
    rss_bytes: int
    tree_rss_bytes: int
    lifetime_peak_rss_bytes: int
    cpu_seconds: float
    cpu_percent: float | None
    load: float | None
    memory_available_bytes: int
    disk_free_bytes: int


def choose_num_threads(*, cores: int | None = None, load: float | None = None) -> int:
    """Return how many compute threads leave room for what already runs: `max(1, cores - load)`, load rounded.

    A thread too many costs far more than it gives: on a busy machine of two cores, two threads that wait for each other
    were seen to be ten times slower than one.

    Args:
        cores: cores that we may use; None asks the system (affinity and CPU quota).
        load: cores' worth of work that others do on those cores; None looks at the CPU clocks for half a second, and
            takes off what fits on cores that we may not use.
    """
    available = count_available_cores() if cores is None else cores
    busy = _competing_load(available) if load is None else load
    return max(1, available - round(busy))


def count_available_cores() -> int:
    """Return the cores that this process may use: its affinity, cut to the CPU quota of its container. At least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cpu_quota()
    return max(1, allowed if quota is None else min(allowed, math.floor(quota)))


def describe_hardware() -> Hardware:
    """Return what this machine is. Asks `nvidia-smi` for GPUs where it is installed; needs no torch."""
    return Hardware(
        cpu_model=_cpu_model(),
        num_physical_cores=psutil.cpu_count(logical=False),
        num_logical_cores=os.cpu_count() or 1,
        num_available_cores=count_available_cores(),
        isa=_isa(),
        memory_bytes=min(psutil.virtual_memory().total, _cgroup_memory_limit() or sys.maxsize),
        gpus=_gpu_names(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
    )


def sample_resources(*, path: Path | None = None, since: ResourceSample | None = None) -> ResourceSample:
    """Return how much of the machine is in use now.

    Args:
        path: the disk to ask about; the current folder's unless given.
        since: an earlier sample; `cpu_percent` is the mean since then.
    """
    now, cpu_seconds = time.monotonic(), _cpu_seconds()
    own = psutil.Process().memory_info().rss
    return ResourceSample(
        at_seconds=now,
        rss_bytes=own,
        tree_rss_bytes=own + _children_rss(),
        lifetime_peak_rss_bytes=max(own, _lifetime_peak_rss()),
        cpu_seconds=cpu_seconds,
        cpu_percent=None if since is None else _percent(cpu_seconds - since.cpu_seconds, now - since.at_seconds),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        memory_available_bytes=_memory_available(),
        disk_free_bytes=shutil.disk_usage(path or Path.cwd()).free,
    )


class ResourceMonitor:
    """Samples the machine once a second, from a thread of its own, while a `with` block runs.

    ```python
    with ResourceMonitor(sink) as monitor:
        train()
    print(monitor.peak_rss_bytes)
    ```

    `peak_rss_bytes` is the highest *sampled* memory of this process and its children: a spike shorter than the
    interval can escape it, and pages that processes share count for each. A step of the metrics is whole seconds since
    the start.
    """

    def __init__(
        self, sink: MetricSink | None = None, *, path: Path | None = None, interval_seconds: float = 1.0
    ) -> None:
        self.samples_taken = 0
        self.peak_rss_bytes = 0
        self._sink = sink or NullSink()
        self._path = path
        self._interval_seconds = interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="resource-monitor", daemon=True)
        self._error: Exception | None = None
        self._last: ResourceSample | None = None
        self._started_at = 0.0

    def __enter__(self) -> Self:
        self._started_at = time.monotonic()
        self._take()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error
        if self._error is None:
            self._take()

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            try:
                self._take()
            except Exception as error:  # noqa: BLE001 - the edge of a thread: raised again where the block ends
                self._error = error
                return

    def _take(self) -> None:
        sample = sample_resources(path=self._path, since=self._last)
        self._last = sample
        self.samples_taken += 1
        self.peak_rss_bytes = max(self.peak_rss_bytes, sample.tree_rss_bytes)
        step = int(sample.at_seconds - self._started_at)
        for name, value, unit in _as_metrics(sample):
            self._sink.log(name, value, step=step, unit=unit)


def _as_metrics(sample: ResourceSample) -> list[tuple[str, float, str]]:
    figures = [
        ("resources.rss", sample.tree_rss_bytes, "byte"),
        ("resources.cpu", sample.cpu_percent, "%"),
        ("resources.load", sample.load, "1"),
        ("resources.memory_available", sample.memory_available_bytes, "byte"),
        ("resources.disk_free", sample.disk_free_bytes, "byte"),
    ]
    return [(name, value, unit) for name, value, unit in figures if value is not None]


def _competing_load(available: int) -> float:
    """Return how many of our cores others keep busy now, by the CPU clocks over a moment.

    Not the load average: that of the last minute still holds what we did ourselves a moment ago, such as an install.
    """
    before, own_before = psutil.cpu_times(), time.process_time()
    time.sleep(_LOAD_SECONDS)
    after, own_after = psutil.cpu_times(), time.process_time()
    busy_seconds = (_busy_seconds(after) - _busy_seconds(before)) - (own_after - own_before)
    elsewhere = max(0, (os.cpu_count() or available) - available)
    return max(0.0, busy_seconds / _LOAD_SECONDS - elsewhere)


def _busy_seconds(times: Any) -> float:
    """Return the seconds that all cores together worked since the machine started; guests count within user time."""
    return float(times.user + times.system + getattr(times, "nice", 0.0) + getattr(times, "steal", 0.0))


def _cgroup_cpu_quota() -> float | None:
    quota = _first_line(_CGROUP / "cpu.max").split()
    if len(quota) != 2:  # version 1 of cgroups keeps the two numbers apart
        quota = [_first_line(_CGROUP / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    if not all(number.isdigit() for number in quota):  # `max`, `-1` or nothing at all
        return None
    return int(quota[0]) / int(quota[1])


def _cgroup_memory_limit() -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _first_line(_CGROUP / name)
        if limit.isdigit():
            return int(limit)
    return None


def _memory_available() -> int:
    available: int = psutil.virtual_memory().available
    limit, used = _cgroup_memory_limit(), _first_line(_CGROUP / "memory.current")
    return available if limit is None or not used.isdigit() else max(0, min(available, limit - int(used)))


def _first_line(path: Path) -> str:
    return _text_of(path).partition("\n")[0].strip()


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cpu_model() -> str:
    names = _cpuinfo_values("model name")
    if names:
        return names[0]
    if sys.platform == "darwin":
        return _output_of("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    return platform.processor() or platform.machine()


def _isa() -> tuple[str, ...]:
    words = {word for key in ("flags", "Features") for line in _cpuinfo_values(key)[:1] for word in line.split()}
    if sys.platform == "darwin" and platform.machine() == "arm64":
        words.add("asimd")  # every Apple core has it
    return tuple(name for flag, name in _FLAGS_THAT_MATTER.items() if flag in words)


def _cpuinfo_values(key: str) -> list[str]:
    return re.findall(rf"^{key}\s*:\s*(.+?)\s*$", _text_of(_CPUINFO), flags=re.MULTILINE)


def _gpu_names() -> tuple[str, ...]:
    lines = _output_of("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader").splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def _output_of(program: str, *arguments: str) -> str:
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        result = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()


def _cpu_seconds() -> float:
    times = os.times()
    ended_children = times.children_user + times.children_system
    return times.user + times.system + ended_children + _running_children_cpu_seconds()


def _running_children_cpu_seconds() -> float:
    seconds = 0.0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            times = child.cpu_times()
            seconds += times.user + times.system
    return seconds


def _children_rss() -> int:
    size_bytes = 0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            size_bytes += child.memory_info().rss
    return size_bytes


def _percent(cpu_seconds: float, wall_seconds: float) -> float | None:
    return 100 * max(0.0, cpu_seconds) / wall_seconds if wall_seconds > 0 else None


def _lifetime_peak_rss() -> int:
    """Return the peak since this program began.

    Not `getrusage` where Linux says it better: that of a child holds what its parent had when it started the child.
    """
    found = re.search(r"^VmHWM:\s*(\d+) kB$", _text_of(_OWN_STATUS), flags=re.MULTILINE)
    if found is not None:
        return 1024 * int(found.group(1))
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
