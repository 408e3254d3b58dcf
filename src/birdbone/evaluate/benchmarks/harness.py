"""EleutherAI's lm-eval, asked through a `Judge`: its tasks, prompts, examples and scores, our engines.

lm-eval is used as it is: nothing of a task is rewritten but where its items come from. Tokens are split as its own
runner splits them (`TemplateLM`), and a context that is too long loses its beginning as there, which is counted.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import cache
from pathlib import Path
from typing import Any

from birdbone.evaluate.benchmarks.catalogue import BENCHMARKS, POOLED_BLIMP, Benchmark, Question
from birdbone.evaluate.benchmarks.code_tasks import CODE_TASKS
from birdbone.evaluate.benchmarks.judge import Continuation, Judge, Progress
from birdbone.evaluate.benchmarks.local_items import Splits
from birdbone.evaluate.benchmarks.results import ItemScore
from birdbone.evaluate.errors import MissingBenchmarkError, MissingHarnessError

try:
    import datasets
    import lm_eval
    from lm_eval.api.model import TemplateLM
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
except ImportError as error:
    raise MissingHarnessError("The benchmarks need EleutherAI's lm-eval.") from error

SEED = 1234
"""Seed of the choice of examples: lm-eval's own default."""

_ROUNDING = 1e-9
_MAX_NEW_TOKENS = 256
_OWN_TASKS: dict[str, dict[str, Any]] = CODE_TASKS | {
    POOLED_BLIMP: {
        "dataset_path": "nyu-mll/blimp",
        "output_type": "multiple_choice",
        "doc_to_text": "",
        "doc_to_target": 0,
        "doc_to_choice": "{{[sentence_good, sentence_bad]}}",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
}
"""Tasks that lm-eval has otherwise: it asks each of BLiMP's 67 paradigms by itself; for code see `code_tasks`."""


def harness_version() -> str:
    """Return the version of lm-eval."""
    return str(lm_eval.__version__)


def ask(
    judge: Judge,
    question: Question,
    items: Mapping[str, Splits] | None,
    *,
    progress: Progress | None = None,
) -> tuple[list[ItemScore], dict[str, str], int]:
    """Return the score of each item, the version of each task, and how many contexts had to be shortened.

    Args:
        items: splits of each task, from files; None takes them from the hub, as lm-eval does.
        progress: told of requests answered, for each kind of request anew.
    """
    model = _JudgeModel(judge, progress)
    scores, versions = ask_model(model, question, items)
    return scores, versions, model.num_shortened


def ask_model(
    model: Any, question: Question, items: Mapping[str, Splits] | None
) -> tuple[list[ItemScore], dict[str, str]]:
    """Return what `ask` does, of any model of lm-eval's: so its own runner can be compared with ours."""
    benchmark = BENCHMARKS[question.benchmark]
    if items is None and not benchmark.folder:
        raise MissingBenchmarkError(f"{benchmark.name} is asked from files only.", benchmark=benchmark.name)
    with _quiet():
        tasks = _task_manager().load([_specification(name, question, items) for name in benchmark.tasks])
        for task in tasks["tasks"].values():
            task.set_config(key="num_fewshot", value=question.num_fewshot)
            task.set_fewshot_seed(seed=SEED)
        found: Any = lm_eval.evaluate(
            lm=model, task_dict=tasks, limit=question.limit, bootstrap_iters=0, log_samples=True, verbosity="ERROR"
        )
    scores = [score for name in benchmark.tasks for score in _scores(benchmark, found["samples"][name])]
    return scores, {name: str(found["versions"][name]) for name in benchmark.tasks}


class _JudgeModel(TemplateLM):  # type: ignore[misc]
    """A judge as lm-eval wants a model: requests in, answers out, in their order."""

    def __init__(self, judge: Judge, progress: Progress | None) -> None:
        super().__init__()
        self._judge = judge
        self._progress = progress
        self.num_shortened = 0

    @property
    def eot_token_id(self) -> int:
        return self._judge.end_token

    @property
    def prefix_token_id(self) -> int:
        return self._judge.prefix_token

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        return self._judge.encode(string, add_special=add_special_tokens)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return found

    def _loglikelihood_tokens(
        self, requests: list[tuple[Any, list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        asked = [self._fitted(context, tokens) for _, context, tokens in requests]
        return [(found.logprob, found.is_greedy) for found in self._judge.score(asked, progress=self._progress)]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:  # noqa: ARG002
        windows, owners = [], []
        for number, request in enumerate(requests):
            for window in get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self._judge.max_tokens,
                context_len=1,
            ):
                context, tokens = make_disjoint_window(window)
                windows.append(Continuation(tuple(context), tuple(tokens)))
                owners.append(number)
        totals = [0.0] * len(requests)
        for owner, found in zip(owners, self._judge.score(windows, progress=self._progress), strict=True):
            totals[owner] += found.logprob
        return totals

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:  # noqa: ARG002
        answers: dict[int, str] = {}
        for (stops, wanted), numbers in _alike(requests).items():
            max_new_tokens = min(wanted, self._judge.max_tokens // 2)  # of a short context the question needs its half
            prompts = [self._prompt(requests[number].args[0], max_new_tokens) for number in numbers]
            texts = self._judge.generate(prompts, stops=stops, max_new_tokens=max_new_tokens, progress=self._progress)
            answers.update(zip(numbers, texts, strict=True))
        return [answers[number] for number in range(len(requests))]

    def _fitted(self, context: list[int], tokens: list[int]) -> Continuation:
        room = self._judge.max_tokens + 1 - len(tokens)
        self.num_shortened += len(context) > room
        return Continuation(tuple(context[-max(room, 1) :]), tuple(tokens))

    def _prompt(self, text: str, max_new_tokens: int) -> list[int]:
        tokens, room = self.tok_encode(text), self._judge.max_tokens - max_new_tokens
        self.num_shortened += len(tokens) > room
        return tokens[-room:]


def _alike(requests: Sequence[Any]) -> dict[tuple[tuple[str, ...], int], list[int]]:
    """Return the numbers of the requests by their stop texts and how much may be written."""
    found: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for number, request in enumerate(requests):
        options = request.args[1]
        until = options.get("until") or []
        stops = (until,) if isinstance(until, str) else tuple(until)
        found.setdefault((stops, int(options.get("max_gen_toks", _MAX_NEW_TOKENS))), []).append(number)
    return found


@cache
def _task_manager() -> TaskManager:
    """Return what finds lm-eval's tasks: it reads only the folders that the catalogue names, not its 13,000 files."""
    tasks = Path(lm_eval.__file__).parent / "tasks"
    folders = [str(tasks / row.folder) for row in BENCHMARKS.values() if row.folder]
    return TaskManager(include_defaults=False, include_path=sorted(set(folders)))


def _specification(name: str, question: Question, items: Mapping[str, Splits] | None) -> dict[str, Any]:
    """Return lm-eval's task with its items taken from here; a group of one is how it takes changes to a known task."""
    config: dict[str, Any] = {"task": name, "num_fewshot": question.num_fewshot}
    if items is not None:
        splits = items[name]
        kinds = {"training": "train", "validation": "validation", "test": "test"}
        config |= {
            "custom_dataset": _dataset_of(splits),
            **{f"{kind}_split": split if split in splits else None for kind, split in kinds.items()},
        }
    if name in _OWN_TASKS:
        return _OWN_TASKS[name] | config
    return {"group": f"birdbone_{name}", "task": [config]}


def _dataset_of(splits: Splits) -> Callable[..., Any]:
    made = {split: datasets.Dataset.from_list(rows) for split, rows in splits.items()}
    return lambda **_: made


def _scores(benchmark: Benchmark, samples: Sequence[Mapping[str, Any]]) -> Iterator[ItemScore]:
    for sample in sorted(samples, key=lambda sample: int(sample["doc_id"])):
        if sample["filter"] == benchmark.filter:
            score = float(sample[benchmark.metric])
            if 1 < score < 1 + _ROUNDING:  # a mass of probabilities that sum to 1 but for rounding
                score = 1.0
            yield ItemScore(
                id=str(sample["doc_hash"]), score=score, chance=_chance(benchmark, sample), answer=_answer(sample)
            )


def _chance(benchmark: Benchmark, sample: Mapping[str, Any]) -> float:
    match benchmark.guess:
        case "one_of_choices":
            return 1 / len(sample["arguments"])
        case "mass_of_true":
            labels = sample["doc"]["mc2_targets"]["labels"]
            return float(sum(labels) / len(labels))
        case "never":
            return 0.0


def _answer(sample: Mapping[str, Any]) -> str:
    """Return the most likely choice by its number, or the text."""
    answers = sample["filtered_resps"]
    if isinstance(answers[0], str):
        return str(answers[0])
    logprobs = [float(answer[0]) for answer in answers]
    return str(logprobs.index(max(logprobs)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep lm-eval's talk and bars, which are for its own command line, out of ours."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets", "evaluate")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()):  # its bars heed no setting, only the stream
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
