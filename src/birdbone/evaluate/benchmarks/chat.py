"""A request in a model's chat template: the text that the model was trained to reply to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jinja2.exceptions import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from birdbone.evaluate.errors import BadRequestError


def user_says(request: str) -> list[dict[str, str]]:
    """Return a conversation of one request."""
    return [{"role": "user", "content": request}]


def render_request(template: str, request: str, *, begin: str, end: str) -> str:
    """Return a request in a chat template, up to where the reply begins.

    Args:
        template: in Jinja, as tokenizers and GGUF files carry it.
        request: what a person says.
        begin: text of the token that begins a text; empty where there is none.
        end: text of the token that ends one.

    Raises:
        BadRequestError: the template takes no single request of a user.
    """
    with template_faults_named():
        rendered, _ = render_jinja_template(
            [user_says(request)], chat_template=template, add_generation_prompt=True, bos_token=begin, eos_token=end
        )
    return str(rendered[0])


@contextmanager
def template_faults_named() -> Iterator[None]:
    """Turn an error of a template into one of ours."""
    try:
        yield
    except TemplateError as error:
        raise BadRequestError(
            f"The model's chat template does not take a request alone: {error}.",
            hint="Look at the chat template of the model's tokenizer.",
        ) from error
