"""Items of benchmarks from files in a folder, in the columns that lm-eval's own tasks read. No network.

The files are the public ones under the names that their makers or well-known collections give them (`FILES`). A row
becomes what the hub's copy of the same set holds, so that lm-eval's prompts are made from it unchanged.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

from birdbone.core.digest import digest_file
from birdbone.evaluate.benchmarks.catalogue import POOLED_BLIMP
from birdbone.evaluate.errors import BadBenchmarkError, MissingBenchmarkError

Row = dict[str, Any]
Splits = dict[str, list[Row]]
"""Items by the name of their split, as lm-eval's task calls it."""

_LETTERS = "ABCDEFGHIJ"
_MBPP_TEST, _MBPP_SHOWN = range(11, 511), range(2, 5)

FILES: dict[str, tuple[str, ...]] = {
    "mmlu": ("mmlu.jsonl.xz",),
    "gsm8k": ("gsm8k/test.jsonl", "gsm8k/train.jsonl"),
    "hellaswag": ("hellaswag_subset.jsonl",),
    "arc_challenge": ("llmfoundry/arc_challenge.jsonl",),
    "arc_easy": ("llmfoundry/arc_easy.jsonl",),
    "truthfulqa_mc1": ("TruthfulQA.csv",),
    "truthfulqa_mc2": ("TruthfulQA.csv",),
    "winogrande": ("llmfoundry/winogrande.jsonl",),
    "lambada": ("llmfoundry/lambada_openai.jsonl",),
    "piqa": ("llmfoundry/piqa.jsonl",),
    "blimp": ("BLiMP.zip",),
    "humaneval": ("HumanEval.jsonl.gz",),
    "mbpp": ("mbpp.jsonl",),
}
"""The files of each benchmark, below the folder of all."""


def read_items(folder: Path, benchmark: str) -> dict[str, Splits]:
    """Return the items of each task of a benchmark, by the task's name.

    Raises:
        MissingBenchmarkError: the folder lacks a file.
        BadBenchmarkError: a file cannot be read, or a row lacks a column.
    """
    paths = _files_of(folder, benchmark)
    try:
        return _READERS[benchmark](*paths)
    except KeyError as error:
        raise BadBenchmarkError(
            f"A row of {paths[0].name} has no column {error}.", benchmark=benchmark, column=str(error.args[0])
        ) from error
    except (ValueError, TypeError, IndexError, OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise BadBenchmarkError(f"{paths[0].name} cannot be read: {error}", benchmark=benchmark) from error


def require_items(folder: Path, benchmark: str) -> None:
    """Check that the files of a benchmark are there; they are not read.

    Raises:
        MissingBenchmarkError: the folder lacks one.
    """
    _files_of(folder, benchmark)


def items_digest(folder: Path, benchmark: str) -> str:
    """Return one text that changes whenever a file of the benchmark does.

    Raises:
        MissingBenchmarkError: the folder lacks a file.
    """
    return "+".join(map(digest_file, _files_of(folder, benchmark)))


def _files_of(folder: Path, benchmark: str) -> list[Path]:
    paths = [folder / name for name in FILES[benchmark]]
    for path in paths:
        if not path.is_file():
            raise MissingBenchmarkError(
                f"{benchmark} needs {path.relative_to(folder)} in {folder}.", benchmark=benchmark, path=str(path)
            )
    return paths


def _rows(path: Path) -> Iterator[Row]:
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
    with openers.get(path.suffix, open)(path, "rt", encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield _row(line, f"line {number}")


def _row(line: str | bytes, where: str) -> Row:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError(f"{where} is not a JSON object")
    return value


def _read_mmlu(path: Path) -> dict[str, Splits]:
    found: dict[str, Splits] = {}
    for row in _rows(path):
        splits = found.setdefault(f"mmlu_{row['subject']}", {"test": [], "dev": [], "validation": []})
        splits[row["split"]].append({name: row[name] for name in ("question", "subject", "choices", "answer")})
    return found


def _read_gsm8k(test: Path, train: Path) -> dict[str, Splits]:
    def read(path: Path) -> list[Row]:
        return [{"question": row["question"], "answer": row["answer"]} for row in _rows(path)]

    return {"gsm8k_cot": {"test": read(test), "train": read(train)}}


def _read_hellaswag(path: Path) -> dict[str, Splits]:
    columns = ("activity_label", "ctx_a", "ctx_b", "endings", "label")
    return {"hellaswag": {"validation": [{name: row[name] for name in columns} for row in _rows(path)]}}


def _read_arc(path: Path) -> dict[str, Splits]:
    def item(row: Row) -> Row:
        labels = list(_LETTERS[: len(row["choices"])])
        return {
            "question": row["query"].removeprefix("Question: "),
            "choices": {"text": row["choices"], "label": labels},
            "answerKey": labels[row["gold"]],
        }

    return {path.stem: {"test": [item(row) for row in _rows(path)]}}


def _read_truthfulqa(path: Path, task: str) -> dict[str, Splits]:
    def answers(text: str) -> list[str]:
        return list(dict.fromkeys(part.strip() for part in text.split(";") if part.strip()))

    items = []
    for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))):
        best, wrong = row["Best Answer"].strip(), answers(row["Incorrect Answers"])
        right = list(dict.fromkeys([best, *answers(row["Correct Answers"])]))
        items.append(
            {
                "question": row["Question"].strip(),
                "mc1_targets": {"choices": [best, *wrong], "labels": [1] + [0] * len(wrong)},
                "mc2_targets": {"choices": [*right, *wrong], "labels": [1] * len(right) + [0] * len(wrong)},
            }
        )
    return {task: {"validation": items}}


