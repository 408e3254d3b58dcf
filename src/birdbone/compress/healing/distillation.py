"""Whole-model healing: every weight of the decoder learns from the dense model's predictions.

Shapes: N windows, T tokens.

Block-wise healing asks each block for what the dense block gives, whether or not the predictions need it. Here the
predictions themselves are asked for, so that blocks may share the work; it takes a pass through the whole model for
each step. Embedding and head do not learn.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import DistillConfig
from birdbone.compress.healing.learning import learn
from birdbone.compress.healing.lessons import Lessons
from birdbone.compress.healing.masking import Masks, decoder_parameters, masked_weights, num_held, put_masks_on
from birdbone.compress.healing.report import HealReport
from birdbone.evaluate.readout import find_readout
from birdbone.models import Architecture
from birdbone.watch import MetricSink


def distill(
    pruned: PreTrainedModel,
    dense: PreTrainedModel,
    architecture: Architecture,
    *,
    windows_NT: Int[Tensor, "N T"],
    masks: Masks,
    config: DistillConfig,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    sink: MetricSink | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> HealReport:
    """Teach `pruned` to predict as `dense` does, in place; no weight that a mask drops comes back.

    Args:
        windows_NT: healing tokens; whole batches of `config.batch_size` are used, again and again.
        progress: called with steps done and steps in all.
        sink: receives each step's loss as `healing_loss`.
        should_stop: asked before each step; what was learned until then stays.

    Raises:
        HealingDivergedError: the loss was not finite at any rate; the model is as it was, but for the masks.
    Source: Hinton et al. 2015, arXiv:1503.02531, sec. 2. Symbols: T = 1; the weight of the soft targets =
    `distill_share`. Differs: KL divergence to the dense model, whose gradient is the same.
    """
    parameters = list(decoder_parameters(pruned, architecture).values())
    masked = masked_weights(pruned, architecture.linear_paths, masks)
    put_masks_on(masked)
    lessons = Lessons(find_readout(dense), windows_NT, batch_size=config.batch_size, distill_share=config.distill_share)
    losses = learn(
        pruned,
        parameters,
        lessons,
        config,
        after_update=lambda: put_masks_on(masked),
        progress=progress,
        sink=sink,
        should_stop=should_stop,
    )
    return HealReport(
        kind=config.kind,
        losses=(losses,),
        num_steps=len(losses),
        num_tokens=len(losses) * lessons.num_tokens,
        num_learned=sum(parameter.numel() for parameter in parameters) - num_held(masked),
    )
