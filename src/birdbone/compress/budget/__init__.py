"""How zeros are spread over the linears: fewer where the loss would rise more."""

from birdbone.compress.budget.allotment import allot_sparsity
from birdbone.compress.budget.damage import damage_profile
from birdbone.compress.budget.spreading import spread_sparsity

__all__ = ["allot_sparsity", "damage_profile", "spread_sparsity"]
