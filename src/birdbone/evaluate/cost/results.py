"""What a measurement of cost is: the plan, the turns as taken, the figures, the profile, the comparison. Plain data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from birdbone.core import Measurement, Strict
from birdbone.evaluate.errors import BadCostPlanError

Bound = Literal["memory", "arithmetic", "neither"]
"""What holds a phase back; `neither` where it reaches less than half of what the machine does at both."""

OperatorKind = Literal["module", "matrix product", "attention", "other operator"]
"""What a box of the flame picture is."""


class CostPlan(Strict):
    """How much is run."""

    prompt_tokens: tuple[int, ...] = (32, 128, 512)
    """Lengths of the prompts, in tokens."""
    new_tokens: int = 32
    """Tokens that a turn decodes."""
    repeats: int = 7
    """Timed turns of each question; from 6 on, a median has a 95 % interval."""
    num_warmups: int = 1
    """Turns before the clock counts."""
    num_loads: int = 3
    """Fresh processes that load the model."""
    profiled_tokens: int = 4
    """Decode steps under the profiler."""

    @model_validator(mode="after")
    def _is_possible(self) -> CostPlan:
        counts = (self.new_tokens, self.repeats, self.num_loads, self.profiled_tokens, *self.prompt_tokens)
        if not self.prompt_tokens or min(counts) < 1 or self.num_warmups < 0:
            raise BadCostPlanError("Each number of a plan of cost is at least 1, and there is at least one prompt.")
        if len(set(self.prompt_tokens)) != len(self.prompt_tokens):
            raise BadCostPlanError("Each length of a prompt is named once.")
        return self

    @property
    def decode_prompt(self) -> int:
        """Tokens of the prompt after which is decoded: the shortest."""
        return min(self.prompt_tokens)

    @property
    def num_tokens(self) -> int:
        """Tokens that the engine has to hold at once."""
        return max(self.decode_prompt + max(self.new_tokens, self.profiled_tokens), *self.prompt_tokens)

    @property
    def mean_context(self) -> int:
        """Tokens that stand before a decoded one, in the mean."""
        return self.decode_prompt + self.new_tokens // 2


class Turn(Strict):
    """One timed turn."""

    num_tokens: int
    """Tokens of the prompt, or decoded ones."""
    wall_seconds: float
    """By the wall clock."""
    cpu_seconds: float
    """Of all threads of the engine's process."""
    joules: float | None = None
    """By the machine's own meters; absent where it has none that may be read."""

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.num_tokens / self.wall_seconds


class Load(Strict):
    """One load of the model in a fresh process."""

    wall_seconds: float
    cpu_seconds: float
    before_bytes: int
    """Resident memory with the libraries and without the model."""
    peak_bytes: int
    """Most resident memory until the model was ready."""


class Memory(Strict):
    """Memory of the engine's process at the end of all turns."""

    resident_bytes: int
    """Now."""
    peak_bytes: int
    """The most since the process began."""
    gpu_peak_bytes: int | None = None
    """The most that torch held on the GPU; absent without one."""


class MachineRates(Strict):
    """What the machine does at its best, by a short probe with the engine's threads."""

    bytes_per_second: float
    """Read from memory."""
    flops_per_second: float
    """In a product of two matrices."""
    bandwidth_method: str
    matmul_method: str


class Operator(Strict):
    """One operator of a profile, over all its calls."""

    name: str
    kind: OperatorKind
    self_seconds: float
    """Without the operators that it calls."""
    share: float
    """Of the self time of all operators and modules."""
    num_calls: int


class Flame(Strict):
    """A box of the flame picture. Layers of one kind are one box; `count` says how often it ran."""

    name: str
    kind: OperatorKind
    seconds: float
    """With all that is in it."""
    count: int
    children: tuple[Flame, ...] = ()


class Profile(Strict):
    """Where the time of one phase goes, by torch's profiler, which itself slows what it watches: read it for shares."""

    num_tokens: int
    clock: Literal["CPU", "GPU"]
    operators: tuple[Operator, ...]
    """The dearest first."""
    flame: Flame


class PhaseBound(Strict):
    """How much of the machine a phase uses. Counted from the files and the shapes, over measured times."""

    phase: str
    """`decode`, or `prefill of N tokens`."""
    flops: float
    num_bytes: float
    seconds: float
    intensity: float
    """FLOPs a byte."""
    bandwidth_share: float
    """Of the memory bandwidth that the probe reached; may pass 1 where the caches hold part of the weights."""
    matmul_share: float
    """Of the rate of matrix products that the probe reached."""
    bound: Bound


class CostReport(Strict):
    """All that is known of the cost of one model in one engine on one machine."""

    model: str
    artefact: str
    engine: str
    dtype: str | None
    """Number format of the computation in torch; llama.cpp takes that of the file."""
    device: str
    num_threads: int
    taken_at: str
    """When (UTC, ISO 8601)."""
    hardware: dict[str, Any]
    load_before: float | None = None
    """Load average of the last minute when the measuring began: what others did; absent where the system has none."""
    software: dict[str, str]
    plan: CostPlan
    measurements: tuple[Measurement, ...]
    not_measured: dict[str, str] = Field(default_factory=dict)
    """What is absent, and why."""
    bounds: tuple[PhaseBound, ...] = ()
    profiles: dict[str, Profile] = Field(default_factory=dict)
    """By phase; empty where the engine cannot be looked into."""
    loads: tuple[Load, ...] = ()
    prefills: dict[int, tuple[Turn, ...]] = Field(default_factory=dict)
    """By length of the prompt, in the order in which they were taken."""
    decodes: tuple[Turn, ...] = ()

    def figure(self, name: str) -> Measurement | None:
        """Return the figure of a name; None where it was not measured."""
        return next((row for row in self.measurements if row.name == name), None)


class CostRatio(Strict):
    """One figure of two models, and the candidate's over the baseline's."""

    name: str
    baseline: Measurement
    candidate: Measurement
    ratio: float
    low: float | None = None
    high: float | None = None
    """Ends of the 95 % interval of what was measured in turns; absent for all else."""
    method: str


class CostComparison(Strict):
    """A candidate beside a baseline, measured in turns on one machine."""

    baseline: str
    candidate: str
    ratios: tuple[CostRatio, ...]
