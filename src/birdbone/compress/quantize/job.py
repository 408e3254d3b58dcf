"""A model with fewer bits, from a loaded model and windows of text: all steps of it in their order.

Shapes: N windows, T tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import FIRST_TOKEN_SHARE, QuantizeConfig
from birdbone.compress.lowrank.compensation import compensate_model
from birdbone.compress.lowrank.factors import Factors
from birdbone.compress.quantize.learned import learn_rounding
from birdbone.compress.quantize.mixed import ChosenTypes, Tell, choose_types
from birdbone.compress.quantize.whole import LinearImpact, round_ends, round_linears, weigh_linears
from birdbone.compress.statistics import collect_statistics
from birdbone.models import Architecture
from birdbone.models.gguf import RoundedTensor


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedModel:
    """Codes and scales of every matrix that has them, by the weight's name, and what storing each linear so does."""

    tensors: Mapping[str, RoundedTensor]
    chosen: ChosenTypes
    linears: tuple[LinearImpact, ...]
    factors: Mapping[str, Factors] = field(default_factory=dict)
    """By the path of a linear, what takes back a part of its rounding error beside the codes; empty unless wanted."""

    @property
    def bits_per_weight(self) -> float:
        """Bits a weight of all linears together."""
        return 8 * sum(each.size_bytes for each in self.linears) / sum(each.num_weights for each in self.linears)


def quantize_model(
    model: PreTrainedModel,
    architecture: Architecture,
    *,
    windows_NT: Int[Tensor, "N T"],
    config: QuantizeConfig,
    adapter_rank: int = 0,
    tell: Tell = lambda _what, _done, _total: None,
) -> QuantizedModel:
    """Return a model's matrices in the types and by the rounding that the settings name; the model is not changed.

    Args:
        windows_NT: calibration tokens.
        adapter_rank: of the factors that compensate each linear; 0 makes none.
        tell: is told what is done, how much of it is, and how much there is.

    Raises:
        NoCalibrationDataError, NonFiniteStatisticsError, SilentInputError: the text, or what the model does with it.
        BitsBudgetError, BlockWidthError: the types that were asked for.
        WeightRangeError, SingularGramError: a weight, or its inputs, that cannot be rounded.
    """
    statistics = collect_statistics(
        model,
        architecture,
        windows_NT,
        batch_size=1,
        first_token_share=FIRST_TOKEN_SHARE,
        progress=_part(tell, "activation statistics"),
    )
    chosen = choose_types(model, architecture, statistics, windows_NT=windows_NT, wanted=config.format, tell=tell)
    tensors = round_linears(
        model, statistics, types=chosen.types, config=config.rounding, progress=_part(tell, "rounding")
    )
    if config.rounding.num_learning_steps:
        tensors = _learn(model, architecture, tensors, windows_NT=windows_NT, config=config, tell=tell)
    linears = weigh_linears(model, architecture, statistics, types=chosen.types, rounded=tensors)
    factors: dict[str, Factors] = {}
    if adapter_rank:
        factors = compensate_model(
            model, statistics, tensors, rank=adapter_rank, progress=_part(tell, "factors beside the codes")
        )
    tensors |= round_ends(model, architecture, statistics, kind=config.format.embedding, config=config.rounding)
    return QuantizedModel(tensors=tensors, chosen=chosen, linears=linears, factors=factors)


@torch.no_grad()
def dequantized(model: PreTrainedModel, quantized: QuantizedModel) -> PreTrainedModel:
    """Return a copy of the model that holds what the file will: dequantised codes, and half precision elsewhere."""
    stored = copy.deepcopy(model)
    for name, parameter in stored.named_parameters():
        if name in quantized.tensors:
            parameter.copy_(quantized.tensors[name].dequantize())
        elif parameter.ndim > 1:
            parameter.copy_(parameter.half())
    return stored


def _learn(
    model: PreTrainedModel,
    architecture: Architecture,
    tensors: Mapping[str, RoundedTensor],
    *,
    windows_NT: Tensor,
    config: QuantizeConfig,
    tell: Tell,
) -> dict[str, RoundedTensor]:
    learned = learn_rounding(
        copy.deepcopy(model),
        model,
        architecture,
        quantized=tensors,
        weights={name: model.get_parameter(name).detach() for name in tensors},
        windows_NT=windows_NT,
        config=config.rounding,
        progress=_part(tell, "learning to round"),
    )
    return dict(learned.quantized)


def _part(tell: Tell, what: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(what, done, total)
