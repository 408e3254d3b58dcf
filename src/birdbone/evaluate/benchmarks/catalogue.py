"""Which benchmarks there are, how each is asked, and what a guess would score. Needs neither torch nor lm-eval.

A benchmark is one or several tasks of EleutherAI's `lm-eval`, whose prompts are used unchanged. The numbers of examples
in the prompt are those that leaderboards use; a suite may ask with fewer, and its rows say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SuiteName = Literal["quick", "core", "full"]
Guess = Literal["one_of_choices", "mass_of_true", "never"]
"""What a guess scores on an item: 1 of its choices; the share of its choices that are true; nothing."""

_MMLU_SUBJECTS = (
    "abstract_algebra", "anatomy", "astronomy", "business_ethics", "clinical_knowledge", "college_biology",
    "college_chemistry", "college_computer_science", "college_mathematics", "college_medicine", "college_physics",
    "computer_security", "conceptual_physics", "econometrics", "electrical_engineering", "elementary_mathematics",
    "formal_logic", "global_facts", "high_school_biology", "high_school_chemistry", "high_school_computer_science",
    "high_school_european_history", "high_school_geography", "high_school_government_and_politics",
    "high_school_macroeconomics", "high_school_mathematics", "high_school_microeconomics", "high_school_physics",
    "high_school_psychology", "high_school_statistics", "high_school_us_history", "high_school_world_history",
    "human_aging", "human_sexuality", "international_law", "jurisprudence", "logical_fallacies", "machine_learning",
    "management", "marketing", "medical_genetics", "miscellaneous", "moral_disputes", "moral_scenarios", "nutrition",
    "philosophy", "prehistory", "professional_accounting", "professional_law", "professional_medicine",
    "professional_psychology", "public_relations", "security_studies", "sociology", "us_foreign_policy", "virology",
    "world_religions",
)  # fmt: skip

POOLED_BLIMP = "blimp_pooled"
"""The task that asks the pairs of all paradigms of BLiMP in turn; lm-eval itself has one for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark."""

    name: str
    tasks: tuple[str, ...]
    """Names of lm-eval's tasks; several are pooled, each item counting the same."""
    folder: str
    """Where lm-eval keeps them, below its `tasks`; empty if the task is ours."""
    metric: str
    """lm-eval's metric that is the score of an item."""
    num_fewshot: int
    """Examples in the prompt."""
    guess: Guess
    """How well guessing does on an item."""
    filter: str = "none"
    """lm-eval's filter that the answers go through."""


BENCHMARKS: dict[str, Benchmark] = {
    row.name: row
    for row in (
        Benchmark(
            name="mmlu",
            tasks=tuple(f"mmlu_{subject}" for subject in _MMLU_SUBJECTS),
            folder="mmlu/default",
            metric="acc",
            num_fewshot=5,
            guess="one_of_choices",
        ),
        Benchmark(
            name="gsm8k",
            tasks=("gsm8k_cot",),
            folder="gsm8k",
            metric="exact_match",
            num_fewshot=8,
            guess="never",
            filter="strict-match",
        ),
        Benchmark(
            name="hellaswag",
            tasks=("hellaswag",),
            folder="hellaswag",
            metric="acc_norm",
            num_fewshot=10,
            guess="one_of_choices",
        ),
        Benchmark(
            name="arc_challenge",
            tasks=("arc_challenge",),
            folder="arc",
            metric="acc_norm",
            num_fewshot=25,
            guess="one_of_choices",
        ),
        Benchmark(
            name="arc_easy", tasks=("arc_easy",), folder="arc", metric="acc_norm", num_fewshot=0, guess="one_of_choices"
        ),
        Benchmark(
            name="truthfulqa_mc1",
            tasks=("truthfulqa_mc1",),
            folder="truthfulqa",
            metric="acc",
            num_fewshot=0,
            guess="one_of_choices",
        ),
        Benchmark(
            name="truthfulqa_mc2",
            tasks=("truthfulqa_mc2",),
            folder="truthfulqa",
            metric="acc",
            num_fewshot=0,
            guess="mass_of_true",
        ),
        Benchmark(
            name="winogrande",
            tasks=("winogrande",),
            folder="winogrande",
            metric="acc",
            num_fewshot=5,
            guess="one_of_choices",
        ),
        Benchmark(
            name="lambada", tasks=("lambada_openai",), folder="lambada", metric="acc", num_fewshot=0, guess="never"
        ),
        Benchmark(
            name="piqa", tasks=("piqa",), folder="piqa", metric="acc_norm", num_fewshot=0, guess="one_of_choices"
        ),
        Benchmark(name="blimp", tasks=(POOLED_BLIMP,), folder="", metric="acc", num_fewshot=0, guess="one_of_choices"),
        Benchmark(name="humaneval", tasks=("humaneval",), folder="", metric="acc", num_fewshot=0, guess="never"),
        Benchmark(name="mbpp", tasks=("mbpp",), folder="", metric="acc", num_fewshot=3, guess="never"),
    )
}
"""All benchmarks by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A benchmark as a suite asks it."""

    benchmark: str
    num_fewshot: int
    limit: int | None
    """Items of each task, from its beginning; None for all."""


def _asked(name: str, *, limit: int | None, num_fewshot: int | None = None) -> Question:
    shots = BENCHMARKS[name].num_fewshot if num_fewshot is None else num_fewshot
    return Question(benchmark=name, num_fewshot=shots, limit=limit)


SUITES: dict[SuiteName, tuple[Question, ...]] = {
    "quick": tuple(
        _asked(name, limit=limit, num_fewshot=0)
        for name, limit in (
            ("lambada", 100), ("blimp", 134), ("arc_easy", 100), ("piqa", 100), ("hellaswag", 100), ("winogrande", 100)
        )
    ),
    "core": (
        _asked("mmlu", limit=4),
        _asked("gsm8k", limit=50),
        _asked("humaneval", limit=50),
        *(_asked(name, limit=200) for name in ("hellaswag", "arc_challenge", "truthfulqa_mc1", "truthfulqa_mc2")),
        _asked("winogrande", limit=200),
    ),
    "full": tuple(_asked(name, limit=None) for name in BENCHMARKS),
}  # fmt: skip
"""What each suite asks. `quick` asks without examples, so that it takes minutes on two cores."""
