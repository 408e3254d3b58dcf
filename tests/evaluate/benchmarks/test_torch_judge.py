"""A bundle says of each branch what the model says of it alone, whatever the family."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.benchmarks.texts import character_tokenizer
from tests.evaluate.tiny import FAMILIES, VOCAB, tiny_model

from birdbone.evaluate.benchmarks import Continuation
from birdbone.evaluate.benchmarks.judge import cut_at
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.evaluate.errors import NonFiniteLogitsError

KNOWN = sorted(set(FAMILIES) - {"granite"})  # its logits are scaled behind its head, which `find_readout` refuses


def judge_of(family: str = "llama") -> TorchJudge:
    return TorchJudge(tiny_model(family), character_tokenizer(), max_batch_tokens=96)


@torch.no_grad()
def plainly(judge: TorchJudge, request: Continuation) -> tuple[float, bool]:
    ids = [*request.context, *request.tokens]
    logits = judge.model(input_ids=torch.tensor([ids])).logits[0].double()
    places = range(len(request.context) - 1, len(ids) - 1)
    rows = logits.log_softmax(-1)[list(places)]
    total = sum(float(row[token]) for row, token in zip(rows, request.tokens, strict=True))
    return total, [int(row.argmax()) for row in rows] == list(request.tokens)


def drawn(seed: int, count: int) -> list[Continuation]:
    generator = np.random.default_rng(seed)

    def ids(most: int) -> tuple[int, ...]:
        return tuple(int(token) for token in generator.integers(0, VOCAB, generator.integers(1, most)))

    contexts = [ids(30) for _ in range(3)]
    return [Continuation(contexts[generator.integers(3)], ids(9)) for _ in range(count)]


@pytest.mark.parametrize("family", KNOWN)
def test_every_family_is_scored_as_the_model_itself_says(family):
    judge = judge_of(family)
    requests = drawn(1, 9)
    for request, found in zip(requests, judge.score(requests), strict=True):
        logprob, is_greedy = plainly(judge, request)
        assert found.logprob == pytest.approx(logprob, abs=2e-4)
        assert found.is_greedy == is_greedy


def test_most_families_share_a_context_and_those_with_a_window_do_not():
    shared = {family for family in KNOWN if judge_of(family)._is_shared}
    assert {"llama", "qwen2", "phi3", "gpt_neox"} <= shared
    assert not shared & {"mistral", "gemma2"}


LLAMA = judge_of()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_order_and_company_change_no_likelihood(seed, count):
    requests = drawn(seed, count)
    together, backwards = LLAMA.score(requests), LLAMA.score(requests[::-1])[::-1]
    alone = [LLAMA.score([request])[0] for request in requests]
    for one, two, three in zip(together, backwards, alone, strict=True):
        assert one.logprob == pytest.approx(two.logprob, abs=1e-4)
        assert one.logprob == pytest.approx(three.logprob, abs=1e-4)


def test_progress_counts_up_to_all_requests():
    told = []
    LLAMA.score(drawn(3, 11), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (11, 11)
    assert told == sorted(told)


def test_a_broken_model_is_an_error_and_no_score():
    judge = judge_of()
    with torch.no_grad():
        judge.model.get_output_embeddings().weight[5] = float("nan")
    with pytest.raises(NonFiniteLogitsError):
        judge.score(drawn(4, 3))


def test_what_is_generated_is_greedy_and_ends_before_a_stop():
    prompts = [LLAMA.encode(text) for text in ("A bird", "The bone of a bird is")]
    whole = LLAMA.generate(prompts, stops=(), max_new_tokens=12)
    for prompt, text in zip(prompts, whole, strict=True):
        ids = torch.tensor([prompt])
        made = LLAMA.model.generate(input_ids=ids, max_new_tokens=12, do_sample=False, pad_token_id=0)
        assert text == LLAMA.decode(made[0, len(prompt) :].tolist())
    stop = whole[0][4:6]
    assert LLAMA.generate(prompts[:1], stops=(stop,), max_new_tokens=12) == [cut_at(whole[0], (stop,))]


def test_a_text_is_cut_before_the_first_stop_in_it():
    assert cut_at("one two three", ("three", "two", "")) == "one "
    assert cut_at("one", ("two",)) == "one"
