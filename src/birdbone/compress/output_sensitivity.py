"""How much the loss feels each output of each linear. Shapes: N windows, T tokens, F outputs of a linear."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from birdbone.compress.errors import NoCalibrationDataError


def output_sensitivity(
    model: PreTrainedModel,
    paths: Sequence[str],
    windows_NT: Int[Tensor, "N T"],
    *,
    generator: Generator | None = None,
    batch_size: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Float[Tensor, " F"]]:
    """Return E[g²] of each linear's outputs, in squared nats over squared units of the output.

    g is the gradient of the negative log-likelihood, summed over tokens. Costs one forward, and one backward for
    activations only: no gradient of a weight is made. The model is unchanged.

    Args:
        paths: of the linears.
        windows_NT: calibration tokens.
        generator: draws the tokens whose likelihood is differentiated from the model itself (the Fisher information,
            for a divergence from this model); None takes the text's own next tokens (for the loss on such text).
        progress: called with windows done and windows in all.

    Raises:
        NoCalibrationDataError: no windows.
    Source: the output factor of Martens & Grosse 2015 (K-FAC), arXiv:1503.05671, sec. 3, by its diagonal; tokens drawn
    as in its sec. 5, or the empirical Fisher.
    """
    if windows_NT.numel() == 0:
        raise NoCalibrationDataError("There are no windows to take the sensitivity of outputs on.")
    sums: dict[str, Tensor] = {}

    def add(path: str, gradient: Tensor) -> None:
        squares_F = gradient.detach().float().flatten(0, -2).square().sum(dim=0)
        sums[path] = sums[path] + squares_F if path in sums else squares_F

    def watch(path: str, output: Tensor) -> None:
        output.register_hook(lambda gradient: add(path, gradient))  # type: ignore[no-untyped-call]

    handles = [
        model.get_submodule(path).register_forward_hook(lambda _module, _args, output, path=path: watch(path, output))
        for path in paths
    ]
    embed = model.get_input_embeddings()
    try:
        for start in range(0, len(windows_NT), batch_size):
            batch_BT = windows_NT[start : start + batch_size]
            embedded_BTD = embed(batch_BT).detach().requires_grad_(True)  # so that gradients reach every linear
            logits_BTV = model(inputs_embeds=embedded_BTD, use_cache=False).logits
            torch.autograd.grad(_summed_loss(logits_BTV, batch_BT, generator), embedded_BTD)
            progress(min(start + batch_size, len(windows_NT)), len(windows_NT))
    finally:
        for handle in handles:
            handle.remove()
    return {path: sums[path] / windows_NT.numel() for path in paths}


def _summed_loss(logits_BTV: Tensor, batch_BT: Tensor, generator: Generator | None) -> Tensor:
    if generator is None:
        logits_MV, wanted_M = logits_BTV[:, :-1].flatten(0, 1).float(), batch_BT[:, 1:].flatten()
    else:
        logits_MV = logits_BTV.flatten(0, 1).float()
        wanted_M = torch.multinomial(logits_MV.detach().softmax(-1), 1, generator=generator)[:, 0]
    return cross_entropy(logits_MV, wanted_M, reduction="sum")
