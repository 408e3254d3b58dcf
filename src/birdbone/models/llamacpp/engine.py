"""A GGUF file run by stock llama.cpp on the CPU. Shapes: T tokens, V vocabulary.

The engine judges exported files, so it runs them as anyone would: llama.cpp's own defaults (its kernels, its F16
key-value cache, its repacking of weights at load), only the sizes and the threads are ours. ggml's threads spin at
barriers: with more threads than free cores the speed collapses, so the caller names the number.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from birdbone.models.llamacpp.adapter import set_adapter
from birdbone.models.llamacpp.errors import EngineError, EngineInputError, EngineRefusedModelError
from birdbone.models.llamacpp.library import Batch, Library, load_library

_BATCH_SIZE = 128  # tokens a call at most: the logits of 128 tokens of a 49k vocabulary are 25 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRate:
    """Speed of decoding one token at a time, one figure a repeat."""

    tokens_per_second: tuple[float, ...]
    """By the wall clock."""
    cpu_seconds_per_token: tuple[float, ...]
    """Of the whole process; on a machine that others use, this is the steadier figure."""
    num_prompt: int
    num_generated: int
    num_threads: int


class LlamaCpp:
    """An open model. Use it as a context manager, or call `close`; not safe for two threads at once."""

    def __init__(self, library: Library, *, model: int, context: int, num_threads: int) -> None:
        self._library = library
        self._model = model
        self._context = context
        self._vocabulary = self._call("llama_model_get_vocab", model)
        self.num_threads = num_threads
        self.num_ctx = int(self._call("llama_n_ctx", context))
        self._batch_size = int(self._call("llama_n_batch", context))
        self.vocab_size = int(self._call("llama_vocab_n_tokens", self._vocabulary))
        self._held: list[int] = []  # tokens that the key-value cache holds, from position 0 on

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the model and its context; calling it twice does nothing."""
        if self._context:
            self._call("llama_free", self._context)
            self._call("llama_model_free", self._model)
        self._context = self._model = 0

    def use_adapter(self, path: Path, *, scale: float = 1.0) -> None:
        """Compute with the LoRA adapter of a GGUF file from now on, instead of any other.

        Raises:
            EngineRefusedModelError: llama.cpp does not take the file beside this model.
            EngineSelfTestError: this llama.cpp has no adapters.
        """
        if not path.is_file():
            raise EngineRefusedModelError(f"There is no file {path.name} to open.", kind_of_fault="missing")
        self._library.forget_log()
        if not set_adapter(self._library, model=self._model, context=self._context, path=path, scale=scale):
            raise _refusal(path, self._library)
        self._clear()

    @property
    def context_length_trained(self) -> int:
        """Tokens of context that the file promises."""
        return int(self._call("llama_model_n_ctx_train", self._model))

    @property
    def tensor_bytes(self) -> int:
        """Bytes of the model's tensors as llama.cpp counts them."""
        return int(self._call("llama_model_size", self._model))

    @property
    def beginning_token(self) -> int | None:
        """The token that begins a text, or None."""
        return _known(self._call("llama_vocab_bos", self._vocabulary))

    @property
    def end_token(self) -> int | None:
        """The token that ends a text, or None."""
        return _known(self._call("llama_vocab_eos", self._vocabulary))

    @property
    def chat_template(self) -> str | None:
        """The file's chat template in Jinja, or None."""
        template = self._call("llama_model_chat_template", self._model, None)
        return None if template is None else str(template.decode("utf-8", errors="replace"))

    def token_text(self, token: int | None) -> str:
        """Return a token as the file writes it, control tokens too; empty for None."""
        if token is None:
            return ""
        text: bytes = self._call("llama_vocab_get_text", self._vocabulary, token)
        return text.decode("utf-8", errors="replace")

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out; bytes that are no UTF-8 become U+FFFD."""
        ids = (ctypes.c_int32 * max(1, len(token_ids)))(*token_ids)
        capacity = 16 * len(token_ids) + 16
        room = ctypes.create_string_buffer(capacity)
        count = self._call("llama_detokenize", self._vocabulary, ids, len(token_ids), room, capacity, True, False)
        if count < 0:
            raise EngineError(f"llama.cpp needs {-count} bytes for {len(token_ids)} ids; {capacity} were offered.")
        return room.raw[:count].decode("utf-8", errors="replace")

    def tokenize(self, text: str, *, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """Return the ids of `text` by llama.cpp's own tokenizer.

        Args:
            add_special: put the file's first and last token around, as its `add_bos_token` says.
            parse_special: read control tokens such as `<|im_end|>` in the text as themselves.
        """
        encoded = text.encode("utf-8")
        capacity = len(encoded) + 8
        ids = (ctypes.c_int32 * capacity)()
        count = self._call(
            "llama_tokenize", self._vocabulary, encoded, len(encoded), ids, capacity, add_special, parse_special
        )
        if count < 0:
            raise EngineError(
                f"llama.cpp needs {-count} ids for {len(encoded)} bytes of text; {capacity} were offered."
            )
        return list(ids[:count])

    def logits(self, token_ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits after each token, shape (T, V). Memory grows with T; `nll` does not need them all.

        Raises:
            EngineInputError: no tokens, an unknown id, or more tokens than the context holds.
        """
        return np.concatenate([chunk_CV.copy() for _, chunk_CV in self._logit_chunks(token_ids)])

    def nll(self, token_ids: Sequence[int]) -> NDArray[np.float64]:
        """Return -log p of each token given those before it, in nats, shape (T - 1). Perplexity is exp of the mean.

        Raises:
            EngineInputError: fewer than two tokens, an unknown id, or more tokens than the context holds.
        """
        if len(token_ids) < 2:
            raise EngineInputError("A likelihood needs two tokens or more.")
        targets = np.asarray(token_ids[1:])
        chunks = self._logit_chunks(token_ids[:-1])
        return np.concatenate([_nll_of(chunk_CV, targets[start : start + len(chunk_CV)]) for start, chunk_CV in chunks])

    def last_logits(self, token_ids: Sequence[int], num_last: int) -> NDArray[np.float32]:
        """Return the logits after each of the last `num_last` tokens, shape (num_last, V).

        Tokens that the call before this one ended with in the same places are not computed again, so questions that
        share their beginning cost only what differs.

        Raises:
            EngineInputError: no tokens, an unknown id, or more tokens than the context holds.
        """
        self._check_tokens(token_ids)
        start = len(token_ids) - num_last
        same = next(
            (at for at, pair in enumerate(zip(self._held, token_ids, strict=False)) if pair[0] != pair[1]), None
        )
        kept = min(len(self._held), len(token_ids), start) if same is None else min(same, start)
        memory = self._call("llama_get_memory", self._context)
        if not self._call("llama_memory_seq_rm", memory, 0, kept, -1):
            self._clear()
            kept = 0
        self._held = list(token_ids[:kept])
        for begin in range(kept, start, self._batch_size):
            self._decode(token_ids[begin : min(begin + self._batch_size, start)], begin, all_logits=False)
        found = []
        for begin in range(start, len(token_ids), self._batch_size):
            chunk = token_ids[begin : begin + self._batch_size]
            self._decode(chunk, begin, all_logits=True)
            pointer = self._call("llama_get_logits", self._context)
            found.append(np.ctypeslib.as_array(pointer, shape=(len(chunk), self.vocab_size)).copy())
        self._held = list(token_ids)
        return np.concatenate(found)

    def generate_greedy(self, token_ids: Sequence[int], num_tokens: int) -> list[int]:
        """Return the `num_tokens` most likely tokens after a prompt, one after another. Stops at no special token.

        Raises:
            EngineInputError: the prompt and the tokens together are longer than the context.
        """
        self._check_tokens(token_ids, num_more=num_tokens)
        self._prefill(token_ids)
        generated: list[int] = []
        for position in range(len(token_ids), len(token_ids) + num_tokens):
            generated.append(int(self._last_logits().argmax()))
            if len(generated) < num_tokens:
                self._decode([generated[-1]], position, all_logits=False)
        return generated

    def decode_rate(self, num_prompt: int, num_generated: int, repeats: int) -> DecodeRate:
        """Time the decoding of `num_generated` tokens, one a call, after an untimed prompt of `num_prompt`.

        The tokens are fixed: their choice does not change the work. One untimed repeat goes first.
        """
        ids = [(7919 * index) % self.vocab_size for index in range(num_prompt + num_generated)]
        self._check_tokens(ids)
        self._time_decoding(ids, num_prompt)
        timed = [self._time_decoding(ids, num_prompt) for _ in range(repeats)]
        return DecodeRate(
            tokens_per_second=tuple(num_generated / wall for wall, _ in timed),
            cpu_seconds_per_token=tuple(cpu / num_generated for _, cpu in timed),
            num_prompt=num_prompt,
            num_generated=num_generated,
            num_threads=self.num_threads,
        )

    def _time_decoding(self, ids: Sequence[int], num_prompt: int) -> tuple[float, float]:
        self._prefill(ids[:num_prompt])
        wall, cpu = time.perf_counter(), time.process_time()
        for position in range(num_prompt, len(ids)):
            self._decode([ids[position]], position, all_logits=False)
        self._call("llama_synchronize", self._context)
        return time.perf_counter() - wall, time.process_time() - cpu

    def _logit_chunks(self, token_ids: Sequence[int]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield where each chunk begins and a view (C, V) of its logits, good until the next chunk."""
        self._check_tokens(token_ids)
        self._clear()
        for start in range(0, len(token_ids), self._batch_size):
            chunk = token_ids[start : start + self._batch_size]
            self._decode(chunk, start, all_logits=True)
            pointer = self._call("llama_get_logits", self._context)
            yield start, np.ctypeslib.as_array(pointer, shape=(len(chunk), self.vocab_size))

    def _prefill(self, token_ids: Sequence[int]) -> None:
        self._clear()
        for start in range(0, len(token_ids), self._batch_size):
            self._decode(token_ids[start : start + self._batch_size], start, all_logits=False)

    def _last_logits(self) -> NDArray[np.float32]:
        pointer = self._call("llama_get_logits_ith", self._context, -1)
        return np.ctypeslib.as_array(pointer, shape=(self.vocab_size,))

    def _decode(self, token_ids: Sequence[int], start: int, *, all_logits: bool) -> None:
        with _batch(token_ids, start, all_logits=all_logits) as batch:
            status = self._call("llama_decode", self._context, batch)
        if status:
            raise EngineError(f"llama.cpp failed to decode {len(token_ids)} tokens at {start} (status {status}).")

    def _clear(self) -> None:
        self._held = []
        self._call("llama_memory_clear", self._call("llama_get_memory", self._context), True)

    def _check_tokens(self, token_ids: Sequence[int], *, num_more: int = 0) -> None:
        if not token_ids or not 0 <= min(token_ids) <= max(token_ids) < self.vocab_size:
            raise EngineInputError(f"The engine wants one token or more, with ids from 0 to {self.vocab_size - 1}.")
        if len(token_ids) + num_more > self.num_ctx:
            raise EngineInputError(
                f"{len(token_ids) + num_more} tokens do not fit a context of {self.num_ctx}.",
                hint="Open the engine with a larger num_ctx, or hand in shorter windows.",
            )

    def _call(self, name: str, *arguments: Any) -> Any:
        return self._library.call(name, *arguments)


def _known(token: int) -> int | None:
    return int(token) if token >= 0 else None


def open_engine(path: Path, *, num_ctx: int, num_threads: int) -> LlamaCpp:
    """Open a GGUF file for `num_ctx` tokens of context (rounded up by llama.cpp) on `num_threads` threads.

    Raises:
        EngineMissingError, EngineSelfTestError: no llama.cpp that we can use.
        EngineRefusedModelError: llama.cpp does not take the file; the message is its own.
    """
    library = load_library()
    library.forget_log()
    if not path.is_file():
        raise EngineRefusedModelError(f"There is no file {path.name} to open.", kind_of_fault="missing")
    parameters = library.call("llama_model_default_params")
    model = library.call("llama_model_load_from_file", str(path).encode(), parameters)
    if not model:
        raise _refusal(path, library)
    return _open_context(library, model, path, num_ctx=num_ctx, num_threads=num_threads)


def system_info() -> str:
    """Return llama.cpp's own line about the CPU features it was built with."""
    info: bytes = load_library().call("llama_print_system_info")
    return info.decode("utf-8", errors="replace").strip(" |")


def _open_context(library: Library, model: int, path: Path, *, num_ctx: int, num_threads: int) -> LlamaCpp:
    parameters = library.call("llama_context_default_params")
    parameters.set_sizes(num_ctx=num_ctx, batch_size=_BATCH_SIZE)
    context = library.call("llama_init_from_model", model, parameters)
    if not context:
        library.call("llama_model_free", model)
        raise _refusal(path, library)
    library.call("llama_set_n_threads", context, num_threads, num_threads)
    engine = LlamaCpp(library, model=model, context=context, num_threads=num_threads)
    if engine.num_ctx < num_ctx or library.call("llama_n_batch", context) > _BATCH_SIZE:
        engine.close()
        raise EngineError("llama.cpp did not take the context and batch sizes that it was given.")
    return engine


def _refusal(path: Path, library: Library) -> EngineRefusedModelError:
    lines = library.log_lines()
    reason = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "it gave no reason")
    return EngineRefusedModelError(f"llama.cpp does not take {path.name}: {reason}", engine_log=list(lines))


