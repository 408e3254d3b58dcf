"""All commands of the bird-bone craft, in the order in which help lists them."""

from __future__ import annotations

import typer

from birdbone.cli.compress.kernels import kernels
from birdbone.cli.compress.quantize import quantize

compress = typer.Typer(
    help="Make a model lighter: see what carries its load, shed what does not, and give the rest the bits it needs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

compress.command()(quantize)
compress.command()(kernels)
