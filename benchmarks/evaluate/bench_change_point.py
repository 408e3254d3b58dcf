"""How often a change of level is found where there is none, how often where there is one, and whether in its place.

Question: in series of versions without any change, is a change found in at most 5 % (the test itself is held at 4 %);
and is a shift of two standard deviations found among 20 versions?
Method: 1,000 series of each kind. Nulls of 20 points: normal noise; accuracies of 200 items with Wilson's intervals;
accuracies of 50 to 2,000 items by turns, so that points are known unequally well; versions that differ by 3 points of
their own beyond what their intervals say; heavy tails (Student's t, 3 degrees of freedom, scaled to a standard
deviation of 1); 6 and 50 points of normal noise. A random walk stands beside them: it is no null, since its level does
change. Power: a shift of 2 standard deviations after 10 of 20 points, after 15 of 20 (a new regression), of 3 after 3
of 6; places are right where they are exact, and near within one.
Peer: ruptures' PELT with the same cost, once with our penalty on series that have our scale (the places must be
identical), once with the penalty of the Bayesian criterion for a known variance of 1, 2 ln N, as its documentation has
it: its false alarms and power on the same series, with the noise told to it.

Run: `python benchmarks/evaluate/bench_change_point.py [--simulations 1000] [--no-peer] [--peer-python PATH]`, where the
Python has ruptures; without one an environment is made for it. Prints one JSON row.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from paired_items import provenance
from scipy.special import ndtri

from birdbone.core import write_json
from birdbone.evaluate.history.change_points import (
    LEVEL,
    Changes,
    find_changes,
    pelt,
)
from birdbone.evaluate.statistics.proportions import wilson_interval

_OUTPUT = Path("benchmarks/results/evaluate-change_point.json")
_PEER = "ruptures==1.1.10"
_HERE = Path(__file__).parent
_ITEMS_BY_TURNS = (2000, 50, 400, 100)

Floats = NDArray[np.float64]
Series = tuple[Floats, Floats | None]
"""Values, and standard errors where there are such."""


def main() -> None:
    settings = _parse_settings()
    begun = time.perf_counter()
    generator = np.random.default_rng(settings.seed)
    chosen = {"seed": settings.seed, "simulations": settings.simulations, "level": LEVEL}
    row: dict[str, Any] = provenance("bench_change_point", chosen)
    for name, draw in _NULLS.items():
        found = [_find(draw(generator), generator) for _ in range(settings.simulations)]
        row[f"false_alarms_{name}"] = _share(bool(each.changes) for each in found)
    shifted: dict[str, list[Floats]] = {}
    for name, (size, place, num_points) in _SHIFTS.items():
        shifted[name] = [_shifted(generator, size, place, num_points) for _ in range(settings.simulations)]
        found = [_find((values, None), generator) for values in shifted[name]]
        row |= _power(name, place, [[change.place for change in each.changes] for each in found])
    if not settings.no_peer:
        row |= _beside_peer(shifted, settings, generator)
    row["seconds"] = round(time.perf_counter() - begun, 1)
    if settings.output.parent.is_dir():
        write_json(settings.output, row)
    print(json.dumps(row, ensure_ascii=False))


def _normal(num_points: int) -> Callable[[np.random.Generator], Series]:
    return lambda generator: (generator.standard_normal(num_points), None)


def _accuracies(num_items: tuple[int, ...], spread: float = 0.0) -> Callable[[np.random.Generator], Series]:
    def draw(generator: np.random.Generator) -> Series:
        sizes = [num_items[number % len(num_items)] for number in range(20)]
        levels = np.clip(0.6 + spread * generator.standard_normal(20), 0, 1)
        right = [int(generator.binomial(size, level)) for size, level in zip(sizes, levels, strict=True)]
        ends = np.array([wilson_interval(count, size) for count, size in zip(right, sizes, strict=True)])
        errors = (ends[:, 1] - ends[:, 0]) / (2 * float(ndtri(0.975)))
        return np.array(right) / np.array(sizes), errors

    return draw


_NULLS: dict[str, Callable[[np.random.Generator], Series]] = {
    "normal_20": _normal(20),
    "normal_6": _normal(6),
    "normal_50": _normal(50),
    "accuracies_200_items": _accuracies((200,)),
    "accuracies_50_to_2000_items": _accuracies(_ITEMS_BY_TURNS),
    "accuracies_spread_3_points": _accuracies((400,), spread=0.03),
    "accuracies_50_to_2000_items_spread_3_points": _accuracies(_ITEMS_BY_TURNS, spread=0.03),
    "student_t_3": lambda generator: (generator.standard_t(3, 20) / np.sqrt(3), None),
    "random_walk_no_null": lambda generator: (np.cumsum(generator.standard_normal(20)), None),
}
_SHIFTS = {"shift_2_at_10_of_20": (2.0, 10, 20), "shift_2_at_15_of_20": (2.0, 15, 20), "shift_3_at_3_of_6": (3.0, 3, 6)}


def _find(series: Series, generator: np.random.Generator) -> Changes:
    return find_changes(*series, generator=generator)


def _shifted(generator: np.random.Generator, size: float, place: int, num_points: int) -> Floats:
    return generator.standard_normal(num_points) + size * (np.arange(num_points) >= place)


def _power(name: str, place: int, found: list[list[int]], whose: str = "") -> dict[str, float]:
    detected = [places for places in found if places]
    return {
        f"{whose}power_{name}": _share(bool(places) for places in found),
        f"{whose}exact_place_{name}": _share(place in places for places in detected),
        f"{whose}near_place_{name}": _share(min(abs(place - each) for each in places) <= 1 for places in detected),
    }


def _beside_peer(
    shifted: dict[str, list[Floats]], settings: argparse.Namespace, generator: np.random.Generator
) -> dict[str, Any]:
    nulls = [generator.standard_normal(20) for _ in range(settings.simulations)]
    penalty = 2 * np.log(20)
    row: dict[str, Any] = {}
    with _peer_python(settings) as python:
        series = [values for name in _SHIFTS for values in shifted[name]]
        told = _ask_peer(python, series, 10.0)
        ours = [list(pelt(values, np.ones(len(values)), penalty=10.0)) for values in series]
        row["peer"] = f"ruptures {told['version']}"
        row["num_series_beside_peer"] = len(series)
        row["num_different_places"] = sum(one != two for one, two in zip(ours, told["places"], strict=True))
        row["peer_false_alarms_normal_20"] = _share(map(bool, _ask_peer(python, nulls, penalty)["places"]))
        for name, (_, place, num_points) in _SHIFTS.items():
            found = _ask_peer(python, shifted[name], 2 * float(np.log(num_points)))["places"]
            row |= _power(name, place, found, whose="peer_")
    return row


def _ask_peer(python: Path, series: list[Floats], penalty: float) -> dict[str, Any]:
    asked = json.dumps({"series": [values.tolist() for values in series], "penalty": float(penalty)})
    done = subprocess.run(
        [python, _HERE / "change_point_oracle.py"], input=asked, capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@contextlib.contextmanager
def _peer_python(settings: argparse.Namespace) -> Iterator[Path]:
    """Give a Python that has the peer: the one that was named, or one of an environment made for it."""
    if settings.peer_python is not None:
        yield settings.peer_python
        return
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", _PEER], check=True, stdout=sys.stderr)
        yield python


def _share(values: Any) -> float:
    found = list(values)
    return round(float(np.mean(found)), 4) if found else float("nan")


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Change points: false alarms, power, places.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--peer-python", type=Path, default=None, help="a Python that has ruptures")
    parser.add_argument("--output", type=Path, default=_OUTPUT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
