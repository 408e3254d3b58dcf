"""A service is asked over a real socket; one that leaves out what a judge must know is refused."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tests.evaluate.benchmarks.texts import character_tokenizer
from tests.evaluate.tiny import tiny_model

from birdbone.evaluate.benchmarks import Continuation
from birdbone.evaluate.benchmarks.endpoint_judge import open_endpoint
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.evaluate.errors import BadRequestError, EndpointError, NoLogprobsError

MODEL = tiny_model()
LOCAL = TorchJudge(MODEL, character_tokenizer())


@torch.no_grad()
def complete(body: dict[str, Any]) -> dict[str, Any]:
    """Return what an OpenAI-compatible service says, from the tiny model."""
    ids = body["prompt"]
    if not body.get("echo"):
        return {"text": LOCAL.generate([ids], stops=body.get("stop", ()), max_new_tokens=body["max_tokens"])[0]}
    rows = MODEL(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    told = [None, *(float(row[token]) for row, token in zip(rows, ids[1:], strict=False))]
    best = [None, *({"best": float(row.max())} for row in rows[:-1])]
    return {"text": "", "logprobs": {"token_logprobs": told, "top_logprobs": best}}


@contextmanager
def service(answer=complete, status: int = 200) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = json.dumps({"choices": [answer(body)]} if status == 200 else {"error": "busy"}).encode()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def opened(url: str):
    return open_endpoint(url, model="tiny", tokenizer=character_tokenizer(), max_tokens=64)


def test_a_service_says_what_the_model_says_here():
    requests = [
        Continuation(tuple(LOCAL.encode("A bird is")), tuple(LOCAL.encode(answer))) for answer in (" light", " lead")
    ]
    with service() as url:
        judge = opened(url)
        found = judge.score(requests)
        texts = judge.generate([LOCAL.encode("A bird")], stops=("q",), max_new_tokens=8)
    for there, here in zip(found, LOCAL.score(requests), strict=True):
        assert there.logprob == pytest.approx(here.logprob, abs=1e-4)
        assert there.is_greedy == here.is_greedy
    assert texts == LOCAL.generate([LOCAL.encode("A bird")], stops=("q",), max_new_tokens=8)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found | {"logprobs": None},
        lambda found: found | {"logprobs": {**found["logprobs"], "token_logprobs": [-1.0]}},
        lambda found: found | {"logprobs": {**found["logprobs"], "token_logprobs": [None] * 99}},
        lambda found: {"text": "fine"},
    ],
)
def test_a_service_that_leaves_out_log_probabilities_is_refused_when_opened(spoil):
    with service(lambda body: spoil(complete(body))) as url, pytest.raises(NoLogprobsError):
        opened(url)


def test_a_service_that_refuses_or_is_not_there_is_said_so():
    with service(status=429) as url, pytest.raises(EndpointError, match="answers 429") as caught:
        opened(url)
    assert caught.value.fields["status"] == 429
    with pytest.raises(EndpointError, match="gives no completion"):
        opened(url)  # it has stopped by now
    with pytest.raises(EndpointError, match="no address"):
        opened("file:///etc/passwd")


def test_what_is_too_long_is_refused_here():
    with service() as url:
        judge = opened(url)
        with pytest.raises(BadRequestError):
            judge.score([Continuation((4,) * 60, (5,) * 9)])
