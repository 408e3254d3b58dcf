"""Recipes and runs: a list of steps becomes a durable execution that survives a crash and ends with a report.

Owns: the recipe format, the catalogue of step kinds, the tables of runs, steps and measurements, durable execution,
the environment check, the report. Needs: every room below; torch only through the steps, which load when they run.
"""

from birdbone.pipeline.errors import (
    BadRecipeError,
    PipelineError,
    RunNotFoundError,
    RunNotResumableError,
    UnknownStepError,
)
from birdbone.pipeline.recipe import Recipe, load_recipe, resolve_recipe

__all__ = [
    "BadRecipeError",
    "PipelineError",
    "Recipe",
    "RunNotFoundError",
    "RunNotResumableError",
    "UnknownStepError",
    "load_recipe",
    "resolve_recipe",
]
