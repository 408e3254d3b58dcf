"""What mergekit makes of given tensors. Runs in an environment of its own, where mergekit is and Birdbone is not.

Run: `python mergekit_oracle.py INPUT.npz OUTPUT.npz [--num-threads N] [--repeats R]`. `INPUT.npz` holds the arrays
and, under `cases`, JSON: a list of cases with `name`, `method`, `inputs` (names of arrays; uint16 holds bfloat16),
`has_base` (whether the first input is the base), `parameters` as mergekit knows them, and `bits`: names of uint32
arrays that take the place of mergekit's random numbers, one a random draw. `OUTPUT.npz` gets one merged array a case,
worked out in float32 and rounded to the inputs' dtype. Prints JSON: versions, and each case's seconds (wall and CPU).
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from mergekit import merge_methods
from mergekit.merge_methods.generalized_task_arithmetic import ConsensusMethod, GeneralizedTaskArithmeticMerge
from mergekit.sparsify import SparsificationMethod

TIES_BY_COUNT = GeneralizedTaskArithmeticMerge(
    consensus_method=ConsensusMethod.count,
    sparsification_method=SparsificationMethod.magnitude,
    default_normalize=True,
    default_rescale=False,
    method_name="ties_by_count",
    method_pretty_name=None,
    method_reference_url=None,
)


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    arrays = np.load(settings.input)
    cases = json.loads(str(arrays["cases"]))
    results, seconds = {}, []
    for case in cases:
        turns = [_timed(case, arrays) for _ in range(settings.repeats)]
        results[case["name"]] = turns[-1][0]
        seconds.append({"name": case["name"], "wall": [turn[1] for turn in turns], "cpu": [turn[2] for turn in turns]})
    np.savez(settings.output, **results)
    print(json.dumps({"mergekit": version("mergekit"), "torch": torch.__version__, "seconds": seconds}))


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    return parser.parse_args()


def _timed(case: dict, arrays: dict) -> tuple[np.ndarray, float, float]:
    tensors = [_tensor(arrays[name]) for name in case["inputs"]]
    bits = [arrays[name] for name in case["bits"]]
    if bits:
        torch.bernoulli = _drawing(bits, case)
    wall, cpu = time.perf_counter(), time.process_time()
    with torch.no_grad():
        merged = merge_methods.merge_tensors(
            tensors,
            TIES_BY_COUNT if case["method"] == "ties_by_count" else case["method"],
            parameters=case["parameters"],
            base_index=0 if case["has_base"] else None,
            dtype=torch.float32,
            out_dtype=tensors[0].dtype,
        )
    taken = time.perf_counter() - wall, time.process_time() - cpu
    return _array(merged), *taken


def _drawing(bits: list, case: dict):
    """Return a stand-in for `torch.bernoulli` that takes the next array of bits."""
    waiting = iter(bits)

    def draw(chance: torch.Tensor) -> torch.Tensor:
        drawn = torch.from_numpy(next(waiting).astype(np.int64)).reshape(chance.shape)
        if case["method"].startswith("della"):
            return ((drawn >> 8).to(torch.float32) < chance * 2.0**24).to(chance.dtype)
        return (drawn.double() < torch.round(chance.double() * 2.0**32)).to(chance.dtype)

    return draw


def _tensor(array: np.ndarray) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if array.dtype == np.uint16 else tensor


def _array(tensor: torch.Tensor) -> np.ndarray:
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


if __name__ == "__main__":
    main()
