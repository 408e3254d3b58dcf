"""What `compress plan` prints and draws: the machine, how far predictions are off, the front, the chosen plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from birdbone.cli import words
from birdbone.cli.compress.planning import Found
from birdbone.cli.output import new_table
from birdbone.compress.plan.forecast import Forecast
from birdbone.compress.plan.front import thinned
from birdbone.compress.plan.outcome import Outcome
from birdbone.core import write_atomically
from birdbone.pipeline.report import wording
from birdbone.pipeline.report.plan_page import PlanPage, interval_of_rise, render_plan_page, rise_words

_NUM_ROWS = 14


def write(found: Found, *, page: Path | None) -> Iterator[Path]:
    """Write the page that is wanted, whole or not at all, and yield the paths of all that was written.

    Raises:
        DiskFullError: no room; an earlier page stays as it was.
    """
    if found.asked.out is not None:
        yield found.asked.out
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(page) as stream:
            stream.write(render_plan_page(page_of(found)).encode())
        yield page


def as_json(found: Found) -> dict[str, Any]:
    """Return everything as plain data."""
    forecaster, budget = found.forecaster, found.budget
    return {
        "model": found.model,
        "target": found.asked.target,
        "profile": found.asked.profile,
        "hardware": found.hardware.to_dict(),
        "num_threads": found.num_threads,
        "budget": {
            "max_bytes": budget.max_bytes,
            "max_perplexity_ratio": budget.max_ratio,
            "max_seconds": budget.max_seconds,
        },
        "settings": found.asked.config.model_dump(mode="json"),
        "latency": {
            "coefficients": dict(forecaster.latency.coefficients),
            "reference_seconds": forecaster.latency.reference_seconds,
            "errors": list(forecaster.latency.errors.errors),
            "probes": [{"name": probe.name, "ratio": probe.ratio} for probe in found.evidence.timed],
        },
        "loss": {
            "coefficients": dict(forecaster.loss.coefficients),
            "errors": list(forecaster.loss.perplexity_errors.errors),
            "probes": [{"name": probe.name, "rise": probe.rise} for probe in found.evidence.judged],
        },
        "front": [forecast.to_data() for forecast in found.front],
        "chosen": found.chosen.to_data(),
        "outcome": None if found.outcome is None else found.outcome.to_data(),
    }


def tables(found: Found) -> Iterator[Table]:
    """Yield the machine, the errors of the fits, the front, and what a plan came to."""
    yield new_table(("machine", ""), machine_rows(found), title=found.model)
    yield new_table(("prediction", "measured on", "off in the middle", "at most"), error_rows(found))
    shown = thinned(found.front, keep=found.chosen, count=_NUM_ROWS)
    rows = [_row(forecast, is_chosen=forecast == found.chosen) for forecast in shown]
    title = f"plans that no other beats: {len(shown)} of {len(found.front)}"
    yield new_table(("", "file", "ms a token", "perplexity", "where 95 of 100 lie", "plan"), rows, title=title)
    if found.outcome is not None:
        title = f"carried out: {found.chosen.plan.words}"
        yield new_table(("figure", "predicted", "measured", "off by"), outcome_rows(found.outcome), title=title)


def lines(found: Found) -> Iterator[str]:
    """Yield what the plan is, and what to know about the file."""
    yield f"Chosen within {found.budget.words}: {found.chosen.plan.words}."
    if found.outcome is not None:
        yield from found.outcome.limits


def machine_rows(found: Found) -> list[tuple[str, str]]:
    """Return what the machine is, in words."""
    hardware, power = found.hardware.hardware, found.hardware.power
    bandwidth = found.hardware.bandwidth
    heat = "the system does not tell"
    if power.hottest_celsius is not None:
        limit = "" if power.throttle_celsius is None else f", slowed down at {power.throttle_celsius:.0f} °C"
        heat = f"{power.hottest_celsius:.0f} °C{limit}"
    mains = "none" if power.is_plugged_in is None else "on the mains" if power.is_plugged_in else "in use"
    return [
        ("processor", f"{hardware.cpu_model}, {hardware.num_available_cores} cores, {' '.join(hardware.isa)}"),
        ("memory", words.size(hardware.memory_bytes)),
        ("read from memory", "not measured" if bandwidth is None else f"{words.size(bandwidth.bytes_per_second)}/s"),
        ("GPU", ", ".join(hardware.gpus) or "none"),
        ("battery", mains),
        ("heat", heat),
        ("threads", str(found.num_threads)),
    ]


def error_rows(found: Found) -> list[tuple[str, str, str, str]]:
    """Return how far each prediction lay off what it was not fitted to."""
    latency, loss = found.forecaster.latency.errors, found.forecaster.loss.perplexity_errors
    pairs = (("ms a token", "files", latency), ("perplexity", "plans", loss))
    return [
        (name, f"{len(errors.errors)} {what}", f"{100 * errors.median:.1f} %", f"{100 * errors.largest:.1f} %")
        for name, what, errors in pairs
    ]


def outcome_rows(outcome: Outcome) -> list[tuple[str, str, str, str]]:
    """Return each figure predicted, measured, and how far off it was."""
    forecast = outcome.forecast
    measured = rise_words(outcome.ratio)
    if outcome.ratio_low is not None and outcome.ratio_high is not None:
        measured += f" [{rise_words(outcome.ratio_low)}, {rise_words(outcome.ratio_high)}]"
    return [
        ("file", f"{forecast.size_bytes:,} bytes", f"{outcome.size_bytes:,} bytes", _off(outcome.size_error)),
        (
            "ms a token",
            f"{1000 * outcome.predicted_seconds:.2f}",
            f"{1000 * outcome.seconds:.2f}",
            _off(outcome.latency_error),
        ),
        ("over F16", f"{1 / outcome.predicted_ratio_of_time:.2f} times", f"{outcome.speed_up.value:.2f} times", ""),
        ("perplexity over F16", rise_words(forecast.perplexity_ratio.value), measured, _off(outcome.perplexity_error)),
        ("perplexity", "", f"{outcome.perplexity:.3f} (F16: {outcome.reference_perplexity:.3f})", ""),
    ]


def page_of(found: Found) -> PlanPage:
    """Return what the page shows."""
    return PlanPage(
        model=found.model,
        budget=found.budget,
        machine=tuple(machine_rows(found)),
        errors=tuple(error_rows(found)),
        front=found.front,
        chosen=found.chosen,
        timed=found.evidence.timed,
        judged=found.evidence.judged,
        latency=found.forecaster.latency,
        loss=found.forecaster.loss,
        outcome=tuple(outcome_rows(found.outcome)) if found.outcome is not None else (),
        settings=_settings(found),
    )


def _settings(found: Found) -> Sequence[tuple[str, str]]:
    sample = found.sample
    return (
        ("target", f"{found.asked.target}, {found.asked.profile}"),
        ("budget", found.budget.words),
        ("text", sample.source),
        ("windows", f"{sample.num_windows} of {sample.window} tokens, {sample.num_judged} judged"),
        ("machine", wording.digest_words(found.hardware.digest)),
    )


def _row(forecast: Forecast, *, is_chosen: bool) -> tuple[str, ...]:
    return (
        "*" if is_chosen else "",
        words.size(forecast.size_bytes),
        f"{1000 * forecast.seconds.value:.2f}",
        rise_words(forecast.perplexity_ratio.value),
        interval_of_rise(forecast),
        forecast.plan.words,
    )


def _off(share: float) -> str:
    return f"{100 * share:+.2f} %"
