"""What a wave notes of what it did: damage by layer, spikes of its healing, time and memory."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from birdbone.compress.damage import DamageProfile, measure_drift
from birdbone.compress.healing import HealReport
from birdbone.compress.spikes import Spike, find_spikes
from birdbone.models import LoadedModel, compute_in
from birdbone.pipeline.context import StepContext
from birdbone.pipeline.recipe import WavesStep
from birdbone.watch import sample_resources


def cost_notes(context: StepContext, begun_at: float) -> dict[str, Any]:
    """Return the seconds since `begun_at` (of the monotonic clock) and the memory that the machine has left."""
    available_bytes = sample_resources(path=context.run_folder).memory_available_bytes
    return {"seconds": time.monotonic() - begun_at, "available_bytes": available_bytes}


def damage_notes(
    context: StepContext, settings: WavesStep, state: LoadedModel, dense: LoadedModel, windows_NT: Any
) -> dict[str, Any]:
    """Return own and propagated damage of each layer; nothing where the settings leave it out."""
    config = settings.damage
    if config.num_windows == 0:
        return {}
    with compute_in(context.recipe.dtype):
        profile = measure_drift(
            state.model,
            dense.model,
            state.architecture,
            windows_NT=windows_NT[: config.num_windows],
            batch_size=config.batch_size,
            progress=context.progress("damage by layer"),
        )
    return {"damage_by_layer": plain_profile(profile)}


def plain_profile(profile: DamageProfile) -> dict[str, Any]:
    """Return a profile as plain data, a list a figure; what is not finite is None."""
    return {
        "own": _plain(profile.own.error_L),
        "propagated": _plain(profile.propagated.error_L),
        "own_cosine": _plain(profile.own.cosine_L),
        "propagated_cosine": _plain(profile.propagated.cosine_L),
        "own_cka": _plain(profile.own.cka_L),
        "propagated_cka": _plain(profile.propagated.cka_L),
        "num_tokens": profile.num_tokens,
    }


def healing_notes(report: HealReport) -> dict[str, Any]:
    """Return what a wave notes of its healing."""
    notes: dict[str, Any] = {"healing": report.kind, "spikes": healing_spikes(report)}
    if report.errors_before:
        notes |= {"healing_errors_before": report.errors_before, "healing_errors_after": report.errors_after}
    if report.loss_before is not None and report.loss_after is not None:
        losses = {"before": _finite(report.loss_before), "after": _finite(report.loss_after)}
        notes["healing_loss"] = losses | {"is_kept": report.is_kept}
    return notes


def healing_spikes(report: HealReport) -> list[dict[str, Any]]:
    """Return the spikes of the healing loss, each with its block; None where the whole model learned.

    The losses of all blocks are one stream: each as the log of its share of the error with which its block began, so
    that loud and quiet blocks are on one level. Those of the whole model are shares of the first.
    """
    begun = report.errors_before or tuple(losses[0] if losses else math.nan for losses in report.losses)
    stream = [
        (block if report.errors_before else None, _share(loss, begun[block]))
        for block, losses in enumerate(report.losses)
        for loss in losses
    ]
    return [plain_spike(spike, block=stream[spike.start][0]) for spike in find_spikes(value for _, value in stream)]


def plain_spike(spike: Spike, *, block: int | None) -> dict[str, Any]:
    """Return a spike as plain data; a peak that is not finite is None."""
    plain = asdict(spike) | {"block": block, "votes": list(spike.votes)}
    return plain | {key: None for key in ("peak", "peak_deviation") if not math.isfinite(plain[key])}


def _share(loss: float, error_before: float) -> float:
    if not math.isfinite(loss):
        return math.nan
    return math.log(max(loss, 1e-30) / max(error_before, 1e-30))


def _plain(values: Iterable[float]) -> list[float | None]:
    return [_finite(value) for value in values]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
