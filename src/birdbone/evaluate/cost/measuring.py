"""Measuring the cost of models: what is asked of their workers, in which order, and the reports made of the answers.

Theory of operation. Each model has a process of its own. First fresh processes load the models in turns; the last ones
stay. Then every question goes round: model after model, who is first changing from round to round, so that what else
the machine does falls on all alike and turn n of one stands beside turn n of the other. Memory is asked for before the
probe and the profile, which take some of their own.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeVar

from birdbone.evaluate.benchmarks.opening import Candidate
from birdbone.evaluate.cost.child import Asked, OpenWorker, open_child
from birdbone.evaluate.cost.figures import Figures, Taken, Weights
from birdbone.evaluate.cost.results import CostPlan, CostReport, Load, MachineRates, Memory, Profile, Turn
from birdbone.evaluate.cost.weighing import weigh
from birdbone.evaluate.cost.worker import Order, Surroundings
from birdbone.watch import describe_hardware, sample_resources

Told = Callable[[int, int], None]
"""Is told how many questions are answered, and of how many."""

ThingT = TypeVar("ThingT")

_PACKAGES = ("birdbone", "torch", "transformers", "xllamacpp", "gguf", "numpy")


@dataclass(slots=True)
class _Bench:
    """One model while it is measured."""

    candidate: Candidate
    weights: Weights
    order: Order
    loads: list[Load] = field(default_factory=list)
    prefills: dict[int, list[Turn]] = field(default_factory=dict)
    decodes: list[Turn] = field(default_factory=list)


def measure_costs(
    candidates: Sequence[Candidate],
    *,
    num_threads: int,
    plan: CostPlan | None = None,
    told: Told = lambda _done, _total: None,
    open_worker: OpenWorker = open_child,
) -> tuple[CostReport, ...]:
    """Return the cost of each model, measured in turns.

    Args:
        candidates: models with their engines; several are held in memory at once.
        num_threads: that each engine computes with.
        plan: how much is run; None is the usual.
        told: whom to tell of progress.
        open_worker: gives what holds a model; by itself a process of its own.

    Raises:
        BadCostPlanError: a prompt that is longer than what a model takes.
        CostWorkerError: a process ended, or (with the code of what it raised) could not load or run its model.
    """
    plan = plan or CostPlan()
    load_before = sample_resources().load
    benches = [_bench(candidate, plan, num_threads) for candidate in candidates]
    steps = _Steps(len(benches) * (plan.num_loads + (plan.num_warmups + plan.repeats) * (len(plan.prompt_tokens) + 1)))
    for turn in range(plan.num_loads - 1):
        for bench in _in_turn(benches, turn):
            with open_worker(bench.order) as child:
                bench.loads.append(child.ask("load", Load))
                told(*steps.next())
    with ExitStack() as stack:
        children = [stack.enter_context(open_worker(bench.order)) for bench in benches]
        for child in children:  # libraries load first, so that no process starts while another is timed
            child.ask("surroundings", Surroundings)
        pairs = list(zip(benches, children, strict=True))
        for bench, child in pairs:
            bench.loads.append(child.ask("load", Load))
            told(*steps.next())
        for _ in _rounds(pairs, plan):
            told(*steps.next())
        reports = [_report(bench, child, plan, num_threads) for bench, child in pairs]
        return tuple(report.model_copy(update={"load_before": load_before}) for report in reports)


class _Steps:
    """Counts what is done."""

    def __init__(self, total: int) -> None:
        self._done, self._total = 0, total

    def next(self) -> tuple[int, int]:
        self._done += 1
        return self._done, self._total


def _bench(candidate: Candidate, plan: CostPlan, num_threads: int) -> _Bench:
    order = Order(
        spec=candidate.spec,
        engine=candidate.engine,
        dtype=candidate.dtype,
        num_threads=num_threads,
        num_ctx=plan.num_tokens + 1,
    )
    return _Bench(candidate=candidate, weights=weigh(candidate, plan), order=order)


def _rounds(pairs: Sequence[tuple[_Bench, Asked]], plan: CostPlan) -> Iterator[None]:
    """Ask every question of every model, round after round; yield after each answer."""
    for turn in range(-plan.num_warmups, plan.repeats):
        for length in (*plan.prompt_tokens, None):
            for bench, child in _in_turn(pairs, turn):
                if length is None:
                    sizes = {"num_prompt": plan.decode_prompt, "num_tokens": plan.new_tokens}
                    taken, kept = child.ask("decode", Turn, **sizes), bench.decodes
                else:
                    taken = child.ask("prefill", Turn, num_tokens=length)
                    kept = bench.prefills.setdefault(length, [])
                if turn >= 0:
                    kept.append(taken)
                yield


def _in_turn(things: Sequence[ThingT], turn: int) -> Sequence[ThingT]:
    return things if turn % 2 == 0 else things[::-1]


def _report(bench: _Bench, child: Asked, plan: CostPlan, num_threads: int) -> CostReport:
    candidate, is_torch = bench.candidate, bench.candidate.engine == "torch"
    memory = child.ask("memory", Memory)
    rates = child.ask("probe", MachineRates)
    where = child.ask("surroundings", Surroundings)
    taken = Taken(
        loads=tuple(bench.loads),
        prefills={length: tuple(turns) for length, turns in bench.prefills.items()},
        decodes=tuple(bench.decodes),
        memory=memory,
        rates=rates,
        meters=where.meters,
    )
    engine = f"torch in {candidate.dtype}" if is_torch else candidate.engine
    words = f"{engine} on {where.device}, {num_threads} thread(s)"
    figures = Figures(artefact=candidate.artefact, engine=words, plan=plan, weights=bench.weights, taken=taken)
    return CostReport(
        model=candidate.name,
        artefact=candidate.artefact,
        engine=candidate.engine,
        dtype=candidate.dtype if is_torch else None,
        device=where.device,
        num_threads=num_threads,
        taken_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        hardware=describe_hardware().to_dict(),
        software={name: version for name in _PACKAGES if (version := _version(name))},
        plan=plan,
        measurements=figures.all(),
        not_measured=_absent(where, memory, is_torch=is_torch),
        bounds=figures.bounds(),
        profiles=_profiles(child, plan) if is_torch else {},
        loads=taken.loads,
        prefills=dict(taken.prefills),
        decodes=taken.decodes,
    )


def _profiles(child: Asked, plan: CostPlan) -> dict[str, Profile]:
    prompts = {"decode": plan.decode_prompt, "prefill": max(plan.prompt_tokens)}
    return {
        phase: child.ask("profile", Profile, phase=phase, num_prompt=num_prompt, num_tokens=plan.profiled_tokens)
        for phase, num_prompt in prompts.items()
    }


def _absent(where: Surroundings, memory: Memory, *, is_torch: bool) -> dict[str, str]:
    absent = {}
    if not where.meters:
        absent["decode_energy"] = where.no_meters_reason
    if memory.gpu_peak_bytes is None:
        absent["gpu_peak_memory"] = "the model is on no GPU"
    if not is_torch:
        absent["operators"] = "llama.cpp cannot be looked into; in torch there is a profile"
    return absent


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
