"""What healing measured of itself."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class HealReport:
    """What was learned, what it cost, and what it brought.

    Attributes:
        kind: the way of healing, as the settings name it.
        errors_before: block by block, the relative squared error of its output against the dense model before its steps
            (as blocks below were healed by then); empty where the whole model learned.
        errors_after: the same after its steps.
        losses: loss of each step before its update, a series for each block, or one for the whole model.
        num_steps: steps taken.
        num_tokens: tokens that steps learned from, block by block their mean over blocks; one that two steps learned
            from counts twice.
        num_learned: numbers that learned, those that the masks hold at zero left out.
        loss_before: loss in nats a token on windows that nothing learned from; None where none were held back.
        loss_after: the same after healing, whether or not it was kept.
        is_kept: False where `loss_after` was not the lower one and the model is as it was.
        cpu_seconds: of all threads, the judging on held-back windows included.
    """

    kind: str
    errors_before: tuple[float, ...] = ()
    errors_after: tuple[float, ...] = ()
    losses: tuple[tuple[float, ...], ...]
    num_steps: int
    num_tokens: int
    num_learned: int
    loss_before: float | None = None
    loss_after: float | None = None
    is_kept: bool = True
    cpu_seconds: float = field(default=0.0, compare=False)
