"""Whether a run that is killed at many random points ends in the same bytes as one that nobody disturbs.

Question: if `kill -9` hits a run at points drawn uniformly over its whole work, and each time it is resumed, are the
digests of all that it made equal to those of an uninterrupted run; how many steps had to be begun anew?
Method: the recipe is settled once (threads, number format). One process does it without a break; each of its progress
reports is a place, and the second at which it came is where that place lies. A second run of the same recipe, in a
workspace of its own, is then killed by SIGKILL when its place passes the first point, resumed in a new process, killed
when it passes the second, and so on; between two reports the clock goes on, so points fall inside steps: into fits,
into writes to the vault, into commits to the database. A point is used once, so a run that only goes in circles ends.
Peer: the uninterrupted run, on the same machine, before.

Run: `python benchmarks/pipeline/bench_resume.py [--recipe recipes/tiny.yaml] [--model FOLDER] [--kills 30]`.
`--save-reference FILE` keeps the uninterrupted run for a later `--reference FILE`. Prints one JSON row and writes it to
`--output` if that is given; `make bench` stores it in `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from birdbone.core import BirdboneError, Workspace, digest_json, find_workspace, make_workspace, write_json
from birdbone.pipeline import Recipe, load_recipe, resolve_recipe, service
from birdbone.watch import describe_hardware

_SILENCE_SECONDS = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A progress report of the uninterrupted run: report `number` of a step, and when it came after the first one."""

    label: str
    number: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The uninterrupted run: its settled recipe, what it made, and where its work lies in time."""

    recipe: dict[str, Any]
    artefacts: dict[str, str]
    places: tuple[Place, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Where a run was killed: in which step, after how many of its reports, and at which second of the reference."""

    label: str
    number: int
    seconds: float


def main() -> None:
    settings = _parse_settings()
    if settings.child:
        _work(*settings.child)
        return
    with contextlib.ExitStack() as stack:
        folder = settings.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="birdbone-resume-")))
        reference = _reference(settings, folder / "reference")
        row = _measure(settings, reference, folder / "killed")
    if settings.output is not None:
        write_json(settings.output, row)
    print(json.dumps(row, ensure_ascii=False))
    if not row["digests_equal"]:
        raise SystemExit(f"These differ from the uninterrupted run: {', '.join(row['differing'])}.")


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill a run at random points, resume it, and compare the digests.")
    parser.add_argument("--recipe", type=Path, default=Path("recipes/tiny.yaml"))
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", dest="overrides")
    parser.add_argument("--model")
    parser.add_argument("--data")
    parser.add_argument("--reference", type=Path, help="an uninterrupted run that --save-reference wrote")
    parser.add_argument("--save-reference", type=Path)
    parser.add_argument("--folder", type=Path, help="where both workspaces are made and kept; else a temporary folder")
    parser.add_argument("--output", type=Path, default=None)
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "RUN"), help=argparse.SUPPRESS)
    return parser.parse_args()


# What the process that will be killed does.


def _work(folder: str, run_id: str) -> None:
    """Go on with a run and print a line for each progress report."""
    from birdbone.pipeline import running

    def report(label: str, what: str, done: int, total: int) -> None:
        print(json.dumps([label, what, done, total]), flush=True)

    try:
        running.resume_run(find_workspace(Path(folder)), run_id, listener=report)
    except BirdboneError as error:
        raise SystemExit(f"{error.code}: {error.message}") from error


# What the process that kills does.


def _reference(settings: argparse.Namespace, folder: Path) -> Reference:
    """Return the uninterrupted run that was given, or do one."""
    asked = resolve_recipe(
        load_recipe(settings.recipe), overrides=settings.overrides, model=settings.model, data=settings.data
    )
    if settings.reference is None:
        reference = _run_uninterrupted(asked, folder)
    else:
        raw = json.loads(settings.reference.read_text(encoding="utf-8"))
        reference = Reference(**raw | {"places": tuple(Place(**place) for place in raw["places"])})
        if not _is_settled_from(reference.recipe, asked):
            raise SystemExit(f"{settings.reference} is of another recipe.")
    if settings.save_reference is not None:
        write_json(settings.save_reference, asdict(reference))
    return reference


def _is_settled_from(recipe: dict[str, Any], asked: Recipe) -> bool:
    chosen = {name: recipe[name] for name in ("num_threads", "dtype")}
    return resolve_recipe(recipe) == asked.model_copy(update=chosen)


def _run_uninterrupted(asked: Recipe, folder: Path) -> Reference:
    workspace, run_id = _create(asked, folder)
    places: list[Place] = []
    with _go_on(workspace, run_id) as child:
        while (report := child.next_report(timeout_seconds=_SILENCE_SECONDS)) is not None:
            label, number, seconds = report
            places.append(Place(label=label, number=number, seconds=seconds))
            if number == 1:
                _talk(f"uninterrupted: {label} at {seconds:.1f} s")
    view = service.view_run(workspace, run_id)
    if view.run.ended_at is None:
        raise SystemExit("The uninterrupted run did not end.")
    seconds = (view.run.ended_at - view.steps[0].started_at).total_seconds()
    return Reference(recipe=view.run.recipe, artefacts=view.artefacts, places=tuple(places), seconds=seconds)


