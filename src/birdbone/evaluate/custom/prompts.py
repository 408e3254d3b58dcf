"""Prompts as a model sees them: system text, examples and item as one text, or as a conversation."""

from __future__ import annotations

from dataclasses import dataclass

from birdbone.evaluate.benchmarks.judge import Continuation, Judge, Message
from birdbone.evaluate.custom.config import TaskSettings
from birdbone.evaluate.custom.items import Item
from birdbone.evaluate.errors import BadRequestError, NoChatTemplateError

_PARAGRAPH = "\n\n"


@dataclass(slots=True)
class Fitting:
    """Cuts what is too long, as lm-eval does: the beginning of the context goes. Counts what it cut."""

    max_tokens: int
    """Longest context that the model takes with one token after it."""
    num_shortened: int = 0

    def continuation(self, context: list[int], tokens: list[int], where: str) -> Continuation:
        """Return what is asked of a model.

        Raises:
            BadRequestError: the tokens alone are more than the model takes.
        """
        room = self.max_tokens + 1 - len(tokens)
        if room < 1:
            raise BadRequestError(
                f"{where}: a choice has {len(tokens)} tokens; the model takes {self.max_tokens}.",
                hint="Leave the item out, or judge a model with a longer context.",
            )
        self.num_shortened += len(context) > room
        return Continuation(tuple(context[-room:]), tuple(tokens))

    def prompt(self, context: list[int], max_new_tokens: int) -> list[int]:
        """Return a prompt that leaves room for so many tokens."""
        room = self.max_tokens - max_new_tokens
        self.num_shortened += len(context) > room
        return context[-room:]


def plain_text(settings: TaskSettings, item: Item) -> str:
    """Return the prompt as one text."""
    separator = settings.fewshot.separator if settings.fewshot is not None else _PARAGRAPH
    examples = [f"{prompt}{settings.delimiter}{answer}" for prompt, answer in item.examples]
    text = separator.join([*examples, item.prompt])
    return f"{settings.system}{_PARAGRAPH}{text}" if settings.system else text


def messages(settings: TaskSettings, item: Item) -> list[Message]:
    """Return the prompt as a conversation: each example is a question of the user and an answer of the assistant."""
    said = [("system", settings.system)] if settings.system else []
    for prompt, answer in item.examples:
        said += [("user", prompt), ("assistant", answer)]
    return [{"role": role, "content": content} for role, content in [*said, ("user", item.prompt)]]


def prompt_tokens(judge: Judge, settings: TaskSettings, item: Item) -> list[int]:
    """Return the tokens of the prompt, at least one.

    Raises:
        NoChatTemplateError: the task is a conversation and the model knows none.
    """
    if settings.chat:
        return chat_tokens(judge, messages(settings, item))
    return judge.encode(plain_text(settings, item)) or [judge.prefix_token]


def answer_tokens(judge: Judge, settings: TaskSettings, item: Item, choice: str) -> tuple[list[int], list[int]]:
    """Return the tokens of the prompt, and those of a choice behind it. Raises what `prompt_tokens` does."""
    if settings.chat:
        return chat_tokens(judge, messages(settings, item)), judge.encode(choice, add_special=False)
    return pair_tokens(judge, plain_text(settings, item), f"{settings.delimiter}{choice}")


def chat_tokens(judge: Judge, conversation: list[Message]) -> list[int]:
    """Return the tokens of a conversation up to where the model's answer begins.

    Raises:
        NoChatTemplateError: the model has no chat template, or it refuses the conversation.
    """
    tokens = judge.encode_chat(conversation)
    if tokens is None:
        raise NoChatTemplateError("The model has no chat template.")
    return tokens


def pair_tokens(judge: Judge, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """Return the tokens of a context and of what follows it, cut as lm-eval cuts them.

    White space at the end of the context goes to what follows, and both are read as one text, so that a tokenizer may
    join a space with the word behind it. Where it joins across the seam, both are read by themselves.
    """
    kept = context.rstrip()
    continuation = context[len(kept) :] + continuation
    if not kept:
        return [judge.prefix_token], judge.encode(continuation, add_special=False)
    before, whole = judge.encode(kept), judge.encode(kept + continuation)
    return before, whole[len(before) :] or judge.encode(continuation, add_special=False)