def _read_winogrande(path: Path) -> dict[str, Splits]:
    def item(row: Row) -> Row:
        one, two = (text.split(" ") for text in row["context_options"])
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False)))
        sentence = " ".join([*one[:same], "_", row["continuation"]])
        options = [" ".join(words[same:]) for words in (one, two)]
        return {"sentence": sentence, "option1": options[0], "option2": options[1], "answer": str(row["gold"] + 1)}

    return {"winogrande": {"validation": [item(row) for row in _rows(path)]}}


def _read_lambada(path: Path) -> dict[str, Splits]:
    return {"lambada_openai": {"test": [{"text": f"{row['context']} {row['continuation']}"} for row in _rows(path)]}}


def _read_piqa(path: Path) -> dict[str, Splits]:
    def item(row: Row) -> Row:
        goal = row["query"].removeprefix("Question: ").rstrip("\n")
        return {"goal": goal, "sol1": row["choices"][0], "sol2": row["choices"][1], "label": row["gold"]}

    return {"piqa": {"validation": [item(row) for row in _rows(path)]}}


def _read_blimp(path: Path) -> dict[str, Splits]:
    """Take the pairs in turn from every paradigm, so that the first of them stand for all."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jsonl") and "/." not in name)
        paradigms = [
            [_row(line, f"a line of {name}") for line in archive.read(name).splitlines() if line.strip()]
            for name in names
            if not Path(name).name.startswith(("._", "."))
        ]
    turns = (row for turn in zip_longest(*paradigms) for row in turn if row is not None)
    columns = ("sentence_good", "sentence_bad", "UID")
    return {POOLED_BLIMP: {"validation": [{name: row[name] for name in columns} for row in turns]}}


def _read_humaneval(path: Path) -> dict[str, Splits]:
    columns = ("task_id", "prompt", "test", "entry_point")
    return {"humaneval": {"test": [{name: row[name] for name in columns} for row in _rows(path)]}}


def _read_mbpp(path: Path) -> dict[str, Splits]:
    """Split as its makers do; of what is for prompts, the three that lm-eval shows."""
    columns = ("task_id", "text", "code", "test_list", "test_setup_code")
    rows = [{name: row[name] for name in columns} for row in _rows(path)]
    shown = [row | {"is_fewshot": True} for row in rows if row["task_id"] in _MBPP_SHOWN]
    return {"mbpp": {"test": [row for row in rows if row["task_id"] in _MBPP_TEST], "prompt": shown}}


_READERS: Mapping[str, Callable[..., dict[str, Splits]]] = {
    "mmlu": _read_mmlu,
    "gsm8k": _read_gsm8k,
    "hellaswag": _read_hellaswag,
    "arc_challenge": _read_arc,
    "arc_easy": _read_arc,
    "truthfulqa_mc1": lambda path: _read_truthfulqa(path, "truthfulqa_mc1"),
    "truthfulqa_mc2": lambda path: _read_truthfulqa(path, "truthfulqa_mc2"),
    "winogrande": _read_winogrande,
    "lambada": _read_lambada,
    "piqa": _read_piqa,
    "blimp": _read_blimp,
    "humaneval": _read_humaneval,
    "mbpp": _read_mbpp,
}
