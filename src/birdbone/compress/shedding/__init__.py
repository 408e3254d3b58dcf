"""Shedding: which weights or structures go, how fast, and how they come back.

Zeros that keep a matrix's shape: `unstructured`, `zeros` (N:M, rectangles). Structures: `choosing` (which), `refitting`
(what stays takes over), `cutting` (out of the model), `restoring` (back), `effect` (what it brought).
"""

from birdbone.compress.shedding.unstructured import shed_lowest, sparsity
from birdbone.compress.shedding.zeros import shed_blocks, shed_n_of_m

__all__ = ["shed_blocks", "shed_lowest", "shed_n_of_m", "sparsity"]
