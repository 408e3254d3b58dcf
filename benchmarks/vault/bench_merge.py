"""Parameters merged per second by TIES, DARE and SLERP, and how far the result is from mergekit's.

Question: does merging two models over a base reach 50 M parameters per second on two cores, and is it mergekit's
result within the tolerance of float32?
Method: tensors of the shapes of a 135 M decoder (SmolLM2-135M, tied embedding), drawn from a seed: a base N(0, 0.02²),
two models at N(0, 0.002²) from it. Every tensor is merged by each method, on 1 and on 2 threads, in turns; a turn's
seconds are those of all tensors, inputs and outputs in memory. Wall clock and CPU seconds; medians, with the extremes
as their range. Parameters are those of the merged model (not times the number of models).
Difference: the largest |ours - mergekit's|, and the largest of it relative to the greatest magnitude that the element
has in the inputs. For DARE both take the same random bits, so the whole result can be compared.
Peer: mergekit 0.1.5 (LGPL, which is why it is only run, never imported), `merge_tensors` with `dtype=float32`, in a
virtual environment that this script makes, in the same run, on the same tensors and threads. Its largest tensor and
one layer are timed; `--peer-tensors layer` times one layer only, `all` everything.

Run: `python benchmarks/vault/bench_merge.py [--repeats 5] [--no-peer] [--peer-python PATH] [--output PATH]`.
`--write-reference` writes the small tensors with mergekit's results that the tests compare with. Prints one JSON row.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from birdbone.core import digest_json
from birdbone.vault.merging.keeping import draw_bits
from birdbone.vault.merging.maths import merge_dare, merge_slerp, merge_ties

Array = NDArray[Any]
HERE = Path(__file__).resolve().parent
REFERENCE = HERE.parents[1] / "tests" / "vault" / "merging" / "reference" / "mergekit-0.1.5.npz"
NUM_LAYERS, WIDTH, KEY_WIDTH, HIDDEN, VOCABULARY = 30, 576, 192, 1536, 49152
LAYER = {
    "q_proj": (WIDTH, WIDTH), "k_proj": (KEY_WIDTH, WIDTH), "v_proj": (KEY_WIDTH, WIDTH), "o_proj": (WIDTH, WIDTH),
    "gate_proj": (HIDDEN, WIDTH), "up_proj": (HIDDEN, WIDTH), "down_proj": (WIDTH, HIDDEN),
    "input_layernorm": (WIDTH,), "post_attention_layernorm": (WIDTH,),
}  # fmt: skip
METHODS = ("ties", "dare_ties", "slerp")
SETTINGS: dict[str, dict[str, Any]] = {
    "ties": {"weight": [0.5, 0.5], "density": [0.5, 0.5]},
    "dare_ties": {"weight": [0.5, 0.5], "density": [0.5, 0.5]},
    "slerp": {"t": 0.3},
}


def main() -> None:
    settings = _parse_settings()
    if settings.write_reference:
        _write_reference(settings)
        return
    row = _measure(settings)
    line = json.dumps(row, ensure_ascii=False)
    if settings.output is not None:
        settings.output.write_text(line + "\n", encoding="utf-8")
    print(line)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed of merging, beside mergekit, and the difference from it.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-layers", type=int, default=NUM_LAYERS)
    parser.add_argument("--peer-tensors", choices=("layer", "sample", "all"), default="sample")
    parser.add_argument("--peer-repeats", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--peer-python", type=Path, default=None, help="a Python that has mergekit 0.1.5")
    parser.add_argument("--write-reference", action="store_true")
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


def _measure(settings: argparse.Namespace) -> dict[str, Any]:
    names = _shapes(settings.num_layers)
    num_parameters = sum(math.prod(shape) for shape in names.values())
    row = {**_provenance(settings), "num_parameters": num_parameters, "load_before": round(os.getloadavg()[0], 2)}
    with ThreadPoolExecutor(2) as pool:
        for method in METHODS:
            for num_threads in (1, 2):
                turns = _turns(method, names, settings, pool if num_threads == 2 else None)
                row |= _rates(f"{method}_{num_threads}_threads", turns, num_parameters)
    if not settings.no_peer:
        row |= _beside_peer(names, settings)
    return {**row, "load_after": round(os.getloadavg()[0], 2)}


def _shapes(num_layers: int) -> dict[str, tuple[int, ...]]:
    layers = {f"layers.{layer}.{name}": shape for layer in range(num_layers) for name, shape in LAYER.items()}
    return {"embed_tokens": (VOCABULARY, WIDTH), **layers, "norm": (WIDTH,)}


def _turns(
    method: str, names: Mapping[str, tuple[int, ...]], settings: argparse.Namespace, pool: ThreadPoolExecutor | None
) -> list[tuple[float, float]]:
    """Return wall and CPU seconds of each repeat over all tensors; one layer's tensors stand for all layers'."""
    totals = [[0.0, 0.0] for _ in range(settings.repeats)]
    for name, shape in names.items():
        tensors = _tensors(name, shape, seed=settings.seed)
        _merge(method, tensors, pool)
        for total in totals:
            wall, cpu = time.perf_counter(), time.process_time()
            _merge(method, tensors, pool)
            total[0] += time.perf_counter() - wall
            total[1] += time.process_time() - cpu
    return [(wall, cpu) for wall, cpu in totals]


def _tensors(name: str, shape: tuple[int, ...], *, seed: int) -> list[Array]:
    generator = np.random.default_rng([seed, *name.encode()])
    base = np.float32(0.02) * generator.standard_normal(shape, np.float32)
    return [base, *(base + np.float32(0.002) * generator.standard_normal(shape, np.float32) for _ in range(2))]


def _merge(method: str, tensors: Sequence[Array], pool: ThreadPoolExecutor | None) -> Array:
    base, *models = tensors
    if method == "slerp":
        return merge_slerp(*models, t=SETTINGS["slerp"]["t"], pool=pool)
    chosen: dict[str, Any] = {"weights": [0.5, 0.5], "densities": [0.5, 0.5], "pool": pool}
    if method == "ties":
        return merge_ties(base, models, **chosen)
    return merge_dare(base, models, generator=np.random.default_rng(1), **chosen)


def _rates(name: str, turns: Sequence[tuple[float, float]], num_parameters: int) -> dict[str, float]:
    return {
        **_spread(f"{name}_parameters_per_second", [num_parameters / wall for wall, _ in turns]),
        **_spread(f"{name}_parameters_per_cpu_second", [num_parameters / cpu for _, cpu in turns]),
        **_spread(f"{name}_wall_seconds", [wall for wall, _ in turns]),
        **_spread(f"{name}_cpu_seconds", [cpu for _, cpu in turns]),
    }


def _beside_peer(names: Mapping[str, tuple[int, ...]], settings: argparse.Namespace) -> dict[str, Any]:
    begin = {"layer": ("layers.0.",), "sample": ("embed", "layers.0."), "all": ("",)}[settings.peer_tensors]
    chosen = {name: shape for name, shape in names.items() if name.startswith(begin)}
    num_parameters = sum(math.prod(shape) for shape in chosen.values())
    row: dict[str, Any] = {"peer_num_parameters": num_parameters}
    with _peer_python(settings) as python:
        for method in METHODS:
            for num_threads in (1, 2):
                figures = _peer_turn(method, chosen, settings, python=python, num_threads=num_threads)
                turns = [(wall, cpu) for wall, cpu in zip(figures["wall"], figures["cpu"], strict=True)]
                row |= _rates(f"mergekit_{method}_{num_threads}_threads", turns, num_parameters)
            row[f"{method}_largest_difference"] = figures["absolute"]
            row[f"{method}_largest_relative_difference"] = figures["relative"]
            row[f"{method}_num_elements_beyond_1e_6"] = figures["beyond"]
            row |= {"mergekit": figures["mergekit"], "torch": figures["torch"]}
    return row


def _peer_turn(
    method: str, names: Mapping[str, tuple[int, ...]], settings: argparse.Namespace, *, python: Path, num_threads: int
) -> dict[str, Any]:
    """Return the peer's seconds, turn by turn, over the tensors, and the difference of ours from its results."""
    cases, tensors = [], {name: _tensors(name, shape, seed=settings.seed) for name, shape in names.items()}
    for name, arrays in tensors.items():
        bits = _bits(np.random.default_rng(1), arrays[0].size, 2) if method == "dare_ties" else []
        case = {"name": name, "method": method, "has_base": True, "parameters": SETTINGS[method]}
        cases.append((case, _used(method, arrays), bits))
    told, results = _ask_peer(cases, python=python, num_threads=num_threads, repeats=settings.peer_repeats)
    differences = [
        _difference(_merge(method, arrays, None), results[name], _used(method, arrays))
        for name, arrays in tensors.items()
    ]
    clocks = {clock: [row[clock] for row in told["seconds"]] for clock in ("wall", "cpu")}
    return {
        "absolute": max(row["absolute"] for row in differences),
        "relative": max(row["relative"] for row in differences),
        "beyond": sum(row["beyond"] for row in differences),
        **{clock: [sum(turn) for turn in zip(*rows, strict=True)] for clock, rows in clocks.items()},
        "mergekit": told["mergekit"],
        "torch": told["torch"],
    }


