"""Running a prompt and the tokens after it, in torch or llama.cpp, in the pieces that are timed.

The ids are fixed and spread over the vocabulary: which they are does not change the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from birdbone.models import find_source, load_model
from birdbone.models.llamacpp import LlamaCpp, open_engine

_ID_STEP = 7919  # prime, so that ids repeat late


class Runner(Protocol):
    """A loaded model in an engine."""

    def prefill(self, num_tokens: int) -> None:
        """Run a prompt from an empty cache until its first token is known."""

    def ready(self, num_tokens: int) -> None:
        """Stand after a prompt, so that `decode` may begin; what this takes is not timed."""

    def decode(self, num_tokens: int) -> None:
        """Choose so many tokens greedily, one pass each, from where `ready` or `decode` left off."""


@dataclass(slots=True)
class TorchRunner:
    """A causal model of transformers, on the device where its weights lie."""

    model: Any
    _cache: Any = field(init=False, default=None)
    _token: int = field(init=False, default=0)

    def prefill(self, num_tokens: int) -> None:
        """Run a prompt from an empty cache until its first token is known."""
        self._cache = None
        self._forward(prompt_ids(num_tokens, self.model.get_input_embeddings().num_embeddings))

    def ready(self, num_tokens: int) -> None:
        """Run a prompt."""
        self.prefill(num_tokens)

    def decode(self, num_tokens: int) -> None:
        """Choose so many tokens greedily, one pass each."""
        for _ in range(num_tokens):
            self._forward([self._token])

    @torch.inference_mode()
    def _forward(self, ids: list[int]) -> None:
        ids_BT = torch.tensor([ids], device=self.model.device)
        found = self.model(input_ids=ids_BT, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        self._cache = found.past_key_values
        self._token = int(found.logits[0, -1].argmax())  # waits for a GPU to be done


@dataclass(slots=True)
class LlamaCppRunner:
    """An open engine of llama.cpp."""

    engine: LlamaCpp
    _ids: list[int] = field(init=False, default_factory=list)

    def prefill(self, num_tokens: int) -> None:
        """Run a prompt from an empty cache until its first token is known."""
        self.engine.generate_greedy(prompt_ids(num_tokens, self.engine.vocab_size), 1)

    def ready(self, num_tokens: int) -> None:
        """Stand after a prompt; what the engine still holds of it is not run again."""
        self._ids = prompt_ids(num_tokens, self.engine.vocab_size)
        self._choose()

    def decode(self, num_tokens: int) -> None:
        """Choose so many tokens greedily, one pass each."""
        for _ in range(num_tokens):
            self._choose()

    def _choose(self) -> None:
        self._ids.append(int(self.engine.last_logits(self._ids, 1)[0].argmax()))


def prompt_ids(num_tokens: int, vocab_size: int) -> list[int]:
    """Return a prompt of so many ids."""
    return [(_ID_STEP * place) % vocab_size for place in range(num_tokens)]


@contextmanager
def open_runner(spec: str, engine: str, *, dtype: str, num_threads: int, num_ctx: int) -> Iterator[Runner]:
    """Load a model and give what runs it. Torch takes a GPU where there is one.

    Args:
        spec: what a person calls the model.
        engine: `torch` or `llama.cpp`.
        dtype: number format of the computation in torch.
        num_threads: of this process, for torch for good.
        num_ctx: tokens that llama.cpp is opened for.

    Raises:
        ModelError, EngineError: the model does not load.
    """
    if engine == "llama.cpp":
        path = find_source(spec).file
        assert path is not None, "a file that llama.cpp runs is a file"
        with open_engine(path, num_ctx=num_ctx, num_threads=num_threads) as opened:
            yield LlamaCppRunner(opened)
        return
    torch.set_num_threads(num_threads)
    model = load_model(spec, dtype=getattr(torch, dtype)).model
    yield TorchRunner(model.to(device_name()))


def device_name() -> str:
    """Return where torch computes here."""
    return "cuda" if torch.cuda.is_available() else "cpu"
