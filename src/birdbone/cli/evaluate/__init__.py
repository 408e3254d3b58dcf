"""The commands that judge a model: `birdbone eval ...`. One file a noun, and what it does in a file beside it."""

from birdbone.cli.evaluate.group import evaluate

__all__ = ["evaluate"]