def _used(method: str, arrays: list[Array]) -> list[Array]:
    return arrays[1:] if method == "slerp" else arrays


def _difference(ours: Array, peer: Array, inputs: Sequence[Array]) -> dict[str, Any]:
    absolute = np.abs(ours.astype(np.float64) - peer)
    greatest = np.maximum.reduce([np.abs(array) for array in inputs])
    relative = np.divide(absolute, greatest, out=np.zeros_like(absolute), where=greatest > 0)
    return {
        "absolute": float(absolute.max()),
        "relative": float(relative.max()),
        "beyond": int(np.count_nonzero(relative > 1e-6)),
    }


def _bits(generator: np.random.Generator, num_elements: int, num_models: int) -> list[Array]:
    return [draw_bits(generator, num_elements) for _ in range(num_models)]


def _ask_peer(
    cases: Sequence[tuple[dict[str, Any], Sequence[Array], Sequence[Array]]],
    *,
    python: Path,
    num_threads: int = 1,
    repeats: int = 1,
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return what the peer prints, and its results by the cases' names."""
    arrays, described = _pack(cases)
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder, "input.npz"), Path(folder, "output.npz")
        np.savez(given, cases=json.dumps(described), **arrays)
        options = ["--num-threads", str(num_threads), "--repeats", str(repeats)]
        told = subprocess.run(
            [python, HERE / "mergekit_oracle.py", given, taken, *options], check=True, capture_output=True, text=True
        )
        with np.load(taken) as loaded:
            return json.loads(told.stdout.splitlines()[-1]), dict(loaded)


