"""Half of a matrix's weights go: three ways to choose and mend, and what each costs in the layer's output.

Run: `python examples/prune_one_matrix.py`. Shapes: F out_features, D in_features, T tokens.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from birdbone.compress.importance.wanda import wanda_scores
from birdbone.compress.refit.pcg import refit_survivors
from birdbone.compress.shedding import shed_lowest

NUM_ROWS, NUM_COLUMNS, NUM_TOKENS = 64, 96, 2048


def main(arguments: list[str]) -> None:
    generator = torch.Generator().manual_seed(int(arguments[0]) if arguments else 0)
    w_FD = torch.randn(NUM_ROWS, NUM_COLUMNS, generator=generator)
    gram_DD = draw_gram(generator)
    dense_FD = torch.ones_like(w_FD, dtype=torch.bool)

    by_size_FD = shed_lowest(w_FD.abs(), dense_FD, fraction=0.5)
    by_load_FD = shed_lowest(wanda_scores(w_FD, gram_DD.diagonal()), dense_FD, fraction=0.5)
    refitted_FD = refit_survivors(w_FD, by_load_FD, gram_DD)

    print(f"smallest weights gone      {relative_error(w_FD * by_size_FD, w_FD, gram_DD):.3f}")
    print(f"least load gone (Wanda)    {relative_error(w_FD * by_load_FD, w_FD, gram_DD):.3f}")
    print(f"the same, survivors refit  {relative_error(refitted_FD, w_FD, gram_DD):.3f}")


def draw_gram(generator: torch.Generator) -> Tensor:
    """Return the mean of x xᵀ over inputs that are correlated and of unequal loudness, as in a real layer."""
    mix_DD = torch.randn(NUM_COLUMNS, NUM_COLUMNS, generator=generator) / NUM_COLUMNS**0.5
    loudness_D = torch.rand(NUM_COLUMNS, generator=generator) * 3 + 0.1
    x_TD = torch.randn(NUM_TOKENS, NUM_COLUMNS, generator=generator) @ mix_DD * loudness_D
    return x_TD.T @ x_TD / NUM_TOKENS


def relative_error(v_FD: Tensor, w_FD: Tensor, gram_DD: Tensor) -> float:
    """Return the power of the output's error over the power of the output."""
    error_FD = v_FD - w_FD
    return float(((error_FD @ gram_DD) * error_FD).sum() / ((w_FD @ gram_DD) * w_FD).sum())


if __name__ == "__main__":
    main(sys.argv[1:])
