"""Items made from a small grammar, with right answers known by their making: number, determiners, counting, copying.

A template's text holds slots, `{noun1.many}`: a list of words, a number that tells two words of one list apart, and a
form of the word. Slots of the same list and number are the same word, those of other numbers another word.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from birdbone.evaluate.benchmarks.judge import Judge
from birdbone.evaluate.checks.choices import ChoiceItem, ask_choices
from birdbone.evaluate.checks.findings import CheckOutcome, CheckResult, skipped
from birdbone.evaluate.checks.mutations import MUTATIONS
from birdbone.evaluate.checks.shares import share_interval

_SLOT = re.compile(r"\{([a-z]+)(\d*)\.([a-z]+)\}")

Word = Mapping[str, str]
"""A word by the names of its forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A sentence with slots, and how it may go on."""

    name: str
    context: str
    right: str
    wrong: tuple[str, ...]


def _counted(*pairs: tuple[str, str]) -> tuple[Word, ...]:
    return tuple({"one": one, "many": many} for one, many in pairs)


WORDS: Mapping[str, tuple[Word, ...]] = {
    "noun": _counted(
        ("bird", "birds"), ("cat", "cats"), ("dog", "dogs"), ("girl", "girls"), ("boy", "boys"), ("king", "kings"),
        ("teacher", "teachers"), ("doctor", "doctors"), ("farmer", "farmers"), ("horse", "horses"),
    ),
    "acts": _counted(
        ("sleeps", "sleep"), ("runs", "run"), ("sings", "sing"), ("laughs", "laugh"), ("walks", "walk"),
        ("waits", "wait"),
    ),
    "sees": _counted(("sees", "see"), ("likes", "like"), ("follows", "follow"), ("knows", "know")),
}  # fmt: skip
"""The word lists; a verb's form is that of its subject."""

TEMPLATES: tuple[Template, ...] = (
    Template(name="subject, one", context="The {noun1.one}", right=" {acts1.one}.", wrong=(" {acts1.many}.",)),
    Template(name="subject, many", context="The {noun1.many}", right=" {acts1.many}.", wrong=(" {acts1.one}.",)),
    Template(
        name="relative clause, one",
        context="The {noun1.one} that the {noun2.many} {sees1.many}",
        right=" {acts1.one}.",
        wrong=(" {acts1.many}.",),
    ),
    Template(
        name="relative clause, many",
        context="The {noun1.many} that the {noun2.one} {sees1.one}",
        right=" {acts1.many}.",
        wrong=(" {acts1.one}.",),
    ),
    Template(
        name="place, one",
        context="The {noun1.one} near the {noun2.many}",
        right=" {acts1.one}.",
        wrong=(" {acts1.many}.",),
    ),
    Template(
        name="place, many",
        context="The {noun1.many} near the {noun2.one}",
        right=" {acts1.many}.",
        wrong=(" {acts1.one}.",),
    ),
    Template(name="determiner, one", context="I saw this", right=" {noun1.one}.", wrong=(" {noun1.many}.",)),
    Template(name="determiner, many", context="I saw these", right=" {noun1.many}.", wrong=(" {noun1.one}.",)),
    Template(name="counting", context="One {noun1.one}, two", right=" {noun1.many}.", wrong=(" {noun1.one}.",)),
    Template(
        name="copying",
        context="{noun1.one}, {noun2.one}, {noun3.one}. {noun1.one}, {noun2.one},",
        right=" {noun3.one}.",
        wrong=(" {noun1.one}.", " {noun2.one}."),
    ),
)


def generate_items(
    *,
    seed: int,
    num_each: int,
    templates: Sequence[Template] = TEMPLATES,
    words: Mapping[str, tuple[Word, ...]] = WORDS,
) -> list[ChoiceItem]:
    """Return up to `num_each` different items of each template, the right choice in a place by chance.

    The same seed gives the same items. A small word list may not hold so many; then there are fewer.

    Raises:
        KeyError: a template names a list or a form that `words` lacks.
        ValueError: a template wants more different words than a list holds.
    """
    draw = random.Random(seed)
    return [item for template in templates for item in _items_of(template, words, draw, num_each)]


