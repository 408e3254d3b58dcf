"""Bringing shed weights back where the loss asks for them."""

from birdbone.compress.regrowth.rigl import choose_regrowth, loss_gradients

__all__ = ["choose_regrowth", "loss_gradients"]
