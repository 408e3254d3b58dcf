"""Conversations as the text that a model was trained on, by its own template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from birdbone.evaluate.benchmarks.judge import Message
from birdbone.evaluate.errors import NoChatTemplateError


def render_chat(template: str, conversation: Sequence[Message], *, special_tokens: Mapping[str, str]) -> str:
    """Return the text of a conversation up to where the model's answer begins.

    Args:
        template: in Jinja, as a model's files hold it; run in the sandbox of transformers.
        conversation: its turns.
        special_tokens: what the template may name, such as `bos_token`.

    Raises:
        NoChatTemplateError: it refuses the conversation.
    """
    try:
        texts, _ = render_jinja_template(
            conversations=[list(conversation)], chat_template=template, add_generation_prompt=True, **special_tokens
        )
    except (TemplateError, ValueError, TypeError) as error:
        raise NoChatTemplateError(f"The model's chat template refuses the conversation: {error}") from error
    return str(texts[0])
