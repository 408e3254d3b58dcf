"""Threads leave room for others, and the monitor sees memory come and go."""

import contextlib
import json
import mmap
import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.watch import (
    MemorySink,
    ResourceMonitor,
    choose_num_threads,
    count_available_cores,
    describe_hardware,
    sample_resources,
)

MEGABYTE = 1 << 20


@contextlib.contextmanager
def fresh_memory(size_bytes):
    """Hold pages of this process's own that are new to it: what malloc gives may be a freed block, resident already."""
    with mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as pages:
        for place in range(0, size_bytes, mmap.PAGESIZE):
            pages[place] = 1
        yield


@given(cores=st.integers(1, 512), load=st.floats(0, 1000))
def test_threads_are_at_least_one_and_never_more_than_the_cores(cores, load):
    assert 1 <= choose_num_threads(cores=cores, load=load) <= cores


@given(cores=st.integers(1, 64), load=st.floats(0, 64), more=st.floats(0, 64))
def test_more_load_never_gives_more_threads(cores, load, more):
    assert choose_num_threads(cores=cores, load=load + more) <= choose_num_threads(cores=cores, load=load)


@pytest.mark.parametrize(
    ("cores", "load", "threads"), [(2, 0.0, 2), (2, 0.4, 2), (2, 0.9, 1), (2, 7.0, 1), (16, 3.6, 12), (1, 0.0, 1)]
)
def test_threads_are_the_cores_less_the_load(cores, load, threads):
    assert choose_num_threads(cores=cores, load=load) == threads


def test_the_system_is_asked_when_nothing_is_given():
    assert 1 <= choose_num_threads() <= count_available_cores() <= os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_a_process_bound_to_one_core_counts_one():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from birdbone.watch.resources import count_available_cores; print(count_available_cores())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "1"


def test_the_hardware_is_described_in_plain_data():
    hardware = describe_hardware()
    assert hardware.cpu_model
    assert hardware.num_available_cores <= hardware.num_logical_cores
    assert hardware.memory_bytes > MEGABYTE
    assert json.loads(json.dumps(hardware.to_dict()))["isa"] == list(hardware.isa)
    assert hardware.has_fast_bf16 == bool({"amx_bf16", "avx512_bf16", "arm_bf16"} & set(hardware.isa))


def test_the_first_sample_has_no_cpu_share_because_nothing_was_measured_yet():
    first = sample_resources()
    assert first.cpu_percent is None
    second = sample_resources(since=first)
    assert second.cpu_percent is not None
    assert second.cpu_percent >= 0


def test_a_sample_has_the_memory_of_this_process_and_the_disk_that_was_asked_for(tmp_path):
    sample = sample_resources(path=tmp_path)
    assert 0 < sample.rss_bytes <= sample.tree_rss_bytes
    assert sample.lifetime_peak_rss_bytes >= sample.rss_bytes
    assert sample.disk_free_bytes > 0
    assert sample.memory_available_bytes > 0


def test_a_monitor_sees_memory_that_is_held_while_it_samples():
    with ResourceMonitor(interval_seconds=0.01) as monitor:
        before = monitor.peak_rss_bytes
        with fresh_memory(64 * MEGABYTE):
            wait_for_samples(monitor, 3)
    assert monitor.peak_rss_bytes >= before + 60 * MEGABYTE


def test_a_monitor_counts_the_memory_of_children():
    code = f"held = b'1' * {64 * MEGABYTE}; print('ready', flush=True); input()"
    with ResourceMonitor(interval_seconds=0.01) as monitor:
        before = monitor.peak_rss_bytes
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.stdout.readline()
        wait_for_samples(monitor, 3)
        child.communicate(b"\n")
    assert monitor.peak_rss_bytes >= before + 60 * MEGABYTE


def test_a_monitor_leaves_no_thread_behind_and_logs_what_it_saw():
    sink = MemorySink()
    with ResourceMonitor(sink, interval_seconds=0.01) as monitor:
        wait_for_samples(monitor, 2)
    assert not [thread for thread in threading.enumerate() if thread.name == "resource-monitor"]
    assert {"resources.rss", "resources.cpu", "resources.disk_free"} <= {row.name for row in sink.rows}
    assert len(sink.values("resources.rss")) == monitor.samples_taken
    assert len(sink.values("resources.cpu")) == monitor.samples_taken - 1


def test_a_sink_that_fails_is_reported_where_the_block_ends():
    class FullSink:
        def log(self, name, value, *, step, unit=""):
            if threading.current_thread().name == "resource-monitor":
                failed.set()
                raise OSError("disk full")

    failed = threading.Event()
    with pytest.raises(OSError, match="disk full"), ResourceMonitor(FullSink(), interval_seconds=0.01):
        assert failed.wait(30)


def wait_for_samples(monitor: ResourceMonitor, number: int) -> None:
    enough = threading.Event()
    target = monitor.samples_taken + number
    for _ in range(3000):
        if monitor.samples_taken >= target:
            return
        enough.wait(0.01)
    pytest.fail("the monitor took no sample")


def test_the_peak_of_a_child_is_its_own_and_not_what_its_parent_held():
    with fresh_memory(256 * MEGABYTE):
        code = "from birdbone.watch import sample_resources; print(sample_resources().lifetime_peak_rss_bytes)"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert MEGABYTE < int(told) < 256 * MEGABYTE
