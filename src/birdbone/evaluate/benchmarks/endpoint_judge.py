"""An OpenAI-compatible service as a judge, by `POST /v1/completions` with token ids, `echo` and `logprobs`.

Some services take `logprobs` and leave it out of the answer, or give it for new tokens only. That is found out by a
probe when the service is opened, and each answer is checked again: a likelihood that is not told is an error, never 0.
The tokenizer is that of the model behind the service, loaded here, so that prompts are those of every other engine.
"""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from birdbone.evaluate.benchmarks.judge import Continuation, Likelihood, Progress, cut_at
from birdbone.evaluate.benchmarks.vocabulary import Vocabulary
from birdbone.evaluate.errors import BadRequestError, EndpointError, NoLogprobsError

_MAX_STOPS = 4  # as OpenAI's interface has it; the rest are cut here


@dataclass(slots=True)
class EndpointJudge(Vocabulary):
    """Asks a service. Open it by `open_endpoint`, which probes it."""

    url: str
    """Up to and with `/v1`."""
    model: str
    """The model's name there."""
    tokenizer: Any
    """Of transformers."""
    max_tokens: int
    """Longest context that is asked for; one token to be judged may follow it."""
    api_key: str = ""
    timeout_seconds: float = 120.0
    num_parallel: int = 4

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        """Where it was asked; what runs there is not known."""
        return {"engine": "endpoint", "url": self.url, "model": self.model}

    def score(self, requests: Sequence[Continuation], *, progress: Progress | None = None) -> list[Likelihood]:
        """Return the likelihood of each continuation, in their order.

        Raises:
            NoLogprobsError: an answer lacks them.
            EndpointError: the service cannot be reached, or refuses.
            and what `Judge.score` does.
        """
        found: list[Likelihood] = []
        with ThreadPoolExecutor(self.num_parallel) as pool:
            for likelihood in pool.map(self._score, requests):
                found.append(likelihood)
                if progress is not None:
                    progress(len(found), len(requests))
        return found

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        stops: Sequence[str],
        max_new_tokens: int,
        progress: Progress | None = None,
    ) -> list[str]:
        """Return the greedy continuation of each prompt, cut before the first of `stops`."""

        def ask(prompt: Sequence[int]) -> str:
            body = {"prompt": list(prompt), "max_tokens": max_new_tokens, "temperature": 0}
            return cut_at(str(self._post(body | ({"stop": list(stops[:_MAX_STOPS])} if stops else {}))["text"]), stops)

        texts: list[str] = []
        with ThreadPoolExecutor(self.num_parallel) as pool:
            for text in pool.map(ask, prompts):
                texts.append(text)
                if progress is not None:
                    progress(len(texts), len(prompts))
        return texts

    def _score(self, request: Continuation) -> Likelihood:
        ids = [*request.context, *request.tokens]
        if not request.context or not request.tokens or len(ids) > self.max_tokens + 1:
            raise BadRequestError(f"A request has {len(ids)} tokens, {len(request.tokens)} of them to be judged.")
        answer = self._post({"prompt": ids, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1})
        logprobs = answer.get("logprobs") or {}
        told, best = logprobs.get("token_logprobs"), logprobs.get("top_logprobs")
        wanted = slice(len(request.context), len(ids))
        if not told or not best or len(told) < len(ids) or not all(_is_number(value) for value in told[wanted]):
            raise NoLogprobsError(f"{self.url} answers without the log-probability of each token of the prompt.")
        greedy = [value >= max(map(float, top.values())) for value, top in zip(told[wanted], best[wanted], strict=True)]
        return Likelihood(float(sum(told[wanted])), all(greedy))

    def _post(self, body: Mapping[str, Any]) -> dict[str, Any]:
        content = json.dumps({"model": self.model, **body}).encode()
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        )
        request = urllib.request.Request(f"{self.url}/completions", content, headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_seconds) as response:
                choice = json.loads(response.read())["choices"][0]
        except urllib.error.HTTPError as error:
            told = error.read(500).decode("utf-8", "replace")
            raise EndpointError(f"{self.url} answers {error.code}: {told}", status=error.code) from error
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise EndpointError(f"{self.url} gives no completion: {error}") from error
        if not isinstance(choice, dict):
            raise EndpointError(f"{self.url} gives a completion that is no object.")
        return choice


def open_endpoint(url: str, *, model: str, tokenizer: Any, num_ctx: int, api_key: str = "") -> EndpointJudge:
    """Return a judge over the service at `url`, after it answered a probe with log-probabilities.

    Args:
        url: up to and with `/v1`.
        model: the model's name there.
        tokenizer: that of the model, of transformers.
        num_ctx: tokens that the service takes in one sequence, the one that it has to make included.
        api_key: sent as a bearer token unless it is empty.

    Raises:
        EndpointError: it is no address of the web, cannot be reached, or refuses.
        NoLogprobsError: it does not tell what a judge must know.
    """
    if not url.startswith(("http://", "https://")):
        raise EndpointError(f"{url} is no address that begins with http:// or https://.")
    judge = EndpointJudge(
        url=url.rstrip("/"), model=model, tokenizer=tokenizer, max_tokens=num_ctx - 2, api_key=api_key
    )
    ids = judge.encode("The bone of a bird is light and strong.", add_special=False)
    judge.score([Continuation(tuple(ids[:-2]), tuple(ids[-2:]))])
    return judge


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
