"""The optimiser loop. A loss that stops being finite puts the parameters back and starts again at half the rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

from birdbone.train.config import FitConfig
from birdbone.train.errors import DivergedError
from birdbone.watch import MetricSink


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """Loss of each step before its update, and how often the fit had to start again."""

    losses: tuple[float, ...]
    num_restarts: int


def fit(
    parameters: Sequence[Parameter],
    loss_of_step: Callable[[int], Tensor],
    config: FitConfig,
    *,
    after_step: Callable[[], None] = lambda: None,
    should_stop: Callable[[], bool] = lambda: False,
    sink: MetricSink | None = None,
    name: str = "loss",
) -> FitResult:
    """Minimise a loss with Adam and return the loss of each step. Changes `parameters` in place.

    Args:
        loss_of_step: the loss of step 0, 1, ...; a pure function of the step and the parameters, so that a fit repeats.
        after_step: runs after each update, such as putting a mask back on.
        should_stop: asked before each step; with True the fit ends there and keeps what it learned.
        sink: receives each step's loss as `name`.

    Raises:
        DivergedError: no rate tried kept loss and gradients finite; the parameters are as they were.
    """
    start = [parameter.detach().clone() for parameter in parameters]
    for attempt in range(config.max_restarts + 1):
        rate = config.learning_rate / 2**attempt
        losses = _descend(parameters, loss_of_step, config, rate=rate, after_step=after_step, should_stop=should_stop)
        if losses is not None:
            _report(losses, sink, name)
            return FitResult(losses=tuple(losses), num_restarts=attempt)
        _restore(parameters, start)
    raise DivergedError(f"The loss was not finite at any rate down to {rate:.3g}.", learning_rate=rate)


@contextmanager
def trainable(parameters: Sequence[Parameter]) -> Iterator[None]:
    """Let the parameters gather gradients inside the block; after it, `requires_grad` and `grad` are as they were."""
    before = [(parameter.requires_grad, parameter.grad) for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
            parameter.grad = None
        yield
    finally:
        for parameter, (requires_grad, grad) in zip(parameters, before, strict=True):
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad


def _descend(
    parameters: Sequence[Parameter],
    loss_of_step: Callable[[int], Tensor],
    config: FitConfig,
    *,
    rate: float,
    after_step: Callable[[], None],
    should_stop: Callable[[], bool],
) -> list[float] | None:
    optimiser = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.95))
    losses: list[float] = []
    for step in range(config.num_steps):
        if should_stop():
            break
        for group in optimiser.param_groups:
            group["lr"] = rate * _warmup(step, config) * _cosine(step, config)
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of_step(step)
        if not bool(loss.isfinite()):
            return None
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(parameters, config.max_gradient_norm)
        if not bool(norm.isfinite()):  # a finite loss may have a NaN gradient, and the last update has no loss after it
            return None
        optimiser.step()
        after_step()
        losses.append(float(loss.detach()))
    return losses


def _warmup(step: int, config: FitConfig) -> float:
    return min(1.0, (step + 1) / (config.num_warmup_steps + 1))


def _cosine(step: int, config: FitConfig) -> float:
    progress = step / max(1, config.num_steps - 1)
    return config.final_fraction + (1 - config.final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def _restore(parameters: Sequence[Parameter], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


def _report(losses: Sequence[float], sink: MetricSink | None, name: str) -> None:
    if sink is not None:
        for step, loss in enumerate(losses):
            sink.log(name, loss, step=step)