def _nll_of(logits_CV: NDArray[np.float32], targets_C: NDArray[np.int64]) -> NDArray[np.float64]:
    peak_C1 = logits_CV.max(axis=1, keepdims=True)
    total_C = np.exp(logits_CV - peak_C1).sum(axis=1, dtype=np.float64)
    chosen_C = np.take_along_axis(logits_CV, targets_C[:, None], axis=1)[:, 0].astype(np.float64)
    return np.asarray(np.log(total_C) + peak_C1[:, 0] - chosen_C)


@contextmanager
def _batch(token_ids: Sequence[int], start: int, *, all_logits: bool) -> Iterator[Batch]:
    """Yield a batch of one sequence, positions from `start`; its arrays live as long as the block."""
    count = len(token_ids)
    tokens = (ctypes.c_int32 * count)(*token_ids)
    positions = (ctypes.c_int32 * count)(*range(start, start + count))
    sequence = ctypes.pointer(ctypes.c_int32(0))
    counts = (ctypes.c_int32 * count)(*[1] * count)
    sequences = (ctypes.POINTER(ctypes.c_int32) * count)(*[sequence] * count)
    wanted = (ctypes.c_int8 * count)(*[int(all_logits or index == count - 1) for index in range(count)])
    yield Batch(count, tokens, None, positions, counts, sequences, wanted)
