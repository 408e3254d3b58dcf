"""Conversations become the text and the tokens that the model's own template says, in every engine."""

import pytest
from tests.evaluate.checks.judges import CONTEXT, new_judge, write_judge

from birdbone.evaluate.benchmarks.chat import render_chat
from birdbone.evaluate.benchmarks.llamacpp_judge import LlamaCppJudge
from birdbone.evaluate.errors import NoChatTemplateError
from birdbone.models.llamacpp import open_engine

TEMPLATE = (
    "{% for turn in messages %}{% if turn.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{{ bos_token }}{{ turn.role }}\n{{ turn.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}{{ bos_token }}assistant\n{% endif %}"
)
CONVERSATION = [{"role": "user", "content": "Are bones light? 12"}]


def test_a_template_is_filled_up_to_the_answer():
    text = render_chat(TEMPLATE, CONVERSATION, special_tokens={"bos_token": "<s>", "eos_token": "</s>"})
    assert text == "<s>user\nAre bones light? 12</s>\n<s>assistant\n"


def test_a_template_that_refuses_is_one_clear_error():
    system = [{"role": "system", "content": "Be short."}, *CONVERSATION]
    for template, told in (
        (TEMPLATE, "no system"),
        ("{% for %}", "refuses"),
    ):
        with pytest.raises(NoChatTemplateError, match=told):
            render_chat(template, system, special_tokens={})


def test_both_engines_see_the_same_tokens(tmp_path):
    judge = new_judge()
    assert judge.encode_chat(CONVERSATION) is None
    judge.tokenizer.chat_template = TEMPLATE
    begin, end = judge.tokenizer.bos_token_id, judge.tokenizer.eos_token_id
    told = judge.encode_chat(CONVERSATION)
    assert told[0] == begin
    assert told.count(begin) == 2
    assert told.count(end) == 1
    judge.tokenizer.chat_template = {"default": TEMPLATE, "tools": ""}
    assert judge.encode_chat(CONVERSATION) == told
    judge.tokenizer.chat_template = TEMPLATE
    write_judge(judge, tmp_path / "tiny.gguf")
    with open_engine(tmp_path / "tiny.gguf", num_ctx=CONTEXT, num_threads=1) as engine:
        assert LlamaCppJudge(engine).encode_chat(CONVERSATION) == told
