"""Everything that is measured for plans, each figure kept as soon as it is there. Shapes: N windows, T tokens.

What depends on the model and its text (what structures and bits cost, plans that were carried out) is kept apart from
what depends on the machine (timed files), so that on another machine only the timing is done again.
"""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from birdbone.compress.config import PlanConfig
from birdbone.compress.growth import DependencyGraph, build_dependency_graph
from birdbone.compress.plan.cache import PlanCache, Shelf
from birdbone.compress.plan.compatibility import Ground
from birdbone.compress.plan.latency import FileFeatures, TimedFile, file_features
from birdbone.compress.plan.layout import Drafter
from birdbone.compress.plan.loss import JudgedPlan, loss_features
from birdbone.compress.plan.making import Text, make_plan
from birdbone.compress.plan.probes import FileProbe, file_probes, plan_probes, write_file_probe
from birdbone.compress.plan.survey import BitFacts, CutFacts, bits_from_data, cuts_from_data, survey_bits, survey_cuts
from birdbone.compress.plan.techniques import Plan
from birdbone.compress.plan.timing import OpenTimer, Timer, TimingOrder, Turns, open_child, turns_from_data
from birdbone.data.windows import windows_digest
from birdbone.evaluate.perplexity import token_nll
from birdbone.models import LoadedModel
from birdbone.models.gguf import write_gguf

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The model that is planned for, and the text that its plans are measured on.

    Attributes:
        digest: of the model's files.
        judged_NT: windows that plans are judged on while they are fitted; no calibration text.
    """

    loaded: LoadedModel
    digest: str
    text: Text
    judged_NT: Int[Tensor, "N T"]

    @property
    def text_digest(self) -> list[str]:
        """Name of the text."""
        parts = (self.text.calibration_NT, self.text.healing_NT, self.judged_NT)
        return [windows_digest(part.numpy()) for part in parts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was measured, and what it was measured with."""

    graph: DependencyGraph
    cuts: CutFacts
    bits: BitFacts
    timed: tuple[TimedFile, ...]
    judged: tuple[JudgedPlan, ...]


