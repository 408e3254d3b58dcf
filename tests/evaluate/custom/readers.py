"""A judge of characters whose opinions a test gives, and small files of items."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from birdbone.evaluate.benchmarks import Continuation, Likelihood
from birdbone.evaluate.custom import CustomTask, read_task


class Reader:
    """A token a character; what it thinks of a text and how it answers is given."""

    prefix_token = 0
    end_token = 0

    def __init__(
        self,
        *,
        likes: Callable[[str, str], float] = lambda context, text: -float(len(text)),
        says: Callable[[str], str] = lambda prompt: "",
        max_tokens: int = 10_000,
    ) -> None:
        self.settings = {"engine": "reader"}
        self.likes, self.says, self.max_tokens = likes, says, max_tokens
        self.asked: list[tuple[str, str]] = []

    def encode(self, text: str, *, add_special: bool | None = None) -> list[int]:
        return [ord(letter) for letter in text]

    def encode_chat(self, conversation: Any) -> list[int] | None:
        return None

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))

    def score(self, requests: Sequence[Continuation], *, progress: Any = None) -> list[Likelihood]:
        pairs = [(self.decode(one.context), self.decode(one.tokens)) for one in requests]
        self.asked += pairs
        return [Likelihood(self.likes(context, text), False) for context, text in pairs]

    def generate(self, prompts, *, stops, max_new_tokens, progress=None):
        texts = [self.decode(prompt) for prompt in prompts]
        self.asked += [(text, "") for text in texts]
        return [self.says(text)[:max_new_tokens] for text in texts]


class Talker(Reader):
    """One that takes conversations."""

    def encode_chat(self, conversation):
        return self.encode("".join(f"<{turn['role']}>{turn['content']}" for turn in conversation) + "<assistant>")


def write_items(path: Path, *rows: Any) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def task_of(folder: Path, rows: Sequence[Any], scoring: dict[str, Any], **settings: Any) -> CustomTask:
    """Write a task with its items, and read it."""
    write_items(folder / "items.jsonl", *rows)
    told = {"name": "own", "items": "items.jsonl", "prompt": "{question}", "scoring": scoring, **settings}
    told = {name: value for name, value in told.items() if value is not None}
    (folder / "own.yaml").write_text(json.dumps(told), encoding="utf-8")  # JSON is YAML
    return read_task(folder / "own.yaml")
