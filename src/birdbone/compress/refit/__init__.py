"""Putting the work of what was shed onto what survives, and choosing what survives with that in mind."""

from birdbone.compress.refit.admm import Project, ScaledGram, choose_survivors, prepare_gram
from birdbone.compress.refit.pcg import refit_survivors

__all__ = ["Project", "ScaledGram", "choose_survivors", "prepare_gram", "refit_survivors"]
