"""From turns to figures: medians of what was timed, counts of what was not, each with how it was obtained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from birdbone.core import Basis, Measurement
from birdbone.evaluate.cost.flops import ModelShape, cache_bytes, forward_flops
from birdbone.evaluate.cost.medians import median, median_measurement
from birdbone.evaluate.cost.results import CostPlan, Load, MachineRates, Memory, PhaseBound, Turn
from birdbone.evaluate.cost.roofline import phase_bound
from birdbone.evaluate.cost.sizes import bytes_per_token, bytes_per_token_measurement, size_measurements


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What is known of a model without running it."""

    shape: ModelShape
    size_bytes: int
    """Of the files."""
    tensor_bytes: Mapping[str, int]
    """Of each tensor as the engine reads it."""
    lookup_rows: Mapping[str, int]
    """For each table that is only looked up, its number of rows."""
    cache_value_bytes: int
    """Of one key or value in the cache."""
    is_formula_checked: bool
    """torch's counter gave the same FLOPs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was timed of one model."""

    loads: tuple[Load, ...]
    prefills: Mapping[int, tuple[Turn, ...]]
    decodes: tuple[Turn, ...]
    memory: Memory
    rates: MachineRates
    meters: str
    """Names of the energy meters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Makes the figures of one model."""

    artefact: str
    engine: str
    """Engine, number format and threads, in words."""
    plan: CostPlan
    weights: Weights
    taken: Taken

    def all(self) -> tuple[Measurement, ...]:
        """Return every figure that there is, in the order in which a person reads them."""
        return (
            *(row for length in self.taken.prefills for row in self._prefill(length)),
            *self._decode(),
            self._load_time(),
            *self._memory(),
            *size_measurements(
                artefact=self.artefact,
                size_bytes=self.weights.size_bytes,
                num_weights=self.weights.shape.num_weights,
            ),
            self._plain("num_weights", self.weights.shape.num_weights, "weight", "counted; tied weights once"),
            *self._counted(),
            *self._machine(),
            *(row for bound in self.bounds() for row in self._bound(bound)),
        )

    def bounds(self) -> tuple[PhaseBound, ...]:
        """Return how much of the machine decoding and each prefill use."""
        shape, taken, context = self.weights.shape, self.taken, self.plan.mean_context
        decode = phase_bound(
            "decode",
            flops=forward_flops(shape, 1, num_cached=context),
            num_bytes=self._weight_bytes + self._cache_bytes(context),
            seconds=1 / median([turn.rate for turn in taken.decodes]).value,
            rates=taken.rates,
        )
        prefills = (
            phase_bound(
                f"prefill of {length} tokens",
                flops=forward_flops(shape, length),
                num_bytes=self._weight_bytes + self._cache_bytes(length - 1),
                seconds=median([turn.wall_seconds for turn in turns]).value,
                rates=taken.rates,
            )
            for length, turns in taken.prefills.items()
        )
        return (decode, *prefills)

    def _prefill(self, length: int) -> tuple[Measurement, ...]:
        turns = self.taken.prefills[length]
        method = (
            f"{self.engine}, a prompt of {length} tokens from an empty cache, median of {_times(len(turns), 'turn')}"
        )
        return (
            self._timed(f"time_to_first_token.{length}", turns, lambda turn: turn.wall_seconds, "s", method),
            self._timed(f"prefill_rate.{length}", turns, lambda turn: turn.rate, "token/s", method),
        )

    def _decode(self) -> tuple[Measurement, ...]:
        turns, plan = self.taken.decodes, self.plan
        after = f"{plan.new_tokens} tokens after a prompt of {plan.decode_prompt}"
        method = f"{self.engine}, {after}, greedy, one a pass, median of {_times(len(turns), 'turn')}"
        rows = [
            self._timed("decode_rate", turns, lambda turn: turn.rate, "token/s", method),
            self._timed("decode_cpu_time", turns, lambda turn: turn.cpu_seconds / turn.num_tokens, "s/token", method),
        ]
        if all(turn.joules is not None for turn in turns):
            name, told = "decode_energy", f"{method}; {self.taken.meters}, other programs included"
            rows.append(self._timed(name, turns, lambda turn: (turn.joules or 0.0) / turn.num_tokens, "J/token", told))
        return tuple(rows)

    def _timed(
        self, name: str, turns: Sequence[Turn], value: Callable[[Turn], float], unit: str, method: str
    ) -> Measurement:
        return median_measurement(
            name,
            median([value(turn) for turn in turns]),
            unit=unit,
            method=method,
            artefact=self.artefact,
            sample_size=sum(turn.num_tokens for turn in turns),
        )

    def _load_time(self) -> Measurement:
        loads = self.taken.loads
        until = "from asking for the model until it was ready"
        return median_measurement(
            "load_time",
            median([load.wall_seconds for load in loads]),
            unit="s",
            method=f"{self.engine}, median of {_times(len(loads), 'load')} in fresh processes, {until}",
            artefact=self.artefact,
            sample_size=len(loads),
        )

    def _memory(self) -> tuple[Measurement, ...]:
        memory, first = self.taken.memory, self.taken.loads[-1]
        rows = [
            self._plain("peak_memory", memory.peak_bytes, "byte", "most resident memory of a fresh process, all turns"),
            self._plain(
                "model_memory",
                memory.peak_bytes - first.before_bytes,
                "byte",
                f"the same less {first.before_bytes:,} bytes that the process held before it loaded the model",
            ),
            self._plain("load_peak_memory", first.peak_bytes, "byte", "most resident memory until the model was ready"),
        ]
        if memory.gpu_peak_bytes is not None:
            rows.append(
                self._plain("gpu_peak_memory", memory.gpu_peak_bytes, "byte", "most that torch held on the GPU")
            )
        return tuple(rows)

    def _counted(self) -> tuple[Measurement, ...]:
        shape, context = self.weights.shape, self.plan.mean_context
        checked = ", equal to torch's FlopCounterMode" if self.weights.is_formula_checked else ""
        method = f"closed formula over the model's shapes{checked}; matrix products alone"
        return (
            self._plain(
                "flops_per_token",
                forward_flops(shape, 1, num_cached=context),
                "FLOP/token",
                f"{method}; one token after {context}",
                basis="estimated",
            ),
            *(
                self._plain(f"prompt_flops.{length}", forward_flops(shape, length), "FLOP", method, basis="estimated")
                for length in self.plan.prompt_tokens
            ),
            bytes_per_token_measurement(
                self.weights.tensor_bytes, artefact=self.artefact, lookup_rows=self.weights.lookup_rows
            ),
            self._plain(
                "cache_bytes_per_token",
                self._cache_bytes(context),
                "byte/token",
                f"keys and values of {context} tokens, {self.weights.cache_value_bytes} bytes each",
                basis="estimated",
            ),
        )

    def _machine(self) -> tuple[Measurement, ...]:
        rates = self.taken.rates
        return (
            self._plain("memory_bandwidth", rates.bytes_per_second, "byte/s", rates.bandwidth_method),
            self._plain("matmul_rate", rates.flops_per_second, "FLOP/s", rates.matmul_method),
        )

    def _bound(self, bound: PhaseBound) -> tuple[Measurement, ...]:
        words = bound.phase.split()
        suffix = "" if bound.phase == "decode" else f".{words[2]}"
        shared = f"{bound.phase}: counted, over the measured time, over what the probe reached"
        return tuple(
            self._plain(f"{words[0]}_{name}{suffix}", value, unit, method, basis="estimated")
            for name, value, unit, method in (
                ("intensity", bound.intensity, "FLOP/byte", "counted FLOPs / counted bytes"),
                ("bandwidth_share", bound.bandwidth_share, "1", shared),
                ("matmul_share", bound.matmul_share, "1", shared),
            )
        )

    @property
    def _weight_bytes(self) -> int:
        return bytes_per_token(self.weights.tensor_bytes, lookup_rows=self.weights.lookup_rows)

    def _cache_bytes(self, num_cached: int) -> int:
        return cache_bytes(self.weights.shape, num_cached, bytes_per_value=self.weights.cache_value_bytes)

    def _plain(self, name: str, value: float, unit: str, method: str, *, basis: Basis = "measured") -> Measurement:
        return Measurement(name=name, value=float(value), unit=unit, method=method, artefact=self.artefact, basis=basis)


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"
