"""Made-up reports for the tests of figures, comparison, page and command. No figure here was measured on anything."""

from __future__ import annotations

from birdbone.evaluate.cost.figures import Figures, Taken, Weights
from birdbone.evaluate.cost.flops import ModelShape
from birdbone.evaluate.cost.results import (
    CostPlan,
    CostReport,
    Flame,
    Load,
    MachineRates,
    Memory,
    Operator,
    Profile,
    Turn,
)

PLAN = CostPlan(prompt_tokens=(8, 32), new_tokens=16, repeats=6, num_loads=2)
SHAPE = ModelShape(
    num_weights=1000,
    linear_weights=700,
    head_weights=200,
    num_heads=2,
    num_kv_heads=1,
    head_dim=5,
    windows=(None, None),
    context_length=64,
    weight_counts={"embed": 200, "linears": 700, "norm": 100},
    lookup_rows={},
)
WEIGHTS = Weights(
    shape=SHAPE,
    size_bytes=4500,
    tensor_bytes={"embed": 800, "linears": 2800, "norm": 400},
    lookup_rows={},
    cache_value_bytes=4,
    is_formula_checked=True,
)
RATES = MachineRates(
    bytes_per_second=1e5, flops_per_second=4e5, bandwidth_method="made-up bytes", matmul_method="made-up products"
)


def turns(num_tokens: int, seconds: float, *, joules: float | None = None) -> tuple[Turn, ...]:
    """Six turns about `seconds`, the third and fourth of them exactly."""
    return tuple(
        Turn(num_tokens=num_tokens, wall_seconds=seconds * factor, cpu_seconds=2 * seconds * factor, joules=joules)
        for factor in (0.9, 1.1, 1.0, 1.0, 0.8, 1.2)
    )


def taken(*, slowness: float = 1.0, joules: float | None = None, gpu_peak_bytes: int | None = None) -> Taken:
    return Taken(
        loads=(
            Load(wall_seconds=1.0, cpu_seconds=1.0, before_bytes=100_000, peak_bytes=105_000),
            Load(wall_seconds=3.0, cpu_seconds=1.0, before_bytes=101_000, peak_bytes=106_000),
        ),
        prefills={8: turns(8, 0.1 * slowness), 32: turns(32, 0.25 * slowness)},
        decodes=turns(16, 0.8 * slowness, joules=joules),
        memory=Memory(resident_bytes=105_000, peak_bytes=107_000, gpu_peak_bytes=gpu_peak_bytes),
        rates=RATES,
        meters="RAPL package-0" if joules is not None else "",
    )


def figures(found: Taken) -> Figures:
    return Figures(artefact="b3:0123456789ab", engine="torch in float32", plan=PLAN, weights=WEIGHTS, taken=found)


def profile(name: str) -> Profile:
    children = (
        Flame(name="aten::<mm>", kind="matrix product", seconds=0.006, count=12),
        Flame(name="softmax", kind="attention", seconds=0.001, count=4),
        Flame(name="unseen", kind="other operator", seconds=0.00001, count=1),
    )
    return Profile(
        num_tokens=4,
        clock="CPU",
        operators=(
            Operator(name="aten::<mm>", kind="matrix product", self_seconds=0.006, share=0.6, num_calls=12),
            Operator(name="softmax", kind="attention", self_seconds=0.004, share=0.4, num_calls=4),
        ),
        flame=Flame(
            name=name,
            kind="module",
            seconds=0.01,
            count=1,
            children=(Flame(name="Model", kind="module", seconds=0.008, count=4, children=children),),
        ),
    )


def report(name: str = "tiny", *, slowness: float = 1.0, has_profile: bool = True) -> CostReport:
    found = taken(slowness=slowness)
    made = figures(found)
    return CostReport(
        model=name,
        artefact="b3:0123456789abcdef",
        engine="torch" if has_profile else "llama.cpp",
        dtype="float32" if has_profile else None,
        device="cpu",
        num_threads=2,
        taken_at="2026-03-01T09:00:00+00:00",
        hardware={"cpu_model": "Made-up CPU <1>", "isa": ["avx2"], "memory_bytes": 2**34, "gpus": []},
        load_before=0.25,
        software={"torch": "0.0"},
        plan=PLAN,
        measurements=made.all(),
        not_measured={"decode_energy": "the machine does not tell"}
        | ({} if has_profile else {"operators": "llama.cpp cannot be looked into"}),
        bounds=made.bounds(),
        profiles={phase: profile(phase) for phase in ("decode", "prefill")} if has_profile else {},
        loads=found.loads,
        prefills=dict(found.prefills),
        decodes=found.decodes,
    )
