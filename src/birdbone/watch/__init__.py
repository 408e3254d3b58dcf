"""Watching: what a run measures as it goes, and what it uses of the machine.

Owns: the sinks of metrics and their table, the number of threads, the description of the hardware with its memory's
bandwidth, battery and heat, the monitor of memory, CPU, load and disk.
Needs: `core`, SQLAlchemy, psutil, NumPy. No torch; `wandb` only where a `WandbSink` is made. What measures the machine
(`hardware_profile`, `bandwidth`, `power`) is imported by its own name.
"""

from birdbone.watch.errors import MissingExtraError, WatchError
from birdbone.watch.metrics import (
    FanOutSink,
    MemorySink,
    Metric,
    MetricSink,
    NullSink,
    StoreSink,
    WandbSink,
    last_metric_id,
    read_metrics,
)
from birdbone.watch.resources import (
    Hardware,
    ResourceMonitor,
    ResourceSample,
    choose_num_threads,
    count_available_cores,
    describe_hardware,
    sample_resources,
)

__all__ = [
    "FanOutSink",
    "Hardware",
    "MemorySink",
    "Metric",
    "MetricSink",
    "MissingExtraError",
    "NullSink",
    "ResourceMonitor",
    "ResourceSample",
    "StoreSink",
    "WandbSink",
    "WatchError",
    "choose_num_threads",
    "count_available_cores",
    "describe_hardware",
    "last_metric_id",
    "read_metrics",
    "sample_resources",
]
