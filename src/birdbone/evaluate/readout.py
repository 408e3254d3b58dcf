"""Logits of a causal model by parts, so that they never stand in memory all at once.

Shapes: B windows in a batch, T tokens, H hidden, V vocabulary, C positions in a chunk.
A batch of 8 windows of 2,048 tokens over a vocabulary of 128,000 is 8 GB of float32 logits; its hidden states are a few
dozen MB. So the backbone runs once and the head runs over a few positions at a time. That is only right if the model
does nothing else after its head, which is checked on each model against the model's own logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from birdbone.evaluate.errors import BadWindowsError, UnknownReadoutError

LOGITS_BUDGET_BYTES = 256 * 2**20
"""What the logits of a chunk, in float32 and with the copies that a softmax makes, may take."""

_COPIES = 3
_PROBE_TOKENS = 8
_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """A causal model as backbone and head."""

    backbone: nn.Module
    """Ids to hidden states."""
    head: nn.Module
    """Hidden states to logits."""
    softcap: float | None
    """Gemma 2's bound c on the logits: c * tanh(logits / c)."""
    vocab_size: int
    """V, as the input embedding has it."""
    max_tokens: int | None
    """Longest context, where the model's config says."""

    @torch.no_grad()
    def hidden(self, ids_BT: Tensor) -> Tensor:
        """Return the last hidden states (B, T, H), without a gradient."""
        states: Tensor = self.backbone(input_ids=ids_BT, use_cache=False)[0]
        return states

    @torch.no_grad()
    def logits(self, hidden_CH: Tensor) -> Tensor:
        """Return the logits (C, V) in float32, without a gradient."""
        logits_CV: Tensor = self.head(hidden_CH).float()
        return logits_CV if self.softcap is None else self.softcap * torch.tanh(logits_CV / self.softcap)

    def chunks(self, hidden_CH: Tensor, *, budget_bytes: int = LOGITS_BUDGET_BYTES) -> Iterator[Tensor]:
        """Yield the logits of consecutive positions, each chunk within the budget (one position at least)."""
        size = max(1, budget_bytes // (_COPIES * 4 * self.vocab_size))
        for begin in range(0, len(hidden_CH), size):
            yield self.logits(hidden_CH[begin : begin + size])

    def ids(self, windows_BT: NDArray[np.int64]) -> Tensor:
        """Return the ids as a tensor on the model's device."""
        return torch.from_numpy(np.ascontiguousarray(windows_BT)).to(next(self.backbone.parameters()).device)


def find_readout(model: nn.Module) -> Readout:
    """Return backbone and head of a causal model of transformers, after checking that they give the model's own logits.

    Raises:
        UnknownReadoutError: it has no such parts, or they give other logits than the model.
    """
    backbone, head, embedding = _parts(model)
    config = getattr(model, "config", None)
    readout = Readout(
        backbone=backbone,
        head=head,
        softcap=getattr(config, "final_logit_softcapping", None),
        vocab_size=embedding.num_embeddings,
        max_tokens=getattr(config, "max_position_embeddings", None),
    )
    _check_against_model(readout, model)
    return readout


def check_windows(windows_NT: NDArray[np.int64], readout: Readout) -> None:
    """Raise unless the windows are ids (N >= 1, T >= 2) that the model knows, within its context.

    Raises:
        BadWindowsError: says what does not fit.
    """
    if windows_NT.ndim != 2 or windows_NT.shape[0] < 1 or windows_NT.shape[1] < 2:
        raise BadWindowsError(f"Windows must be (N >= 1, T >= 2) token ids, not of shape {windows_NT.shape}.")
    lowest, highest = int(windows_NT.min()), int(windows_NT.max())
    if lowest < 0 or highest >= readout.vocab_size:
        wrong = lowest if lowest < 0 else highest
        raise BadWindowsError(f"Token id {wrong} lies outside the model's vocabulary of {readout.vocab_size}.")
    if readout.max_tokens is not None and windows_NT.shape[1] > readout.max_tokens:
        raise BadWindowsError(f"Windows of {windows_NT.shape[1]} tokens exceed the context of {readout.max_tokens}.")


def _parts(model: nn.Module) -> tuple[nn.Module, nn.Module, nn.Embedding]:
    backbone = getattr(model, "base_model", None)
    find_head, find_embedding = (getattr(model, f"get_{side}_embeddings", None) for side in ("output", "input"))
    head = find_head() if callable(find_head) else None
    embedding = find_embedding() if callable(find_embedding) else None
    if not isinstance(backbone, nn.Module) or backbone is model or not isinstance(head, nn.Module):
        raise UnknownReadoutError(f"{type(model).__name__} has no backbone and head that can be told apart.")
    if not isinstance(embedding, nn.Embedding):
        raise UnknownReadoutError(f"{type(model).__name__} has no input embedding that can be found.")
    return backbone, head, embedding


@torch.no_grad()
def _check_against_model(readout: Readout, model: nn.Module) -> None:
    ids_1T = readout.ids(np.arange(_PROBE_TOKENS, dtype=np.int64)[None] % readout.vocab_size)
    own_TV = model(input_ids=ids_1T, use_cache=False).logits[0].float()
    ours_TV = readout.logits(readout.hidden(ids_1T)[0])
    scale = float(own_TV.abs().nan_to_num().max())
    if ours_TV.shape != own_TV.shape or not torch.allclose(
        ours_TV, own_TV, rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True
    ):
        raise UnknownReadoutError(f"{type(model).__name__} gives other logits than its backbone and head.")