class Measurer:
    """Measures a subject on this machine, looking into the cache first. What is asked for twice is measured once."""

    def __init__(
        self,
        subject: Subject,
        config: PlanConfig,
        *,
        hardware_digest: str,
        num_threads: int,
        cache: PlanCache,
        ground: Ground,
        tell: Tell = lambda _what, _done, _total: None,
    ) -> None:
        self.subject, self.config, self.ground = subject, config, ground
        self.graph = build_dependency_graph(subject.loaded.architecture)
        self._num_threads = num_threads
        self._tell = tell
        craft = config.model_dump(mode="json", include={"types", "rounding", "seed"})
        windows = config.probes.model_dump(mode="json", include={"num_ablation_windows", "num_sensitivity_windows"})
        self.text_basis = {"model": subject.digest, "text": subject.text_digest, "settings": craft | windows}
        self._facts = cache.shelf("loss", self.text_basis)
        self.machine_basis = {
            "model": subject.digest,
            "hardware": hardware_digest,
            "threads": num_threads,
            "engine": _engine_version(),
            "settings": config.probes.model_dump(mode="json", include={"num_turns", "num_decoded"}),
        }
        self._times = cache.shelf("latency", self.machine_basis)

    def measure(self, *, open_timer: OpenTimer = open_child) -> Evidence:
        """Return all that predictions are made from.

        Args:
            open_timer: gives what times files; by itself a process of its own.

        Raises:
            CompressError, EngineError, GgufError: of what is measured. What was measured before is kept.
        """
        cuts, bits = self.facts()
        drafter = Drafter(self.graph, cuts, bits, self.config)
        timed = self.time_files(drafter, open_timer=open_timer)
        plans = plan_probes(drafter, self.ground)
        judged = []
        for number, plan in enumerate(plans, start=1):
            self._tell(f"plans carried out: {plan.words}", number - 1, len(plans))
            judged.append(self.judge(drafter, plan))
        self._tell("plans carried out", len(plans), len(plans))
        return Evidence(graph=self.graph, cuts=cuts, bits=bits, timed=timed, judged=tuple(judged))

    def facts(self) -> tuple[CutFacts, BitFacts]:
        """Return what structures and bits cost."""
        subject, windows_NT = self.subject, self.subject.text.calibration_NT
        cuts = _kept(
            self._facts,
            f"cuts {' '.join(self.config.cuts)}",
            lambda: survey_cuts(subject.loaded, self.graph, windows_NT, self.config, tell=self._tell).to_data(),
        )
        bits = _kept(
            self._facts, "bits", lambda: survey_bits(subject.loaded, windows_NT, self.config, tell=self._tell).to_data()
        )
        return cuts_from_data(cuts), bits_from_data(bits)

    def judge(self, drafter: Drafter, plan: Plan) -> JudgedPlan:
        """Carry a plan out in memory and return the rise of the loss that it brought."""
        layout = drafter.draft(plan)

        def measured() -> float:
            made = make_plan(
                self.subject.loaded, self.graph, plan, layout, self.subject.text, self.config, tell=self._tell
            )
            return self._loss(made.stored()) - self.base_loss

        rise = float(_kept(self._facts, f"rise {plan.digest}", measured))
        return JudgedPlan(name=plan.words, features=loss_features(layout), rise=rise)

    @property
    def base_loss(self) -> float:
        """Nats a token of the model as it is, on the judged windows."""
        return float(_kept(self._facts, "base", lambda: self._loss(self.subject.loaded.model)))

    def time_files(self, drafter: Drafter, *, open_timer: OpenTimer) -> tuple[TimedFile, ...]:
        """Return the probes with their times, the reference first."""
        probes = file_probes(self.graph, self.config, self.ground)
        missing = [probe for probe in probes if self._times.find(probe.name) is None]
        if missing:
            self._time_missing(missing, total=len(probes), open_timer=open_timer)
        rows = [(probe, turns_from_data(self._times.find(probe.name) or {})) for probe in probes]
        timed = [self._timed(probe.name, self._features(drafter, probe), turns) for probe, turns in rows]
        dense = TimedFile(
            name="f16",
            features=self._features(drafter, FileProbe(name="f16", layout=drafter.draft(Plan()))),
            ratio=1.0,
            ratio_low=1.0,
            ratio_high=1.0,
            reference_seconds=float(np.median([probe.reference_seconds for probe in timed])),
        )
        return (dense, *timed)

    def _time_missing(self, missing: list[FileProbe], *, total: int, open_timer: OpenTimer) -> None:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="birdbone-plan-")))
            timer: Timer | None = None
            for number, probe in enumerate(missing, start=total - len(missing)):
                self._tell(f"files timed: {probe.name}", number, total)
                if timer is None:
                    timer = stack.enter_context(open_timer(self.timing_order(self.write_reference(folder))))
                path = folder / "probe.gguf"
                write_file_probe(path, self.subject.loaded, self.graph, probe.layout)
                self._times.keep(probe.name, asdict(timer.time(path)))
                path.unlink()
            self._tell("files timed", total, total)

    def timing_order(self, reference: Path) -> TimingOrder:
        """Return how files are timed beside a reference."""
        probes = self.config.probes
        return TimingOrder(
            reference=str(reference),
            num_threads=self._num_threads,
            num_decoded=probes.num_decoded,
            num_turns=probes.num_turns,
        )

    def write_reference(self, folder: Path) -> Path:
        """Write the dense model in F16 and return the path."""
        loaded, path = self.subject.loaded, folder / "reference.gguf"
        write_gguf(
            path,
            model_config=loaded.model.config,
            state_tensors=loaded.model.state_dict(),
            tokenizer=loaded.tokenizer,
            name=loaded.name,
            license_name=loaded.licence or "",
        )
        return path

    def _features(self, drafter: Drafter, probe: FileProbe) -> FileFeatures:
        return file_features(
            probe.layout,
            self.graph.architecture,
            drafter.ends,
            mean_context=mean_context(self.config),
        )

    def _timed(self, name: str, features: FileFeatures, turns: Turns) -> TimedFile:
        low, high = turns.ratio_ends
        return TimedFile(
            name=name,
            features=features,
            ratio=turns.ratio,
            ratio_low=low,
            ratio_high=high,
            reference_seconds=turns.reference,
        )

    def _loss(self, model: Any) -> float:
        nll_NP: NDArray[np.float64] = token_nll(model, self.subject.judged_NT.numpy(), batch_size=1)
        return float(nll_NP.mean())


def mean_context(config: PlanConfig) -> int:
    """Return how many tokens stand before a decoded one, in the mean of a turn."""
    return config.probes.num_decoded // 2


def _kept(shelf: Shelf, name: str, measure: Callable[[], Any]) -> Any:
    found = shelf.find(name)
    if found is None:
        found = measure()
        shelf.keep(name, found)
    return found


def _engine_version() -> str:
    try:
        return importlib.metadata.version("xllamacpp")
    except importlib.metadata.PackageNotFoundError:
        return "absent"
