"""Whether answers stay when a question is asked a little otherwise: items with choices, before and after."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from birdbone.evaluate.benchmarks.judge import Judge
from birdbone.evaluate.checks import mutations
from birdbone.evaluate.checks.choices import ChoiceItem, ask_choices
from birdbone.evaluate.checks.findings import CheckOutcome, CheckResult, skipped
from birdbone.evaluate.checks.probes import PAGE
from birdbone.evaluate.checks.shares import share_interval

Pair = tuple[ChoiceItem, ChoiceItem]
"""An item as it was, and as it is asked the second time."""

_NUM_EXAMPLES = 3
_SHARE_OF_CONTEXT = 0.4
_MOST_CHARACTERS = 1500


def mutate_contexts(
    items: Sequence[ChoiceItem], mutate: Callable[[str, random.Random], str], *, seed: int
) -> list[Pair]:
    """Return each item whose context the mutation changes, before and after. Choices stay as they are."""
    return [
        (item, changed)
        for number, item in enumerate(items)
        if (changed := replace(item, context=mutate(item.context, random.Random(f"{seed}:{number}")))) != item
    ]


def reorder_listed_choices(items: Sequence[ChoiceItem], *, seed: int) -> list[Pair]:
    """Return each item asked by letters, its choices listed in their order and in another."""
    pairs = []
    for number, item in enumerate(items):
        other = mutations.reorder_choices(item, random.Random(f"{seed}:{number}"))
        if other.choices != item.choices:
            pairs.append((mutations.list_choices(item), mutations.list_choices(other)))
    return pairs


def reorder_examples(items: Sequence[ChoiceItem], *, seed: int) -> list[Pair]:
    """Return each item after finished others, in one order and in another."""
    pairs = []
    for number, item in enumerate(items):
        draw = random.Random(f"{seed}:{number}")
        others = [other.context + other.right for other in items if other != item]
        examples = draw.sample(others, min(_NUM_EXAMPLES, len(others)))
        if len(set(examples)) > 1:
            pairs.append((mutations.put_examples(item, examples), mutations.put_examples(item, examples[::-1])))
    return pairs


def check_stays(
    judge: Judge,
    name: str,
    pairs: Sequence[Pair],
    *,
    warn_below: float = 0.8,
    fail_below: float = 0.5,
) -> CheckResult:
    """Return the share of items whose answer stays, of those that were changed and fit the model both times.

    Args:
        name: of what was changed.
        pairs: items before and after.
        warn_below: a smaller share is a warning.
        fail_below: a share whose whole 95 % interval is smaller is a fail.
    """
    before = ask_choices(judge, [pair[0] for pair in pairs])
    after = ask_choices(judge, [pair[1] for pair in pairs])
    asked = [
        (pair, one.best, other.best)
        for pair, one, other in zip(pairs, before, after, strict=True)
        if one is not None and other is not None
    ]
    full = f"perturb.{name}"
    if not asked:
        return skipped(full, "No item was changed by it, or none of them fits the model.")
    stayed = sum(pair[0].meaning(one) == pair[1].meaning(other) for pair, one, other in asked)
    low, high = share_interval(stayed, len(asked))
    share = stayed / len(asked)
    outcome: CheckOutcome = "fail" if high < fail_below else "warn" if share < warn_below else "pass"
    return CheckResult(
        name=full,
        outcome=outcome,
        reason=f"{stayed} of {len(asked)} answers stay: {share:.0%}, between {low:.0%} and {high:.0%}; "
        f"a warning below {warn_below:.0%}.",
        figures={
            "num_stayed": stayed,
            "share_stayed": share,
            "low": low,
            "high": high,
            "num_right_before": sum(one == pair[0].answer for pair, one, _ in asked),
            "num_right_after": sum(other == pair[1].answer for pair, _, other in asked),
            "num_not_asked": len(pairs) - len(asked),
        },
        num_items=len(asked),
    )


def check_perturbations(
    judge: Judge, items: Sequence[ChoiceItem], *, seed: int, warn_below: float = 0.8, fail_below: float = 0.5
) -> list[CheckResult]:
    """Return one result for each kind of change. Arguments as in `check_stays`; the order of choices never fails."""
    characters_per_token = len(PAGE) / len(judge.encode(PAGE, add_special=False))
    room = min(_MOST_CHARACTERS, int(_SHARE_OF_CONTEXT * judge.max_tokens * characters_per_token))
    changes = {
        **mutations.MUTATIONS,
        "long_input": lambda text, draw: mutations.put_preamble(text, draw, num_characters=room),
    }
    pairs = {name: mutate_contexts(items, change, seed=seed) for name, change in changes.items()}
    pairs["order_of_examples"] = reorder_examples(items, seed=seed)
    found = [
        check_stays(judge, name, some, warn_below=warn_below, fail_below=fail_below) for name, some in pairs.items()
    ]
    listed = reorder_listed_choices(items, seed=seed)  # small models go by the letter: that is known, and no fault
    return [*found, check_stays(judge, "order_of_choices", listed, warn_below=warn_below, fail_below=0)]
