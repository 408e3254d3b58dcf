"""What the loss says when a structure is taken away: measured, not scored. Shapes: N windows, T tokens, D hidden size.

Theory of operation. A structure of layer i changes nothing below it. So the hidden states that enter each block are
kept from one run of the model, and a removal is measured by running the blocks from i on. When a structure goes for
good, the states are kept anew from there. A greedy choice measures again only what may still win: the loss that a
removal adds rarely falls when more is gone, so a candidate whose old figure is above the best new one waits (lazy
greedy).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from birdbone.compress.errors import NoCalibrationDataError
from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.silencing import silenced
from birdbone.compress.growth.structures import Structure
from birdbone.models import capture_block_inputs, finish_blocks, run_block

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """One structure of a greedy choice: the loss in nats a token with it and all before it gone."""

    structure: Structure
    loss: float


class Ablation:
    """Measures the loss without structures on a few windows, one after another.

    Args:
        windows_NT: tokens; the loss is the mean negative log-likelihood of all but each window's first.

    Raises:
        NoCalibrationDataError: no windows.
    """

    def __init__(
        self, model: PreTrainedModel, graph: DependencyGraph, windows_NT: Int[Tensor, "N T"], *, batch_size: int = 2
    ) -> None:
        if windows_NT.numel() == 0 or windows_NT.shape[1] < 2:
            raise NoCalibrationDataError("There are no windows to measure removals on.")
        self._model, self._graph = model, graph
        self._batches = [windows_NT[start : start + batch_size] for start in range(0, len(windows_NT), batch_size)]
        self._gone: tuple[Structure, ...] = ()
        with torch.no_grad():
            captured = [capture_block_inputs(model, graph.architecture, batch) for batch in self._batches]
        self._contexts = [context for _, context in captured]
        self._states: list[list[Tensor]] = [[hidden for hidden, _ in captured]]
        self._run(0, keeps=True)
        self.base_loss = self._loss(self._states[-1])
        """Loss of the model as it is."""

    def loss_without(self, structure: Structure) -> float:
        """Return the loss when this goes too; structures outside of the layers cannot be measured so."""
        assert structure.layer is not None, f"{structure.name} lies in no layer"
        with silenced(self._model, self._graph, (*self._gone, structure)):
            return self._loss(self._run(structure.layer, keeps=False))

    def remove(self, structure: Structure) -> None:
        """Take a structure away for good: what is measured after this is without it."""
        assert structure.layer is not None, f"{structure.name} lies in no layer"
        self._gone = (*self._gone, structure)
        with silenced(self._model, self._graph, self._gone):
            self._run(structure.layer, keeps=True)

    @torch.no_grad()
    def _run(self, start: int, *, keeps: bool) -> list[Tensor]:
        hidden = self._states[start]
        if keeps:
            del self._states[start + 1 :]
        for index in range(start, self._graph.architecture.num_layers):
            hidden = [
                run_block(self._model, self._graph.architecture, index, hidden_BTD=states, context=context)
                for states, context in zip(hidden, self._contexts, strict=True)
            ]
            if keeps:
                self._states.append(hidden)
        return hidden

    @torch.no_grad()
    def _loss(self, hidden: list[Tensor]) -> float:
        total, count = 0.0, 0
        for batch_BT, states_BTD in zip(self._batches, hidden, strict=True):
            for ids_T, states_TD in zip(batch_BT, states_BTD, strict=True):  # a window at a time: logits are wide
                logits_TV = finish_blocks(self._model, self._graph.architecture, states_TD[None, :-1])[0]
                total += float(cross_entropy(logits_TV.float(), ids_T[1:], reduction="sum"))
                count += len(ids_T) - 1
        return total / count


def removal_losses(
    ablation: Ablation, structures: Sequence[Structure], *, progress: Progress = lambda _done, _total: None
) -> dict[Structure, float]:
    """Return the rise of the loss, in nats a token, when each structure goes alone. It may be negative."""
    rises = {}
    for number, structure in enumerate(structures, start=1):
        rises[structure] = ablation.loss_without(structure) - ablation.base_loss
        progress(number, len(structures))
    return rises


def remove_greedily(
    ablation: Ablation,
    losses: dict[Structure, float],
    *,
    num_removed: int,
    progress: Progress = lambda _done, _total: None,
) -> list[Removed]:
    """Return structures in the order in which they go, each the one that raises the loss least at its turn.

    Args:
        ablation: measures; what is chosen is removed from it.
        losses: the candidates, each with the rise of the loss that was measured for it alone.
        num_removed: how many go, at most all candidates.
        progress: called with structures chosen and structures in all.

    Source: Sandri et al. 2025 (2SSP), arXiv:2501.17771, sec. 3.3 (attention blocks by perplexity, one by one). Differs:
    lazy, so that a turn measures a few candidates and not all.
    """
    queue = [(loss, structure) for structure, loss in losses.items()]
    heapq.heapify(queue)
    chosen: list[Removed] = []
    current = ablation.base_loss
    while len(chosen) < min(num_removed, len(losses)):
        winner, current = _next_winner(ablation, queue, current)
        ablation.remove(winner)
        chosen.append(Removed(structure=winner, loss=current))
        progress(len(chosen), num_removed)
    return chosen


def _next_winner(ablation: Ablation, queue: list[tuple[float, Structure]], current: float) -> tuple[Structure, float]:
    """Take the structure of the least rise out of the queue, having put fresh figures in; return it and the loss."""
    fresh: dict[Structure, float] = {}
    while True:
        _, structure = heapq.heappop(queue)
        if structure in fresh:
            return structure, fresh[structure]
        fresh[structure] = ablation.loss_without(structure)
        heapq.heappush(queue, (fresh[structure] - current, structure))
