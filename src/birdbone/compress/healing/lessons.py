"""The loss that a whole model heals by: the dense model's predictions and the text's next token.

Shapes: N windows, T tokens, B windows a batch, C positions of a batch, D hidden size, V vocabulary.

Theory of operation. With P the dense model's distribution and y the next token, the loss is s KL(P || Q) + (1 - s)
(-log Q(y)), averaged over positions. Its gradient by the logits is Q - (s P + (1 - s) onehot(y)), so it is written down
instead of being recorded: the logits of a few positions at a time are made, used and forgotten, and the head, which
does not learn, is run once forward and once backward. The dense model runs once for each batch; its last hidden states
are kept, and a batch that comes again costs the dense model its head alone.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from birdbone.evaluate.readout import LOGITS_BUDGET_BYTES, Readout

_COPIES = 6  # of the logits: those of both models, two log-softmaxes, the gradient, and what is on the way


class Lessons:
    """Batches of windows with what the dense model says of them."""

    def __init__(
        self, dense: Readout, windows_NT: Int[Tensor, "N T"], *, batch_size: int, distill_share: float
    ) -> None:
        size = min(batch_size, len(windows_NT))
        self._batches = [windows_NT[start : start + size] for start in range(0, len(windows_NT) - size + 1, size)]
        self._dense, self._share = dense, distill_share
        self._dense_states: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def num_tokens(self) -> int:
        """Tokens of one batch."""
        return self._batches[0].numel()

    def loss(self, student: Readout, number: int) -> Float[Tensor, ""]:
        """Return the mean loss over the positions of a batch, in nats; gradients flow into the student."""
        ids_BT = self._batches[number]
        hidden_CD = student.backbone(input_ids=ids_BT[:, :-1], use_cache=False)[0].flatten(0, 1)
        states_CD = self._states(number) if self._share > 0 else None
        loss: Tensor = _HeadLoss.apply(  # type: ignore[no-untyped-call]
            hidden_CD, ids_BT[:, 1:].flatten(), states_CD, student, self._dense, self._share
        )
        return loss

    @torch.no_grad()
    def mean_loss(self, student: Readout) -> float:
        """Return the mean loss over all batches."""
        return sum(float(self.loss(student, number)) for number in range(len(self))) / len(self)

    def _states(self, number: int) -> Tensor:
        if number not in self._dense_states:
            self._dense_states[number] = self._dense.hidden(self._batches[number][:, :-1]).flatten(0, 1)
        return self._dense_states[number]


class _HeadLoss(torch.autograd.Function):
    """The mean loss of hidden states, with its gradient by them made on the way."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_CD: Tensor,
        target_C: Tensor,
        dense_CD: Tensor | None,
        student: Readout,
        dense: Readout,
        share: float,
    ) -> Tensor:
        size = max(1, LOGITS_BUDGET_BYTES // (_COPIES * 4 * student.vocab_size))
        needs_gradient = ctx.needs_input_grad[0]
        total, gradients = hidden_CD.new_zeros((), dtype=torch.float64), []
        for begin in range(0, len(hidden_CD), size):
            part = slice(begin, begin + size)
            leaf_CD, logits_CV = _logits(student, hidden_CD[part], needs_gradient=needs_gradient)
            dense_CV = None if dense_CD is None else dense.logits(dense_CD[part])
            loss_C, by_logits_CV = _mixed(logits_CV.detach(), target_C[part], dense_CV, share)
            total += loss_C.double().sum()
            if needs_gradient:
                (by_hidden_CD,) = torch.autograd.grad(logits_CV, leaf_CD, by_logits_CV)
                gradients.append(by_hidden_CD / len(hidden_CD))
        if needs_gradient:
            ctx.save_for_backward(torch.cat(gradients))
        return (total / len(hidden_CD)).to(torch.float32)

    @staticmethod
    def backward(ctx: Any, by_loss: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        (by_hidden_CD,) = ctx.saved_tensors
        return by_loss * by_hidden_CD, None, None, None, None, None


def _logits(student: Readout, hidden_CD: Tensor, *, needs_gradient: bool) -> tuple[Tensor, Tensor]:
    """Return the hidden states as a leaf of their own graph, and the logits as its end."""
    with torch.set_grad_enabled(needs_gradient):
        leaf_CD = hidden_CD.detach().requires_grad_(needs_gradient)
        logits_CV: Tensor = student.head(leaf_CD).float()
        if student.softcap is not None:
            logits_CV = student.softcap * torch.tanh(logits_CV / student.softcap)
    return leaf_CD, logits_CV


def _mixed(
    logits_CV: Tensor, target_C: Tensor, dense_CV: Tensor | None, share: float
) -> tuple[Float[Tensor, " C"], Float[Tensor, "C V"]]:
    """Return the loss of each position and its gradient by the logits."""
    log_q_CV = functional.log_softmax(logits_CV, dim=-1)
    loss_C = -(1 - share) * log_q_CV.gather(1, target_C[:, None])[:, 0]
    by_logits_CV = log_q_CV.exp()
    by_logits_CV.scatter_add_(1, target_C[:, None], by_logits_CV.new_full((len(target_C), 1), share - 1))
    if dense_CV is not None:
        log_p_CV = functional.log_softmax(dense_CV, dim=-1)
        p_CV = log_p_CV.exp()
        loss_C = loss_C + share * (p_CV * (log_p_CV - log_q_CV)).sum(dim=-1)
        by_logits_CV.sub_(p_CV, alpha=share)
    return loss_C, by_logits_CV
