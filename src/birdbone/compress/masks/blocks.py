"""Pruning a model block by block in one pass, without training. Shapes: N windows, T tokens, F outputs, D inputs.

Theory of operation. The hidden states of the calibration text run through the decoder as it is pruned. Each block is
first run dense on what the pruned blocks below hand it, which gives the Gram matrix of every linear's inputs; then its
linears are solved, and it is run again, pruned. The linears that read one input are solved as one matrix, as rows do
not know of each other. Only one block is needed at a time, so a checkpoint can be streamed through
(`birdbone.models.streaming`), and only one batch of inputs is held beside its Gram matrices.

A linear imitates its dense self on the inputs that it gets. Imitating the dense model's outputs on other inputs (GPTAQ)
was tried and let the few tokens with huge activations lead all others astray (`benchmarks/LOG.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import BlockPattern, MaskConfig, NOfMPattern, ZeroPattern
from birdbone.compress.errors import NoCalibrationDataError
from birdbone.compress.gram import damp, require_alive
from birdbone.compress.importance import wanda_scores
from birdbone.compress.masks.patterns import projection
from birdbone.compress.masks.strips import is_wide, of_a_strip, solve_in_strips
from birdbone.compress.refit import Project, choose_survivors, prepare_gram, refit_survivors
from birdbone.compress.shedding.zeros import require_blocks_fit, require_n_of_m_fits
from birdbone.compress.statistics import accumulate_lower, mirror_lower
from birdbone.models import Architecture, BlockContext, InputGroup, capture_block_inputs, run_block

Progress = Callable[[int, int], None]
Solved = dict[str, Tensor]
"""Pruned weights by path."""
Solve = Callable[[Mapping[str, Tensor], Tensor, Mapping[str, Project], MaskConfig], Solved]
"""Prunes linears that read one input: given their weights, the damped Gram matrix, the pattern of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedLinear:
    """What became of one linear."""

    path: str
    num_zeros: int
    num_weights: int
    output_error: float
    """Squared error of its outputs on the calibration inputs, as a share of the outputs' power; against the
    linear as it was."""

    @property
    def sparsity(self) -> float:
        """Share of its weights that is zero."""
        return self.num_zeros / self.num_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """What became of a model, linear by linear in the order in which they run."""

    linears: tuple[PrunedLinear, ...]

    @property
    def sparsity(self) -> float:
        """Share of all linears' weights that is zero."""
        return sum(each.num_zeros for each in self.linears) / sum(each.num_weights for each in self.linears)


@torch.no_grad()
def prune_blocks(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    config: MaskConfig,
    *,
    sparsities: Mapping[str, float],
    solve: Solve | None = None,
    batch_size: int = 4,
    enter: Callable[[int], AbstractContextManager[None]] = lambda _index: nullcontext(),
    progress: Progress = lambda _done, _total: None,
) -> PruneReport:
    """Prune every linear of the decoder in place, and report on each.

    Args:
        model: float32. Layers that were pruned stay so if a later one raises.
        windows_NT: calibration tokens; windows beyond the last whole batch are left out.
        sparsities: of each linear by its path, as a budget allotted them; an N:M pattern has its own.
        solve: prunes the linears of an input group; `solve_group` unless given.
        enter: holds the weights of a layer in memory; a model that is there whole needs none.
        progress: called with blocks done and blocks in all.

    Raises:
        NoCalibrationDataError: no windows.
        PatternWidthError: the pattern does not divide a linear's width; nothing is changed then.
        NonFiniteStatisticsError, SilentInputError, SingularGramError: the inputs of a layer (names it).
    Source: layer after layer on the pruned model's own inputs as in Frantar & Alistarh 2023 (SparseGPT),
    arXiv:2301.00774, sec. 4.
    """
    if windows_NT.numel() == 0:
        raise NoCalibrationDataError("There are no calibration windows to prune on.")
    _require_pattern_fits(architecture, config.pattern)
    size = min(batch_size, len(windows_NT))
    batches = [windows_NT[start : start + size] for start in range(0, len(windows_NT) - size + 1, size)]
    captured = [capture_block_inputs(model, architecture, batch) for batch in batches]
    context, hidden = captured[0][1], [hidden_BTD for hidden_BTD, _ in captured]
    linears: list[PrunedLinear] = []
    for index in range(architecture.num_layers):
        layer = architecture.layers[index]
        with enter(index):
            grams = _take_grams(model, architecture, index, hidden, context)
            for group in layer.input_groups:
                linears += _prune_group(
                    model, group, grams.pop(group.linears[0]), config, sparsities, solve or solve_group
                )
            hidden = [run_block(model, architecture, index, hidden_BTD=batch, context=context) for batch in hidden]
        progress(index + 1, architecture.num_layers)
    return PruneReport(linears=tuple(linears))


