"""Running a model block by block, so that a pass over it needs one block in use.

Shapes: B batch, T tokens, D hidden size, V vocabulary.

Theory of operation. What a decoder layer receives beside its hidden states (mask, rotary cosines, positions) is made by
the model's own forward and differs by family and by layer. So nothing is rebuilt here: the model's forward is run once
with every layer replaced by a recorder that keeps what it was handed and returns the hidden states as they came. That
costs an embedding look-up and a norm, runs no layer, and gives the exact arguments of each.
The law that tests hold: capture, every block, `finish_blocks` = `model(token_ids).logits`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from birdbone.models.architecture import Architecture
from birdbone.models.errors import BlockShapeError
from birdbone.models.inspection import decoder_layers


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockContext:
    """What each layer receives beside its hidden states, for batches of one shape without padding."""

    batch_shape: tuple[int, int]
    layer_arguments: tuple[Mapping[str, Any], ...]


def capture_block_inputs(
    model: PreTrainedModel, architecture: Architecture, token_ids_BT: Int[Tensor, "B T"]
) -> tuple[Float[Tensor, "B T D"], BlockContext]:
    """Return the input of the first block and the context to run every block with, without running any.

    The context serves any batch of the same shape. The model is used as it is (`eval` for a repeatable result) and is
    left unchanged; it must not be run from another thread meanwhile.
    """
    layers = decoder_layers(model, architecture)
    records: list[tuple[Tensor, dict[str, Any]]] = []
    with _recording(layers, records):
        model.base_model(input_ids=token_ids_BT, use_cache=False)
    num_sequences, num_tokens = token_ids_BT.shape
    arguments = tuple(keywords for _, keywords in records)
    return records[0][0], BlockContext(batch_shape=(num_sequences, num_tokens), layer_arguments=arguments)


def run_block(
    model: PreTrainedModel,
    architecture: Architecture,
    index: int,
    *,
    hidden_BTD: Float[Tensor, "B T D"],
    context: BlockContext,
) -> Float[Tensor, "B T D"]:
    """Return the output of layer `index` on `hidden_BTD`. Gradients flow unless the caller stops them.

    Raises:
        BlockShapeError: the hidden states have another batch shape than the context.
    """
    if tuple(hidden_BTD.shape[:2]) != context.batch_shape:
        message = f"Expected hidden states of batch shape {context.batch_shape}, got {tuple(hidden_BTD.shape[:2])}."
        raise BlockShapeError(message)
    layer = model.get_submodule(architecture.layer_path(index))
    output: Tensor = layer(hidden_BTD, **context.layer_arguments[index])
    return output


def finish_blocks(
    model: PreTrainedModel, architecture: Architecture, hidden_BTD: Float[Tensor, "B T D"]
) -> Float[Tensor, "B T V"]:
    """Return the logits for the output of the last block: final norm, head, soft cap."""
    hidden = hidden_BTD
    for path in (architecture.final_norm, architecture.head_projection, architecture.head):
        if path is not None:
            hidden = model.get_submodule(path)(hidden)
    if architecture.logit_softcap is not None:
        hidden = torch.tanh(hidden / architecture.logit_softcap) * architecture.logit_softcap
    return hidden


@contextlib.contextmanager
def _recording(layers: list[nn.Module], records: list[tuple[Tensor, dict[str, Any]]]) -> Iterator[None]:
    def record(hidden: Tensor, **keywords: Any) -> Tensor:
        records.append((hidden, keywords))
        return hidden

    # An instance may already carry its own `forward` (device hooks do that): it comes back.
    own = [layer.__dict__.get("forward") for layer in layers]
    try:
        for layer in layers:
            layer.forward = record
        yield
    finally:
        for layer, forward in zip(layers, own, strict=True):
            if forward is None:
                layer.__dict__.pop("forward", None)
            else:
                layer.forward = forward
