"""How the cost of a model reads: names of its figures and what bounds it, the same on the page and in the terminal."""

from __future__ import annotations

from birdbone.evaluate.cost import CostReport
from birdbone.evaluate.cost.results import CostRatio, PhaseBound

_LABELS = {
    "time_to_first_token": "Time to first token",
    "prefill_rate": "Prefill rate",
    "decode_rate": "Decode rate",
    "decode_cpu_time": "CPU time of decoding",
    "decode_energy": "Energy of decoding",
    "load_time": "Load time",
    "peak_memory": "Peak memory of the process",
    "model_memory": "Peak memory of the model",
    "load_peak_memory": "Peak memory while loading",
    "gpu_peak_memory": "Peak memory on the GPU",
    "size": "Size of the files",
    "bits_per_weight": "Bits a weight",
    "num_weights": "Weights",
    "flops_per_token": "Arithmetic of a decoded token",
    "prompt_flops": "Arithmetic of a prompt",
    "bytes_per_token": "Weights read a token",
    "cache_bytes_per_token": "Cache read a token",
    "memory_bandwidth": "Memory bandwidth of the machine",
    "matmul_rate": "Matrix products of the machine",
    "decode_intensity": "Arithmetic a byte, decoding",
    "decode_bandwidth_share": "Bandwidth used, decoding",
    "decode_matmul_share": "Arithmetic used, decoding",
    "prefill_intensity": "Arithmetic a byte, prefill",
    "prefill_bandwidth_share": "Bandwidth used, prefill",
    "prefill_matmul_share": "Arithmetic used, prefill",
    "operators": "Time by operator",
}


def label_words(name: str) -> str:
    """Return the name of a figure for people, such as `Prefill rate, 128 tokens`."""
    kind, _, length = name.partition(".")
    label = _LABELS.get(kind, kind)
    return f"{label}, {length} tokens" if length else label


def setting_words(report: CostReport) -> str:
    """Return what ran the model, such as `torch in float32 on the CPU, 2 threads`."""
    engine = f"{report.engine} in {report.dtype}" if report.dtype else report.engine
    threads = f"{report.num_threads} thread{'s' if report.num_threads != 1 else ''}"
    return f"{engine} on the {'GPU' if report.device == 'cuda' else 'CPU'}, {threads}"


def bound_words(bound: PhaseBound) -> str:
    """Return in a sentence what holds a phase back."""
    phase = "Decoding" if bound.phase == "decode" else f"The {bound.phase}"
    reads, computes = f"{100 * bound.bandwidth_share:.0f} %", f"{100 * bound.matmul_share:.0f} %"
    reaches = f"{reads} of the memory bandwidth and {computes} of the matrix products that the probe reached"
    match bound.bound:
        case "memory":
            return f"{phase} is bounded by memory: it uses {reaches}."
        case "arithmetic":
            return f"{phase} is bounded by arithmetic: it uses {reaches}."
        case "neither":
            return (
                f"{phase} is bounded by neither memory nor arithmetic: it uses {reaches}. The rest is calls or waiting."
            )


def ratio_words(row: CostRatio) -> str:
    """Return a ratio with its interval, such as `× 1.62 [1.58, 1.66]`."""
    interval = "" if row.low is None or row.high is None else f" [{row.low:.3f}, {row.high:.3f}]"
    return f"× {row.ratio:.3f}{interval}"
