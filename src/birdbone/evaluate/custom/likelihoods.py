"""Multiple choice: the likeliest choice after the prompt is the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from birdbone.evaluate.benchmarks.judge import Continuation, Judge, Progress
from birdbone.evaluate.benchmarks.results import ItemScore
from birdbone.evaluate.custom.items import Item
from birdbone.evaluate.custom.prompts import Fitting, answer_tokens, pair_tokens
from birdbone.evaluate.custom.scoring import MultipleChoiceScoring
from birdbone.evaluate.custom.task import CustomTask


def score_choices(
    judge: Judge,
    task: CustomTask,
    items: Sequence[Item],
    scoring: MultipleChoiceScoring,
    *,
    fitting: Fitting,
    progress: Progress | None,
) -> list[ItemScore]:
    """Return the score of each item: 1 where the right choice is the likeliest, of equals the first.

    Source: `raw` and `per_token`, Brown et al. 2020, arXiv:2005.14165, section 2.4; `per_byte`, lm-eval's `acc_bytes`;
    `unconditional`, Holtzman et al. 2021, arXiv:2104.08315, eq. 2 (PMI_DC). Symbols: x = prompt, y_i = choice,
    x_domain = `unconditional_prompt`.

    Raises:
        BadRequestError: a choice alone is longer than the model takes (names the row).
        NoChatTemplateError: the task is a conversation and the model knows none.
    """
    asked = [
        fitting.continuation(*answer_tokens(judge, task.settings, item, choice), item.where)
        for item in items
        for choice in item.choices
    ]
    prior = _prior_requests(judge, task, items, scoring) if scoring.normalised == "unconditional" else {}
    told = [found.logprob for found in judge.score([*asked, *prior.values()], progress=progress)]
    priors = dict(zip(prior, told[len(asked) :], strict=True))
    values = iter(zip(asked, told, strict=False))
    return [_score_of(item, _normalised(item, values, scoring, priors)) for item in items]


def _prior_requests(
    judge: Judge, task: CustomTask, items: Sequence[Item], scoring: MultipleChoiceScoring
) -> dict[str, Continuation]:
    """Return for each different choice the question how likely it is without the item; never shortened."""
    settings = task.settings
    choices = dict.fromkeys(choice for item in items for choice in item.choices)
    fitting = Fitting(judge.max_tokens)
    return {
        choice: fitting.continuation(
            *pair_tokens(judge, scoring.unconditional_prompt, f"{settings.delimiter}{choice}"), repr(choice)
        )
        for choice in choices
    }


def _normalised(
    item: Item,
    values: Iterator[tuple[Continuation, float]],
    scoring: MultipleChoiceScoring,
    priors: dict[str, float],
) -> list[float]:
    found = []
    for choice in item.choices:
        request, logprob = next(values)
        match scoring.normalised:
            case "raw":
                found.append(logprob)
            case "per_token":
                found.append(logprob / len(request.tokens))
            case "per_byte":
                found.append(logprob / len(choice.encode()))
            case "unconditional":
                found.append(logprob - priors[choice])
    return found


def _score_of(item: Item, values: Sequence[float]) -> ItemScore:
    best = values.index(max(values))
    return ItemScore(id=item.id, score=float(best == item.right), chance=1 / len(item.choices), answer=str(best))