def _require_pattern_fits(architecture: Architecture, pattern: ZeroPattern) -> None:
    for slot in (slot for layer in architecture.layers for slot in layer.linears):
        shape = (slot.out_features, slot.in_features)
        if isinstance(pattern, NOfMPattern):
            require_n_of_m_fits(shape, pattern.num_kept, pattern.group, where=slot.path)
        elif isinstance(pattern, BlockPattern):
            require_blocks_fit(shape, pattern.rows, pattern.columns, where=slot.path)


def _take_grams(
    model: PreTrainedModel, architecture: Architecture, index: int, hidden: list[Tensor], context: BlockContext
) -> dict[str, Tensor]:
    """Return the mean of x xᵀ for the inputs of each group of a block, by the group's first linear."""
    groups = architecture.layers[index].input_groups
    grams = {group.linears[0]: torch.zeros(group.in_features, group.in_features) for group in groups}
    handles = [
        model.get_submodule(path).register_forward_pre_hook(
            lambda _module, args, gram_DD=gram_DD: accumulate_lower(gram_DD, args[0].detach().float().flatten(0, -2))
        )
        for path, gram_DD in grams.items()
    ]
    try:
        for hidden_BTD in hidden:
            run_block(model, architecture, index, hidden_BTD=hidden_BTD, context=context)
    finally:
        for handle in handles:
            handle.remove()
    num_tokens = sum(hidden_BTD.shape[:2].numel() for hidden_BTD in hidden)
    for gram_DD in grams.values():
        mirror_lower(gram_DD)
        gram_DD /= num_tokens
    return grams


def solve_group(
    weights: Mapping[str, Tensor], gram_DD: Tensor, projects: Mapping[str, Project], config: MaskConfig
) -> Solved:
    """Return the pruned weights of linears that read one input, their rows solved as one matrix.

    Args:
        weights: dense, by path. Not changed.
        gram_DD: damped mean of x xᵀ.
        projects: the pattern of each, in the order of the weights.
    """
    rows, patterns = [len(w_FD) for w_FD in weights.values()], list(projects.values())
    w_FD = torch.cat(list(weights.values()))

    def solve_strip(w_FB: Tensor, gram_BB: Tensor, patterns: Sequence[Project]) -> Tensor:
        return _solve(torch.split(w_FB, rows), gram_BB, patterns, of_a_strip(config))

    if is_wide(len(gram_DD), config):
        solved_FD = solve_in_strips(w_FD, gram_DD, solve_strip, rows=rows, projects=patterns, config=config)
    else:
        solved_FD = _solve(list(weights.values()), gram_DD, patterns, config)
    return dict(zip(weights, torch.split(solved_FD, rows), strict=True))


def _solve(weights: Sequence[Tensor], gram_DD: Tensor, patterns: Sequence[Project], config: MaskConfig) -> Tensor:
    prepared = prepare_gram(gram_DD, penalty=config.penalty)
    chosen = [
        choose_survivors(w_FD, prepared, pattern, num_rounds=config.num_rounds)
        for w_FD, pattern in zip(weights, patterns, strict=True)
    ]
    return refit_survivors(
        torch.cat(list(weights)),
        torch.cat([mask_FD for mask_FD, _ in chosen]),
        gram_DD,
        num_iterations=config.refit.num_iterations,
        damping=0.0,
        start_FD=torch.cat([start_FD for _, start_FD in chosen]),
    )


def drop_only(
    weights: Mapping[str, Tensor], gram_DD: Tensor, projects: Mapping[str, Project], _config: MaskConfig
) -> Solved:
    """Return the weights with those of the lowest Wanda score at zero; nothing takes over."""
    return {path: w_FD * projects[path](wanda_scores(w_FD, gram_DD.diagonal())) for path, w_FD in weights.items()}


def _prune_group(
    model: PreTrainedModel,
    group: InputGroup,
    gram_DD: Tensor,
    config: MaskConfig,
    sparsities: Mapping[str, float],
    solve: Solve,
) -> Iterator[PrunedLinear]:
    """Prune the linears of a group in place."""
    require_alive(gram_DD, group.linears[0])
    gram_DD = damp(gram_DD, config.refit.damping)
    weights = {path: model.get_parameter(f"{path}.weight") for path in group.linears}
    projects = {path: projection(config.pattern, share=sparsities.get(path, 0.0)) for path in group.linears}
    for path, solved_FD in solve(weights, gram_DD, projects, config).items():
        error = _error_share(weights[path], solved_FD, gram_DD)
        weights[path].copy_(solved_FD)
        num_zeros = int((solved_FD == 0).sum())
        yield PrunedLinear(path=path, num_zeros=num_zeros, num_weights=solved_FD.numel(), output_error=error)


def _error_share(w_FD: Tensor, v_FD: Tensor, gram_DD: Tensor) -> float:
    error_FD = w_FD - v_FD
    return float(((error_FD @ gram_DD) * error_FD).sum() / ((w_FD @ gram_DD) * w_FD).sum())
