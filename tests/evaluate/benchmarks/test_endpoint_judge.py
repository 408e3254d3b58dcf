"""A service is asked over a real socket; one that leaves out what a judge must know is refused."""

from __future__ import annotations

import pytest
from tests.evaluate.benchmarks.texts import character_tokenizer
from tests.evaluate.services import completions, service
from tests.evaluate.tiny import tiny_model

from birdbone.evaluate.benchmarks import Continuation
from birdbone.evaluate.benchmarks.endpoint_judge import open_endpoint
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.evaluate.errors import BadRequestError, EndpointError, NoLogprobsError

LOCAL = TorchJudge(tiny_model(), character_tokenizer())
COMPLETE = completions(LOCAL)


def opened(url: str):
    return open_endpoint(url, model="tiny", tokenizer=character_tokenizer(), num_ctx=66)


def test_a_service_says_what_the_model_says_here():
    requests = [
        Continuation(tuple(LOCAL.encode("A bird is")), tuple(LOCAL.encode(answer))) for answer in (" light", " lead")
    ]
    with service(COMPLETE) as url:
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
    with service(lambda body: spoil(COMPLETE(body))) as url, pytest.raises(NoLogprobsError):
        opened(url)


def test_a_service_that_refuses_or_is_not_there_is_said_so():
    with service(COMPLETE, status=429) as url, pytest.raises(EndpointError, match="answers 429") as caught:
        opened(url)
    assert caught.value.fields["status"] == 429
    with pytest.raises(EndpointError, match="gives no completion"):
        opened(url)  # it has stopped by now
    with pytest.raises(EndpointError, match="no address"):
        opened("file:///etc/passwd")


def test_what_is_too_long_is_refused_here():
    with service(COMPLETE) as url:
        judge = opened(url)
        with pytest.raises(BadRequestError):
            judge.score([Continuation((4,) * 60, (5,) * 9)])
        assert judge.score([Continuation((4,) * 60, (5,) * 5)])[0].logprob < 0


def test_a_tokenizer_without_an_end_is_refused_when_the_end_is_needed():
    tokenizer = character_tokenizer()
    tokenizer.eos_token = None
    judge = TorchJudge(tiny_model(), tokenizer)
    assert judge.prefix_token == tokenizer.bos_token_id
    with pytest.raises(BadRequestError, match="no end-of-text"):
        judge.end_token  # noqa: B018 - reading it is the test
