"""Whether a plan comes to what was predicted of it.

Question: of plans that the models of cost were not fitted to, how far are the predicted time of a token and the
predicted perplexity off what is measured on the files? The bars are 15 % and 10 %. Are the bytes as counted?
Method: everything is measured as `birdbone compress plan` does (structures, bits, timed files, a few plans carried
out), with calibration, healing and judging on windows of `valid.txt`. Then plans are drawn at random from the space of
the search, none of them a probe, none that is predicted to do more harm than the search allows. Each is carried out and
written as GGUF; its perplexity over that of the F16 file is measured in llama.cpp on windows of `test.txt`, its time in
turns with the F16 file, and the predicted ratio of times is held against the measured one, so that what else the
machine does falls on both. One thread is timed by the seconds of its CPU; the wall clock's errors stand beside.
The starter was dequantised from a file of Q4_1 blocks, so from 5 bits on rounding costs it nothing. Its linears are
therefore moved off that grid by up to a quarter of a step, uniformly at random (`--noise 0` leaves them on it).
Peer: what bytes alone would say, as tools do that know no machine: the time of the F16 file times the share of its
bytes that a token reads.

Run: `python benchmarks/compress/bench_plan.py --text FOLDER [--num-plans 10] [--cache FOLDER] [--output PATH]` with
WikiText-2's `valid.txt` and `test.txt` in the folder. A cache that is kept lets a stopped run go on. Prints a JSON row.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rows import provenance, tell
from torch import Tensor

from birdbone.compress.config import HealConfig, PlanConfig, ProbeConfig
from birdbone.compress.plan import Ground, Plan
from birdbone.compress.plan.cache import PlanCache
from birdbone.compress.plan.forecast import Forecast, Forecaster
from birdbone.compress.plan.making import Text, make_plan
from birdbone.compress.plan.measuring import Measurer, Subject
from birdbone.compress.plan.outcome import Outcome, compare
from birdbone.compress.plan.probes import plan_probes
from birdbone.compress.plan.search import PlanSpace, plan_space
from birdbone.compress.plan.timing import open_child
from birdbone.core import digest_file
from birdbone.evaluate.benchmarks.opening import find_candidate
from birdbone.models import LoadedModel, load_model
from birdbone.models.gguf import GgufType, quantize_tensor
from birdbone.models.llamacpp import file_nll
from birdbone.watch.hardware_profile import profile_hardware


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    subject, heldout_NT = _open_subject(settings)
    config = PlanConfig(
        cuts=tuple(settings.cuts),
        embeddings=tuple(settings.embeddings),
        num_healing_steps=settings.num_healing_steps,
        seed=settings.seed,
        probes=ProbeConfig(num_turns=settings.num_turns),
    )
    measurer = Measurer(
        subject,
        config,
        hardware_digest=profile_hardware(measures_bandwidth=False).digest,
        num_threads=settings.num_threads,
        cache=PlanCache(settings.cache),
        ground=Ground(),
        tell=_Said(),
    )
    start = time.process_time()
    evidence = measurer.measure()
    seconds = time.process_time() - start
    forecaster = Forecaster(subject.loaded, evidence, config)
    plans = _draw_plans(forecaster, plan_space(forecaster, Ground()), settings)
    outcomes = _carry_out(measurer, forecaster, plans, heldout_NT, settings)
    origin = provenance(settings, "compress/bench_plan", hidden=("cache",))
    tell(origin | {"measuring_cpu_seconds": seconds} | _figures(forecaster, outcomes), settings.output)


class _Said:
    """Says each new part of the work, with the seconds since the start."""

    def __init__(self) -> None:
        self._part, self._start = "", time.monotonic()

    def __call__(self, part: str, _done: int, _total: int) -> None:
        if part != self._part:
            self._part = part
            print(f"{time.monotonic() - self._start:7.1f} s  {part}", file=sys.stderr, flush=True)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Predicted beside measured time and perplexity of random plans.")
    parser.add_argument("--text", type=Path, required=True, help="Folder with valid.txt and test.txt of WikiText-2.")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--num-plans", type=int, default=10)
    parser.add_argument("--cuts", nargs="*", default=["layer", "kv_group", "neuron"])
    parser.add_argument("--embeddings", nargs="+", default=["q8_0", "q5_0", "q4_0"])
    parser.add_argument("--num-windows", type=int, default=8)
    parser.add_argument("--num-judged", type=int, default=8)
    parser.add_argument("--num-test-windows", type=int, default=16)
    parser.add_argument("--window-tokens", type=int, default=512)
    parser.add_argument("--num-healing-steps", type=int, default=120)
    parser.add_argument("--noise", type=float, default=0.25)
    parser.add_argument("--num-turns", type=int, default=11)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


def _open_subject(settings: argparse.Namespace) -> tuple[Subject, Tensor]:
    loaded = load_model(settings.model)
    _move_off_grid(loaded, noise=settings.noise, seed=settings.seed)
    valid_NT = _windows(loaded, settings.text / "valid.txt", settings.window_tokens)
    heldout_NT = _windows(loaded, settings.text / "test.txt", settings.window_tokens)[: settings.num_test_windows]
    counts = [settings.num_windows, HealConfig().num_windows, settings.num_judged]
    calibration_NT, healing_NT, judged_NT, _ = torch.split(valid_NT, [*counts, len(valid_NT) - sum(counts)])
    found = find_candidate(settings.model, engine="torch", dtype="float32")
    subject = Subject(
        loaded=loaded,
        digest=f"{found.artefact} moved {settings.noise} {settings.seed}" if settings.noise else found.artefact,
        text=Text(calibration_NT=calibration_NT, healing_NT=healing_NT),
        judged_NT=judged_NT,
    )
    return subject, heldout_NT


@torch.no_grad()
def _move_off_grid(loaded: LoadedModel, *, noise: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for path in loaded.architecture.linear_paths if noise else ():
        weight_FD = loaded.model.get_parameter(f"{path}.weight")
        steps_FB = quantize_tensor(weight_FD, GgufType.Q4_1).scales.float()
        drawn_FD = 2 * torch.rand(weight_FD.shape, generator=generator) - 1
        weight_FD.add_(noise * drawn_FD * steps_FB.repeat_interleave(32, dim=1))


def _windows(loaded: LoadedModel, path: Path, window_tokens: int) -> Tensor:
    ids = torch.tensor(loaded.tokenizer(path.read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"])
    count = len(ids) // window_tokens
    return ids[: count * window_tokens].reshape(count, window_tokens)


def _draw_plans(forecaster: Forecaster, space: PlanSpace, settings: argparse.Namespace) -> list[Forecast]:
    """Return plans that none of the probes is, each gene drawn evenly; half of all cuts are left out."""
    draw, config = random.Random(settings.seed), forecaster.drafter.config
    known = {plan.digest for plan in plan_probes(forecaster.drafter, Ground())} | {Plan().digest}
    found: list[Forecast] = []
    while len(found) < settings.num_plans:
        genes = {kind: draw.choice((0, draw.randrange(len(shares)))) for kind, shares in space.shares.items()}
        genes |= {"bits": draw.randint(1, len(space.bits)), "embedding": draw.randrange(len(space.embeddings))}
        plan = space.plan(genes | {"heal": draw.randint(0, 1)})
        if plan.digest in known:
            continue
        known.add(plan.digest)
        forecast = forecaster.forecast(plan)
        if forecast.rise.value <= config.max_rise:
            found.append(forecast)
    return found


def _carry_out(
    measurer: Measurer,
    forecaster: Forecaster,
    plans: list[Forecast],
    heldout_NT: Tensor,
    settings: argparse.Namespace,
) -> list[Outcome]:
    outcomes, subject = [], measurer.subject
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference, path = measurer.write_reference(folder), folder / "plan.gguf"
        reference_nll_NP = file_nll(reference, heldout_NT.numpy(), num_threads=settings.num_threads)
        for forecast in plans:
            layout = forecaster.drafter.draft(forecast.plan)
            made = make_plan(
                subject.loaded, measurer.graph, forecast.plan, layout, subject.text, forecaster.drafter.config
            )
            report = made.write(path)
            with open_child(measurer.timing_order(reference)) as timer:
                turns = timer.time(path)
            outcome = compare(
                forecast,
                artefact=digest_file(path),
                size_bytes=report.size_bytes,
                turns=turns,
                nll_NP=file_nll(path, heldout_NT.numpy(), num_threads=settings.num_threads),
                reference_nll_NP=reference_nll_NP,
                predicted_ratio_of_time=forecaster.latency.ratio(forecaster.features(layout)),
            )
            print(json.dumps(_told(outcome)), file=sys.stderr, flush=True)
            outcomes.append(outcome)
    return outcomes


def _told(outcome: Outcome) -> dict[str, Any]:
    forecast = outcome.forecast
    return {
        "plan": forecast.plan.words,
        "size_bytes": outcome.size_bytes,
        "size_error": outcome.size_error,
        "milliseconds": 1000 * outcome.seconds,
        "predicted_milliseconds": 1000 * outcome.predicted_seconds,
        "latency_error": outcome.latency_error,
        "wall_latency_error": outcome.wall_latency_error,
        "perplexity_ratio": outcome.ratio,
        "predicted_perplexity_ratio": forecast.perplexity_ratio.value,
        "perplexity_error": outcome.perplexity_error,
    }


def _figures(forecaster: Forecaster, outcomes: list[Outcome]) -> dict[str, Any]:
    dense = forecaster.forecast(Plan()).bytes_read
    by_bytes = [
        outcome.forecast.bytes_read / dense * outcome.reference_seconds / outcome.seconds - 1 for outcome in outcomes
    ]
    row: dict[str, Any] = {"num_plans": len(outcomes), "plans": [_told(outcome) for outcome in outcomes]}
    for name, errors in (
        ("latency", [outcome.latency_error for outcome in outcomes]),
        ("wall_latency", [outcome.wall_latency_error for outcome in outcomes]),
        ("latency_by_bytes", by_bytes),
        ("perplexity", [outcome.perplexity_error for outcome in outcomes]),
        ("size", [outcome.size_error for outcome in outcomes]),
        ("fitted_latency_left_out", forecaster.latency.errors.errors),
        ("fitted_perplexity_left_out", forecaster.loss.perplexity_errors.errors),
    ):
        sizes = [abs(error) for error in errors]
        row |= {f"{name}_error_median": statistics.median(sizes), f"{name}_error_largest": max(sizes)}
    return row


if __name__ == "__main__":
    main()