def _measure(settings: argparse.Namespace, reference: Reference, folder: Path) -> dict[str, Any]:
    workspace, run_id = _create(resolve_recipe(reference.recipe), folder)
    randomness = random.Random(settings.seed)
    points = sorted(randomness.uniform(0, reference.seconds) for _ in range(settings.kills))
    begun_at = time.monotonic()
    kills = [kill for point in points if (kill := _kill_at(point, workspace, run_id, reference)) is not None]
    if service.find_run(workspace, run_id).status != "done":
        with _go_on(workspace, run_id) as child:
            while child.next_report(timeout_seconds=_SILENCE_SECONDS) is not None:
                pass
    seconds = time.monotonic() - begun_at
    return _provenance(settings, reference) | _figures(service.view_run(workspace, run_id), reference, kills, seconds)


def _kill_at(point: float, workspace: Workspace, run_id: str, reference: Reference) -> Kill | None:
    """Go on with the run and kill it as its place passes `point`; None if the run was done before."""
    if service.find_run(workspace, run_id).status == "done":
        return None
    spans = _spans(reference)
    timeout_seconds, kill = _SILENCE_SECONDS, None
    with _go_on(workspace, run_id) as child:
        try:
            while (report := child.next_report(timeout_seconds=timeout_seconds)) is not None:
                label, number, _ = report
                start, end = spans.get((label, number), (0.0, 0.0))
                kill = Kill(label=label, number=number, seconds=max(start, point)) if end > point else None
                timeout_seconds = max(0.0, point - start) if kill is not None else _SILENCE_SECONDS
        except TimeoutError:
            if kill is None:
                raise
            child.kill()
            _talk(f"killed in {kill.label} at {kill.seconds:.1f} of {reference.seconds:.1f} s")
            return kill
    return None


def _spans(reference: Reference) -> dict[tuple[str, int], tuple[float, float]]:
    """Return from when to when the uninterrupted run was at each of its places."""
    starts = [place.seconds for place in reference.places]
    ends = [*starts[1:], reference.seconds]
    keys = [(place.label, place.number) for place in reference.places]
    return dict(zip(keys, zip(starts, ends, strict=True), strict=True))


class _Child:
    """A process that goes on with a run, and its reports as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: queue.Queue[tuple[float, str]] = queue.Queue()
        self._counts: Counter[str] = Counter()
        self._first_at: float | None = None
        threading.Thread(target=self._listen, daemon=True).start()

    def next_report(self, *, timeout_seconds: float) -> tuple[str, int, float] | None:
        """Return the next report: step, its number within the step, seconds since the first; None at the end.

        Raises:
            TimeoutError: none came in time.
            SystemExit: the process failed.
        """
        try:
            at, line = self._lines.get(timeout=timeout_seconds)
        except queue.Empty:
            raise TimeoutError(f"The run said nothing for {timeout_seconds:.0f} s.") from None
        if not line:
            if self._process.wait() != 0:
                raise SystemExit("The run failed; its error stands above.")
            return None
        self._first_at = at if self._first_at is None else self._first_at
        label = str(json.loads(line)[0])
        self._counts[label] += 1
        return label, self._counts[label], at - self._first_at

    def kill(self) -> None:
        """End the process as a power cut would, and wait until it is gone."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put((time.monotonic(), line))
        self._lines.put((time.monotonic(), ""))


@contextlib.contextmanager
def _go_on(workspace: Workspace, run_id: str) -> Iterator[_Child]:
    command = [sys.executable, __file__, "--child", str(workspace.folder.parent), run_id]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        child = _Child(process)
        try:
            yield child
        finally:
            if process.poll() is None:
                child.kill()


def _create(recipe: Recipe, folder: Path) -> tuple[Workspace, str]:
    from birdbone.pipeline import running

    folder.mkdir(parents=True)
    workspace, _ = make_workspace(folder)
    return workspace, running.create_run(workspace, recipe)


def _figures(view: service.RunView, reference: Reference, kills: list[Kill], seconds: float) -> dict[str, Any]:
    names = sorted(view.artefacts.keys() | reference.artefacts.keys())
    differing = [name for name in names if view.artefacts.get(name) != reference.artefacts.get(name)]
    return {
        "digests_equal": view.run.status == "done" and not differing,
        "num_digests": len(names),
        "differing": differing,
        "num_kills": len(kills),
        "num_steps": len(view.steps),
        "num_steps_hit": len({kill.label for kill in kills}),
        "num_steps_begun": sum(step.num_tries for step in view.steps),
        "kills_by_step": dict(Counter(kill.label for kill in kills)),
        "killed_at_seconds_of_reference": [round(kill.seconds, 2) for kill in kills],
        "seconds_uninterrupted": round(reference.seconds, 1),
        "seconds_with_kills": round(seconds, 1),
        "digests": reference.artefacts,
    }


def _provenance(settings: argparse.Namespace, reference: Reference) -> dict[str, Any]:
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    chosen = {
        "recipe": settings.recipe.name,
        "model": reference.recipe["model"] if settings.model is None else Path(settings.model).name,
        "changes": settings.overrides,
        "kills": settings.kills,
        "seed": settings.seed,
        "num_threads": reference.recipe["num_threads"],
        "dtype": reference.recipe["dtype"],
    }
    return {
        "bench": "pipeline/bench_resume",
        "commit": head.stdout.strip(),
        "machine": f"{describe_hardware().cpu_model}, {reference.recipe['num_threads']} threads",
        "settings": chosen,
        "settings_digest": digest_json(chosen),
    }


def _talk(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
