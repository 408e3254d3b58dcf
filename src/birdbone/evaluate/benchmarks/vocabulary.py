"""Text to token ids and back by a tokenizer of transformers, for the judges that have one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from birdbone.evaluate.benchmarks.chat import render_chat
from birdbone.evaluate.benchmarks.judge import Message
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

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def encode_chat(self, conversation: Sequence[Message]) -> list[int] | None:
        """Return the ids of a conversation up to where the reply begins; None without a chat template.

        Raises:
            NoChatTemplateError: the template refuses the conversation.
        """
        template = self.tokenizer.chat_template
        if isinstance(template, dict):  # several, by name
            template = template.get("default")
        if not template:
            return None
        text = render_chat(template, conversation, special_tokens=self.tokenizer.special_tokens_map)
        return self.encode(text, add_special=False)
