"""Text to token ids and back by a tokenizer of transformers, for the judges that have one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from birdbone.evaluate.benchmarks.chat import template_faults_named, user_says
from birdbone.evaluate.errors import BadRequestError


class Vocabulary:
    """What `Judge` asks about tokens. A class that has a `tokenizer` inherits it."""

    __slots__ = ()
    tokenizer: Any

    @property
    def prefix_token(self) -> int:
        """The beginning-of-text token, or else the end-of-text one."""
        begin = self.tokenizer.bos_token_id
        return int(begin) if begin is not None else self.end_token

    @property
    def end_token(self) -> int:
        """The end-of-text token. Raises BadRequestError where the tokenizer names none."""
        end = self.tokenizer.eos_token_id
        if end is None:
            raise BadRequestError("The tokenizer names no end-of-text token, so answers would never end.")
        return int(end)

    def encode(self, text: str, *, add_special: bool | None = None) -> list[int]:
        """Return the ids of a text."""
        options = {} if add_special is None else {"add_special_tokens": add_special}
        return [int(token) for token in self.tokenizer.encode(text, **options)]

    def encode_chat(self, request: str) -> list[int] | None:
        """Return the ids of a request in the tokenizer's chat template, or None.

        Raises:
            BadRequestError: the template takes no single request of a user.
        """
        if self.tokenizer.chat_template is None:
            return None
        with template_faults_named():
            text = self.tokenizer.apply_chat_template(user_says(request), add_generation_prompt=True, tokenize=False)
        return self.encode(str(text), add_special=False)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))
