"""A GGUF file in stock llama.cpp as a judge: what is judged is what will be served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from birdbone.evaluate.benchmarks.chat import render_chat
from birdbone.evaluate.benchmarks.judge import Continuation, Likelihood, Message, Progress, cut_at
from birdbone.evaluate.errors import BadRequestError, NonFiniteLogitsError
from birdbone.models.llamacpp import LlamaCpp

_TOLD_EVERY = 16


@dataclass(slots=True)
class LlamaCppJudge:
    """Asks an open engine. Requests are answered in the order of their tokens, so that common beginnings are kept."""

    engine: LlamaCpp

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        """The engine; threads change no figure beyond rounding."""
        return {"engine": "llama.cpp"}

    @property
    def max_tokens(self) -> int:
        """What the engine was opened for."""
        return self.engine.num_ctx

    @property
    def prefix_token(self) -> int:
        """The beginning-of-text token, or else the end-of-text one."""
        beginning = self.engine.beginning_token
        return beginning if beginning is not None else self.end_token

    @property
    def end_token(self) -> int:
        """The end-of-text token."""
        end = self.engine.end_token
        if end is None:
            raise BadRequestError("The file names no end-of-text token, so its answers would never end.")
        return end

    def encode(self, text: str, *, add_special: bool | None = None) -> list[int]:
        """Return the ids of a text by llama.cpp's own tokenizer."""
        return self.engine.tokenize(text, add_special=add_special is not False)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of ids."""
        return self.engine.detokenize(tokens)

    def encode_chat(self, conversation: Sequence[Message]) -> list[int] | None:
        """Return the ids of a conversation in the file's chat template, or None. Raises what `Judge` says."""
        if not self.engine.chat_template:
            return None
        known = {"bos_token": self.engine.beginning_token, "eos_token": self.engine.end_token}
        names = {name: self.engine.token_text(token) for name, token in known.items() if token is not None}
        text = render_chat(self.engine.chat_template, conversation, special_tokens=names)
        return self.engine.tokenize(text, parse_special=True)

    def score(self, requests: Sequence[Continuation], *, progress: Progress | None = None) -> list[Likelihood]:
        """Return the likelihood of each continuation, in their order. Raises what `Judge.score` does."""
        order = sorted(range(len(requests)), key=lambda number: (requests[number].context, requests[number].tokens))
        found: dict[int, Likelihood] = {}
        for number in order:
            found[number] = self._score(requests[number], number)
            if progress is not None and (len(found) % _TOLD_EVERY == 0 or len(found) == len(requests)):
                progress(len(found), len(requests))
        return [found[number] for number in range(len(requests))]

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        stops: Sequence[str],
        max_new_tokens: int,
        progress: Progress | None = None,
    ) -> list[str]:
        """Return the greedy continuation of each prompt, cut before the first of `stops`."""
        texts = []
        for number, prompt in enumerate(prompts):
            texts.append(self._generate(prompt, stops, max_new_tokens))
            if progress is not None:
                progress(number + 1, len(prompts))
        return texts

    def _score(self, request: Continuation, number: int) -> Likelihood:
        if not request.context or not request.tokens:
            raise BadRequestError(f"Request {number} has no {'tokens' if request.context else 'context'}.")
        ids = [*request.context, *request.tokens[:-1]]
        if len(ids) > self.max_tokens:
            raise BadRequestError(f"Request {number} has {len(ids)} tokens; the engine takes {self.max_tokens}.")
        logits_SV = self.engine.last_logits(ids, len(request.tokens)).astype(np.float64)
        peak_S1 = logits_SV.max(axis=1, keepdims=True)
        norm_S = np.log(np.exp(logits_SV - peak_S1).sum(axis=1)) + peak_S1[:, 0]
        chosen_S = logits_SV[np.arange(len(request.tokens)), request.tokens]
        logprob = float((chosen_S - norm_S).sum())
        if not np.isfinite(logprob):
            raise NonFiniteLogitsError(f"The likelihood of request {number} is not a number.", request=number)
        return Likelihood(logprob, bool((logits_SV.argmax(axis=1) == request.tokens).all()))

    def _generate(self, prompt: Sequence[int], stops: Sequence[str], max_new_tokens: int) -> str:
        ids, made = list(prompt), list[int]()
        while len(made) < max_new_tokens and len(ids) < self.max_tokens:
            token = int(self.engine.last_logits(ids, 1)[0].argmax())
            if token == self.end_token:
                break
            ids.append(token)
            made.append(token)
            text = self.decode(made)
            if any(stop and stop in text for stop in stops):
                break
        return cut_at(self.decode(made), stops)