def _pack(
    cases: Sequence[tuple[dict[str, Any], Sequence[Array], Sequence[Array]]],
) -> tuple[dict[str, Array], list[dict[str, Any]]]:
    arrays: dict[str, Array] = {}
    described = []
    for case, inputs, bits in cases:
        keys = {sort: [f"{case['name']}/{sort}/{place}" for place in range(len(group))] for sort, group in
                (("inputs", inputs), ("bits", bits))}  # fmt: skip
        arrays |= dict(zip(keys["inputs"], inputs, strict=True)) | dict(zip(keys["bits"], bits, strict=True))
        described.append({**case, **keys})
    return arrays, described


@contextlib.contextmanager
def _peer_python(settings: argparse.Namespace) -> Iterator[Path]:
    """Give the Python of an environment with mergekit; made for the run unless one was given."""
    if settings.peer_python is not None:
        yield settings.peer_python
        return
    with tempfile.TemporaryDirectory(prefix="mergekit-") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        for wanted in ("torch==2.13.0", "mergekit==0.1.5"):
            subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True, stdout=sys.stderr)
        yield python


def _write_reference(settings: argparse.Namespace) -> None:
    """Write the small cases of `_reference_cases` with mergekit's results; the file says which version made it."""
    cases = list(_reference_cases(settings.seed))
    with _peer_python(settings) as python:
        told, results = _ask_peer(cases, python=python)
    arrays, described = _pack(cases)
    note = f"made by mergekit {told['mergekit']} with torch {told['torch']}, bench_merge.py --write-reference"
    outputs = {f"{name}/output": array for name, array in results.items()}
    REFERENCE.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(REFERENCE, note=note, cases=json.dumps(described), **arrays, **outputs)
    print(f"{REFERENCE.name}: {len(cases)} cases, {REFERENCE.stat().st_size} bytes, {note}", file=sys.stderr)


