"""Benchmarks: well-known questions asked of a model in any engine, through EleutherAI's lm-eval.

Owns: the catalogue and its suites, the `Judge` interface with its engines, items from files, results and their cache.
Needs: `core`, `models` for llama.cpp; torch for the torch engine; lm-eval (the extra `eval`) to ask.
What is light is here; `harness`, `running` and the engines are imported by their own names.
"""

from birdbone.evaluate.benchmarks.catalogue import BENCHMARKS, SUITES, Benchmark, Question, SuiteName
from birdbone.evaluate.benchmarks.judge import Continuation, Judge, Likelihood
from birdbone.evaluate.benchmarks.results import BenchmarkResult, ItemScore

__all__ = [
    "BENCHMARKS",
    "SUITES",
    "Benchmark",
    "BenchmarkResult",
    "Continuation",
    "ItemScore",
    "Judge",
    "Likelihood",
    "Question",
    "SuiteName",
]
