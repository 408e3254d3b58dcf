"""The steps by which a whole model learns from lessons, whatever part of it learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch.nn import Parameter
from transformers import PreTrainedModel

from birdbone.compress.config import WholeModelHealing
from birdbone.compress.errors import HealingDivergedError
from birdbone.compress.healing.lessons import Lessons
from birdbone.compress.healing.masking import only_learning
from birdbone.evaluate.perplexity import evaluation_mode
from birdbone.evaluate.readout import find_readout
from birdbone.train import DivergedError, FitConfig
from birdbone.train.loop import fit
from birdbone.watch import MetricSink


def learn(
    model: PreTrainedModel,
    parameters: Sequence[Parameter],
    lessons: Lessons,
    config: WholeModelHealing,
    *,
    after_update: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    sink: MetricSink | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[float, ...]:
    """Let parameters of a model learn, in place, and return the loss of each step before its update.

    Args:
        after_update: runs after each update, such as putting masks back on.
        progress: called with steps done and steps in all.
        sink: receives each step's loss as `healing_loss`.
        should_stop: asked before each step; what was learned until then stays.

    Raises:
        HealingDivergedError: the loss was not finite at any rate; the parameters are as they were.
    """
    done = 0

    def after_step() -> None:
        nonlocal done
        after_update()
        done += 1
        progress(done, config.num_steps)

    try:
        with evaluation_mode(model), only_learning(model, parameters):
            student = find_readout(model)
            result = fit(
                parameters,
                lambda step: lessons.loss(student, step % len(lessons)),
                FitConfig(
                    num_steps=config.num_steps,
                    learning_rate=config.learning_rate,
                    num_warmup_steps=config.num_warmup_steps,
                ),
                after_step=after_step,
                should_stop=should_stop,
                sink=sink,
                name="healing_loss",
            )
    except DivergedError as error:
        raise HealingDivergedError("Healing of the whole model diverged.") from error
    return result.losses
