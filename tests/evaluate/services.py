"""An OpenAI-compatible service on loopback, answered by a model in this process."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from birdbone.evaluate.benchmarks.torch_judge import TorchJudge

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def completions(judge: TorchJudge) -> Answer:
    """Return what answers `POST /v1/completions` from the model of a judge."""

    @torch.no_grad()
    def complete(body: dict[str, Any]) -> dict[str, Any]:
        ids = body["prompt"]
        if not body.get("echo"):
            return {"text": judge.generate([ids], stops=body.get("stop", ()), max_new_tokens=body["max_tokens"])[0]}
        rows = judge.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        told = [None, *(float(row[token]) for row, token in zip(rows, ids[1:], strict=False))]
        best = [None, *({"best": float(row.max())} for row in rows[:-1])]
        return {"text": "", "logprobs": {"token_logprobs": told, "top_logprobs": best}}

    return complete


@contextmanager
def service(answer: Answer, status: int = 200) -> Iterator[str]:
    """Give the address of a service that gives these answers, or refuses with a status."""

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
