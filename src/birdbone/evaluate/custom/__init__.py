"""Benchmarks of one's own: a YAML file and rows, asked and scored as those that Birdbone has.

Owns: the settings of a task, its items from files, by a grammar or by mutation, prompts, five kinds of scoring.
Needs: `core`; the `Judge` and the results of `benchmarks`, the mutations of `checks`. No torch: what computes is the
judge. No lm-eval.
"""

from birdbone.evaluate.custom.asking import CustomQuestion
from birdbone.evaluate.custom.config import TaskSettings
from birdbone.evaluate.custom.grading import Grader
from birdbone.evaluate.custom.items import Item
from birdbone.evaluate.custom.task import CustomTask, read_task

__all__ = ["CustomQuestion", "CustomTask", "Grader", "Item", "TaskSettings", "read_task"]
