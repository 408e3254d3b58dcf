"""What `eval test --against` finds out about damage: both models read the same text once, in torch, in float32."""

from __future__ import annotations

from birdbone.cli.evaluate.bars import question_bar
from birdbone.data import load_corpus
from birdbone.evaluate.checks import CheckResult
from birdbone.evaluate.damage import DamageVerdict, Tolerance
from birdbone.evaluate.damage.detection import Extent, find_damage
from birdbone.evaluate.damage.sides import side_of
from birdbone.models import load_model, use_threads

_SERVICES = ("http://", "https://")


def check_damage(model: str, against: str, *, tolerance: Tolerance, seed: int, num_threads: int) -> list[CheckResult]:
    """Return what each rule of the detector found of `model` beside `against`, and the verdict, on the bundled text.

    Args:
        model: the candidate; a .gguf is read as the weights that it holds.
        against: the baseline.
        tolerance: what the change may cost.
        seed: of the resampling behind the intervals.
        num_threads: to compute on.

    Raises:
        ModelError: there is no such model.
        EvaluateError: the two cannot be compared, as `find_damage` says.
    """
    if model.startswith(_SERVICES) or against.startswith(_SERVICES):
        return [CheckResult(name="damage", outcome="skipped", reason="Not measured: a service gives no logits.")]
    before = use_threads(num_threads)
    try:
        candidate, baseline = load_model(model), load_model(against)
        length = min(each.architecture.context_length for each in (candidate, baseline))
        with question_bar("damage") as tell:
            verdict = find_damage(
                side_of(baseline),
                side_of(candidate),
                load_corpus().heldout,
                tolerance=tolerance,
                extent=Extent.within(length, seed=seed),
                progress=tell,
            )
    finally:
        use_threads(before)
    return results_of(verdict)


def results_of(verdict: DamageVerdict) -> list[CheckResult]:
    """Return a verdict as one check for each rule and one for all; "undecided" fails, as it is no acceptance."""
    rules = [
        CheckResult(
            name=f"damage.{finding.rule}",
            outcome="pass" if finding.outcome == "within" else "fail",
            reason=f"{finding.reason[0].upper()}{finding.reason[1:]}.",
            figures={
                name: value
                for name in ("value", "low", "high", "limit")
                if (value := getattr(finding, name)) is not None
            },
            num_items=verdict.num_windows,
        )
        for finding in verdict.findings
    ]
    figures = {"num_tokens": verdict.num_tokens, "tolerance_nats": verdict.tolerance.nats}
    if verdict.same_top1 is not None:
        figures["same_top1"] = verdict.same_top1
    whole = CheckResult(
        name="damage",
        outcome="pass" if verdict.is_accepted else "fail",
        reason=verdict.in_words,
        figures=figures,
        num_items=verdict.num_windows,
    )
    return [*rules, whole]
