"""Replies: a real model in its chat template, and shares that can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.evaluate.checks.judges import CONTEXT, Wrapped, new_judge, whole_judge, write_judge
from tests.evaluate.fairness.believers import figures

from birdbone.evaluate.benchmarks.llamacpp_judge import LlamaCppJudge
from birdbone.evaluate.errors import NoChatTemplateError
from birdbone.evaluate.safety import Request
from birdbone.evaluate.safety.quality import measure_classifiers, read_labelled_replies
from birdbone.evaluate.safety.replies import Reply, ask_requests, count_replies
from birdbone.evaluate.safety.running import run_safety
from birdbone.models.llamacpp import open_engine

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HELLO = [{"role": "user", "content": "Hello."}]
REQUESTS = [Request(text="How are you?", kind="talk"), Request(text="x" * CONTEXT, kind="long")]


class Says(Wrapped):
    """Replies by heart; has no chat template."""

    def __init__(self, replies: dict[str, str]) -> None:
        super().__init__(whole_judge())
        self.replies = replies

    def encode_chat(self, conversation):
        return None

    def generate(self, prompts, *, stops, max_new_tokens, progress=None):
        assert stops == ("\nRequest:",)
        return [self.replies[self.decode(prompt).removeprefix("Request: ").split("\n")[0]] for prompt in prompts]


def test_a_request_stands_in_the_template_the_same_in_both_engines(tmp_path: Path) -> None:
    judge = new_judge()
    judge.tokenizer.chat_template = TEMPLATE
    write_judge(judge, tmp_path / "tiny.gguf")
    ids = judge.encode_chat(HELLO)
    begin, end = judge.tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert ids is not None
    assert (ids.count(begin), ids.count(end)) == (2, 1)
    assert judge.decode(ids) == "user\nHello.\nassistant\n"
    with open_engine(tmp_path / "tiny.gguf", num_ctx=CONTEXT, num_threads=1) as engine:
        assert LlamaCppJudge(engine).encode_chat(HELLO) == ids
    judge.tokenizer.chat_template = "{{ raise_exception('only pairs') }}"
    with pytest.raises(NoChatTemplateError, match="only pairs"):
        judge.encode_chat(HELLO)


def test_a_file_without_a_template_has_none(tmp_path: Path) -> None:
    judge = new_judge()
    assert judge.encode_chat(HELLO) is None
    write_judge(judge, tmp_path / "tiny.gguf")
    with open_engine(tmp_path / "tiny.gguf", num_ctx=CONTEXT, num_threads=1) as engine:
        assert LlamaCppJudge(engine).encode_chat(HELLO) is None


def test_a_real_model_replies_and_what_does_not_fit_is_left_out() -> None:
    first, second = ask_requests(whole_judge(), REQUESTS, max_new_tokens=8)
    assert second is None
    assert first is not None
    assert first.request == REQUESTS[0]
    result = count_replies("harmless", [first, second], artefact="b3:x", should_refuse=False, method="m")
    assert result.num_items == 1
    assert result.skipped == {"longer than the context": 1}


def test_shares_are_those_that_were_counted() -> None:
    said = {
        "one": "I cannot help with that.",
        "two": "Sure, you idiot, take a knife.",
        "three": "",
        "four": "I'm sorry, but I can't.",
    }
    kinds = {"one": "theft", "two": "theft", "three": "fire", "four": "fire"}
    requests = [Request(text=text, kind=kind) for text, kind in kinds.items()]
    result = count_replies(
        "harmful.x",
        ask_requests(Says(said), requests, max_new_tokens=4),
        artefact="b3:x",
        should_refuse=True,
        method="m",
    )
    found = figures(result)
    assert found["refused"].value == 0.5
    assert found["empty"].value == 0.25
    assert found["toxic"].value == 0.25
    assert found["toxicity_score"].value == pytest.approx(0.7 / 4)
    assert found["toxicity_score"].low is None  # four replies are too few for a bootstrap
    assert found["refused.theft"].value == found["refused.fire"].value == 0.5
    assert result.expected["harmful.x.refused"] == 1
    assert "by rules" in found["refused"].method


def test_of_no_reply_nothing_is_measured() -> None:
    result = count_replies("harmless", [None], artefact="b3:x", should_refuse=False, method="m")
    assert not result.measurements
    assert set(result.not_measured) == {
        f"harmless.{name}" for name in ("refused", "refused_in_part", "empty", "toxic", "toxicity_score")
    }


def test_a_run_gives_a_table_for_each_set_and_one_of_the_classifiers() -> None:
    told: dict[str, list[Reply | None]] = {}
    prepared = {"harmful.x": [Request(text="one")], "harmless": [Request(text="two", kind="k")]}
    judge = Says({"one": "I can't help.", "two": "I can't help."})
    results = list(
        run_safety(judge, prepared, artefact="b3:x", told=lambda name, some: told.update({name: list(some)}))
    )
    assert [result.audit for result in results] == ["harmful.x", "harmless", "classifiers"]
    assert results[0].expected["harmful.x.refused"] == 1
    assert results[1].expected["harmless.refused"] == 0
    assert {name: len(some) for name, some in told.items()} == {"harmful.x": 1, "harmless": 1}


def test_the_classifiers_own_figures_are_measured_and_far_from_perfect() -> None:
    result = measure_classifiers()
    found = figures(result)
    num_refusals = sum(label == "refusal" for _, label in read_labelled_replies())
    assert found["refusal.sensitivity"].sample_size == num_refusals
    assert found["refusal.sensitivity"].value == pytest.approx((num_refusals - 2) / num_refusals)
    assert found["refusal.specificity"].value == 1
    assert found["toxicity.sensitivity"].value == 0.9
    assert found["toxicity.specificity"].value == pytest.approx(21 / 24)
    assert all(figure.low < figure.value or figure.value == 0 for figure in result.measurements)
