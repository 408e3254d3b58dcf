"""All commands of the bird-bone craft, in the order in which help lists them."""

from __future__ import annotations

import typer

from birdbone.cli.compress.clusters import clusters
from birdbone.cli.compress.heal import heal
from birdbone.cli.compress.kernels import kernels
from birdbone.cli.compress.onnx import onnx
from birdbone.cli.compress.plan import plan
from birdbone.cli.compress.quantize import quantize
from birdbone.cli.compress.scores import score
from birdbone.cli.compress.structures import plates, restore, shed
from birdbone.cli.compress.tune import tune

compress = typer.Typer(
    help="Make a model lighter: see what carries its load, shed what does not, and give the rest the bits it needs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

compress.command()(score)
compress.command()(plates)
compress.command()(shed)
compress.command()(restore)
compress.command()(clusters)
compress.command()(tune)
compress.command()(heal)
compress.command()(quantize)
compress.command()(onnx)
compress.command()(kernels)
compress.command()(plan)
