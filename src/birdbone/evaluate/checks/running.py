"""All checks of one judge, in order. A check that an engine breaks off is a fail with the engine's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from birdbone.evaluate.benchmarks.judge import Continuation, Judge
from birdbone.evaluate.checks import agreement, edges, invariance, perturb
from birdbone.evaluate.checks.choices import ChoiceItem
from birdbone.evaluate.checks.findings import ENGINE_ERRORS, CheckResult, words_of
from birdbone.evaluate.checks.generated import check_generated, generate_items
from birdbone.evaluate.checks.probes import PAGE, draw_requests
from birdbone.evaluate.checks.stress import check_concurrency, check_memory

Told = Callable[[str, int, int], None]
"""Is told the name of the group of checks that begins, how many groups are done, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is asked, and how much may differ."""

    num_requests: int = 24
    num_items_each: int = 8
    """Generated items of each template."""
    tolerance_nats: float = 1e-3
    """What company, order and a cut may change in a sum."""
    agreement_nats: float = 0.05
    """What two engines may differ by in a token."""
    max_probed_tokens: int = edges.MAX_PROBED_TOKENS
    num_rounds: int = 20
    """Rounds in which memory is watched."""
    must_be_exact: bool = False
    """The tokenizer promises each text back unchanged, as those of bytes do."""


def run_checks(
    judge: Judge,
    *,
    seed: int,
    items: Sequence[ChoiceItem] | None = None,
    other: Judge | None = None,
    extent: Extent | None = None,
    told: Told = lambda *_: None,
) -> list[CheckResult]:
    """Return what each check found, in the order in which they were run.

    Args:
        judge: is looked at.
        seed: of all that is drawn; the same seed asks the same questions.
        items: with choices, to be perturbed; None takes the generated ones.
        other: a judge of the same model, which `judge` has to agree with; None leaves that out.
        extent: how much is asked; None is the usual.
        told: whom to tell of progress.
    """
    groups = _groups(judge, seed, items, other, extent or Extent())
    found: list[CheckResult] = []
    for done, (name, check) in enumerate(groups.items()):
        told(name, done, len(groups))
        try:
            found += check()
        except ENGINE_ERRORS as error:  # an engine that gives up is a finding, and the other checks go on
            found.append(CheckResult(name=name, outcome="fail", reason=f"The engine gave up. {words_of(error)}"))
    told("", len(groups), len(groups))
    return found


def _groups(
    judge: Judge, seed: int, given: Sequence[ChoiceItem] | None, other: Judge | None, extent: Extent
) -> dict[str, Callable[[], list[CheckResult]]]:
    items = generate_items(seed=seed, num_each=extent.num_items_each)
    nats = extent.tolerance_nats

    def requests() -> list[Continuation]:
        return draw_requests(judge, seed=seed, count=extent.num_requests)

    groups: dict[str, Callable[[], list[CheckResult]]] = {
        "edges.shortest": lambda: [edges.check_shortest(judge)],
        "edges.longest": lambda: [edges.check_longest(judge, max_probed_tokens=extent.max_probed_tokens)],
        "edges.unusual_texts": lambda: [edges.check_unusual_texts(judge, must_be_exact=extent.must_be_exact)],
        "edges.repeated": lambda: [edges.check_repeated(judge)],
        "invariance.determinism": lambda: [invariance.check_determinism(judge, requests())],
        "invariance.company": lambda: [invariance.check_company(judge, requests(), tolerance_nats=nats, seed=seed)],
        "invariance.prefixes": lambda: [invariance.check_prefixes(judge, requests(), tolerance_nats=nats, seed=seed)],
        "generated": lambda: [check_generated(judge, items)],
        "perturb": lambda: perturb.check_perturbations(judge, items if given is None else given, seed=seed),
    }
    if other is not None:
        groups["agreement"] = lambda: _agreement(judge, other, requests(), items, extent.agreement_nats)
    groups["stress.memory"] = lambda: [check_memory(judge, requests(), num_rounds=extent.num_rounds)]
    groups["stress.concurrency"] = lambda: [check_concurrency(judge, requests(), tolerance_nats=nats)]
    return groups


def _agreement(
    judge: Judge, other: Judge, requests: Sequence[Continuation], items: Sequence[ChoiceItem], tolerance_nats: float
) -> list[CheckResult]:
    texts = [PAGE, *PAGE.split(), *edges.UNUSUAL_TEXTS.values(), *(item.context for item in items)]
    return [
        agreement.check_same_tokens(judge, other, texts),
        agreement.check_same_likelihoods(judge, other, requests, tolerance_nats=tolerance_nats),
        agreement.check_same_choices(judge, other, items, tolerance_nats=tolerance_nats),
    ]
