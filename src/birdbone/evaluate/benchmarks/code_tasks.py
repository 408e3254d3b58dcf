"""HumanEval and MBPP for lm-eval, judged in our sandbox.

lm-eval's own tasks load a scorer from the hub when they are imported and run what a model wrote with little more than
a time limit. These have their prompts, examples, stops and splits; only who runs the code differs.
Sources: Chen et al. 2021, arXiv:2107.03374; Austin et al. 2021, arXiv:2108.07732.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from birdbone.evaluate.sandbox import check_humaneval, check_mbpp

_METRICS = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]


def score_humaneval(item: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """Return whether the function that was completed passes its test."""
    result = check_humaneval(item["prompt"], answers[0], item["test"], item["entry_point"])
    return {"acc": float(result.has_passed)}


def score_mbpp(item: Mapping[str, Any], answers: Sequence[str]) -> dict[str, float]:
    """Return whether the program that was written passes its assertions."""
    result = check_mbpp(answers[0], item["test_list"], item["test_setup_code"])
    return {"acc": float(result.has_passed)}


CODE_TASKS: dict[str, dict[str, Any]] = {
    "humaneval": {
        "dataset_path": "openai/openai_humaneval",
        "output_type": "generate_until",
        "test_split": "test",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{test}}\ncheck({{entry_point}})",
        "process_results": score_humaneval,
        "generation_kwargs": {
            "until": ["\nclass", "\ndef", "\n#", "\nif", "\nprint"],
            "max_gen_toks": 1024,
            "do_sample": False,
        },
        "metric_list": _METRICS,
        "metadata": {"version": 1.0},
    },
    "mbpp": {
        "dataset_path": "google-research-datasets/mbpp",
        "dataset_name": "full",
        "output_type": "generate_until",
        "test_split": "test",
        "fewshot_split": "prompt",
        "fewshot_config": {"sampler": "first_n"},
        "doc_to_text": (
            "You are an expert Python programmer, and here is your task: {{text}} "
            "Your code should pass these tests:\n\n"
            "{{test_list[0]}}\n{{test_list[1]}}\n{{test_list[2]}}\n[BEGIN]\n"
        ),
        "doc_to_target": (
            "{% if is_fewshot is defined %}{{code}}\n[DONE]"
            "{% else %}{{test_list[0]}}\n{{test_list[1]}}\n{{test_list[2]}}{% endif %}"
        ),
        "target_delimiter": "",
        "process_results": score_mbpp,
        "generation_kwargs": {"until": ["[DONE]"], "do_sample": False},
        "metric_list": _METRICS,
        "metadata": {"version": 1.0},
    },
}
"""lm-eval's settings of both, by name."""
