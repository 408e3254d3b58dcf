"""Putting the work of what was shed onto what survives."""

from birdbone.compress.refit.pcg import refit_survivors

__all__ = ["refit_survivors"]