def _reference_cases(seed: int) -> Iterator[tuple[dict[str, Any], list[Array], list[Array]]]:
    generator = np.random.default_rng(seed)
    for dtype in ("float32", "bfloat16", "float16"):
        for method, has_base, num_models, parameters in _reference_settings():
            shape = (9, 7) if num_models == 2 else (5, 3, 4)
            inputs = _small_tensors(generator, shape, dtype, num_models + has_base, is_slerp=method == "slerp")
            seed_of_bits = int(generator.integers(1 << 31))
            is_random = method.startswith(("dare", "della"))
            bits = _bits(np.random.default_rng(seed_of_bits), inputs[0].size, num_models) if is_random else []
            name = f"{dtype}-{method}-{digest_json(parameters)[3:11]}"
            case = {"name": name, "method": method, "has_base": has_base or method == "slerp"}
            yield {**case, "parameters": parameters, "seed": seed_of_bits}, inputs, bits


def _reference_settings() -> Iterator[tuple[str, bool, int, dict[str, Any]]]:
    two, three = [0.5, 0.5], [0.6, 0.3, -0.4]
    yield "linear", False, 2, {"weight": [0.3, 0.7]}
    yield "linear", False, 3, {"weight": [0.5, 0.2, 0.6], "normalize": False}
    for t in (0.0, 0.3, 1.0):
        yield "slerp", False, 2, {"t": t}
    yield "task_arithmetic", True, 2, {"weight": two}
    yield "task_arithmetic", True, 3, {"weight": three, "normalize": True, "lambda": 0.8}
    for method in ("ties", "ties_by_count"):
        yield method, True, 2, {"weight": two, "density": 0.4}
        yield method, True, 2, {"weight": two, "density": [0.0, 1.0], "lambda": 1.5}
        yield method, True, 3, {"weight": three, "density": [0.7, 0.3, 0.01], "normalize": False}
        yield method, True, 3, {"weight": three, "density": 0.5, "rescale": True}
    for method in ("dare_ties", "dare_linear"):
        yield method, True, 2, {"weight": two, "density": 0.4}
        yield method, True, 3, {"weight": three, "density": [0.7, 0.3, 0.5], "rescale": False, "normalize": True}
    for method in ("della", "della_linear"):
        yield method, True, 2, {"weight": two, "density": 0.5, "epsilon": 0.2}
        yield method, True, 3, {"weight": three, "density": [0.7, 0.3, 0.5], "epsilon": [0.1, 0.2, 0.3], "lambda": 0.7}


def _small_tensors(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: str, num: int, *, is_slerp: bool
) -> list[Array]:
    """Return tensors in multiples of 1/64, which every dtype here holds.

    No two magnitudes in one delta are equal: which of two equal ones stays, mergekit leaves to an unstable sort.
    """
    size = math.prod(shape)
    start = generator.integers(-40, 41, shape)
    steps = [
        generator.choice([-1, 1], shape) * (1 + generator.permutation(size)).reshape(shape) for _ in range(num - 1)
    ]
    wide = [np.float32(step / 64) for step in (start, *(start + step for step in steps))]
    if is_slerp and generator.integers(2):
        wide[1] = np.float32(wide[0] * 1.25)  # parallel: the linear way
    narrow: dict[str, Callable[[Array], Array]] = {
        "float32": lambda values: values,
        "float16": lambda values: values.astype(np.float16),
        "bfloat16": lambda values: (values.view(np.uint32) >> 16).astype(np.uint16),
    }
    return [narrow[dtype](values) for values in wide]


def _spread(name: str, values: list[float]) -> dict[str, float]:
    return {name: statistics.median(values), f"{name}_min": min(values), f"{name}_max": max(values)}


def _provenance(settings: argparse.Namespace) -> dict[str, Any]:
    described = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    left_out = ("output", "peer_python", "write_reference")
    chosen = {name: value for name, value in vars(settings).items() if name not in left_out}
    return {
        "bench": "vault/bench_merge",
        "commit": described.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "settings": chosen,
        "settings_digest": digest_json(chosen),
    }


if __name__ == "__main__":
    main()