def mutate_items(items: Sequence[ChoiceItem], *, seed: int) -> list[ChoiceItem]:
    """Return new items by mutation of given ones: one for each change of `MUTATIONS` that touches an item's context.

    Choices and answer are those of the item; its kind says what was done.
    """
    return [
        replace(item, context=context, kind=f"{item.kind}, {name}")
        for number, item in enumerate(items)
        for name, mutate in MUTATIONS.items()
        if (context := mutate(item.context, random.Random(f"{seed}:{name}:{number}"))) != item.context
    ]


def check_generated(judge: Judge, items: Sequence[ChoiceItem]) -> CheckResult:
    """Ask items with known answers: a pass is better than chance for sure, a fail worse than chance for sure.

    What the interval leaves open is a warning: so few items, or so small a model.
    """
    asked = [
        (item, choice) for item, choice in zip(items, ask_choices(judge, items), strict=True) if choice is not None
    ]
    if not asked:
        return skipped("generated.choices", "There was no item that fits the model.")
    right = sum(choice.best == item.answer for item, choice in asked)
    chance = sum(1 / len(item.choices) for item, _ in asked) / len(asked)
    low, high = share_interval(right, len(asked))
    outcome: CheckOutcome = "pass" if low > chance else "fail" if high < chance else "warn"
    by_kind: dict[str, list[bool]] = {}
    for item, choice in asked:
        by_kind.setdefault(item.kind, []).append(choice.best == item.answer)
    return CheckResult(
        name="generated.choices",
        outcome=outcome,
        reason=f"{right} of {len(asked)} are right: {right / len(asked):.0%}, between {low:.0%} and {high:.0%}; "
        f"a guess would have {chance:.0%}.",
        figures={
            "num_right": right,
            "share_right": right / len(asked),
            "low": low,
            "high": high,
            "chance": chance,
            "num_not_asked": len(items) - len(asked),
            **{f"share_right: {kind}": sum(hits) / len(hits) for kind, hits in by_kind.items()},
        },
        num_items=len(asked),
    )


def _items_of(
    template: Template, words: Mapping[str, tuple[Word, ...]], draw: random.Random, num_items: int
) -> list[ChoiceItem]:
    found: dict[tuple[str, str], ChoiceItem] = {}
    for _ in range(4 * num_items):  # some draws come twice; a list may be too small for so many
        if len(found) == num_items:
            break
        item = _item(template, words, draw)
        found.setdefault((item.context, item.right), item)
    return list(found.values())


def _item(template: Template, words: Mapping[str, tuple[Word, ...]], draw: random.Random) -> ChoiceItem:
    texts = (template.context, template.right, *template.wrong)
    chosen = _choose_words(texts, words, draw)

    def filled(text: str) -> str:
        return _SLOT.sub(lambda slot: chosen[slot[1], slot[2]][slot[3]], text)

    context = filled(template.context)
    right, *wrong = (filled(text) for text in texts[1:])
    answer = draw.randint(0, len(wrong))
    choices = (*wrong[:answer], right, *wrong[answer:])
    return ChoiceItem(context=context, choices=choices, answer=answer, kind=template.name)


def _choose_words(
    texts: Sequence[str], words: Mapping[str, tuple[Word, ...]], draw: random.Random
) -> dict[tuple[str, str], Word]:
    slots = sorted({(slot[1], slot[2]) for text in texts for slot in _SLOT.finditer(text)})
    chosen: dict[tuple[str, str], Word] = {}
    for name in sorted({name for name, _ in slots}):
        numbers = [number for other, number in slots if other == name]
        for number, word in zip(numbers, draw.sample(words[name], len(numbers)), strict=True):
            chosen[name, number] = word
    return chosen
