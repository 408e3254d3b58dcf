"""What `eval gate` does and prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python
from rich.table import Table

from birdbone.cli.evaluate.asking import Asked, On, find_judged
from birdbone.cli.evaluate.choices import one_of
from birdbone.cli.evaluate.measuring import Measuring, measure
from birdbone.cli.evaluate.subjects import open_subject
from birdbone.cli.output import new_table, talk
from birdbone.core import write_atomically
from birdbone.evaluate import Stage, Verdict
from birdbone.evaluate.benchmarks.opening import Candidate, Service
from birdbone.evaluate.gates.evidence import Evidence
from birdbone.evaluate.gates.gathering import Extent
from birdbone.evaluate.gates.judging import judge_rules
from birdbone.evaluate.gates.markdown import detectable_of, effect_of, verdict_markdown
from birdbone.evaluate.gates.rule_sets import RuleSet, read_gates
from birdbone.pipeline.recipe import load_recipe, resolve_recipe
from birdbone.pipeline.recommendations import knobs_of, recommend


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person said to `eval gate`."""

    candidate: str
    baseline: str
    first: str | None
    rules: Path
    environment: str | None
    stage: str | None
    text: str
    window: int
    num_windows: int
    recipe: Path | None
    asked: Asked
    on: On


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict, what it is about, and what to do."""

    request: Request
    verdict: Verdict
    recommendations: tuple[str, ...]

    @property
    def title(self) -> str:
        """What was judged."""
        where = f" for {self.request.environment}" if self.request.environment is not None else ""
        return f"{self.request.candidate} against {self.request.baseline}{where}"

    def plain(self) -> dict[str, Any]:
        """Return everything as plain data; what was not measured is null."""
        request, findings = self.request, self.verdict.findings
        return {
            "candidate": request.candidate,
            "baseline": request.baseline,
            "first": request.first or request.baseline,
            "environment": request.environment,
            "stage": request.stage,
            "outcome": self.verdict.outcome,
            "findings": [to_jsonable_python(asdict(finding) | {"key": finding.key}) for finding in findings],
            "recommendations": list(self.recommendations),
        }


def judge_models(request: Request) -> Judged:
    """Measure what the rules ask for, and return the verdict.

    Raises:
        BadGatesError: the file of rules, or no environment of that name.
        UsageError: an option that there is not.
        UnpairedError: the models were not asked the same, or split the text into other tokens.
        ModelError, EvaluateError: the models, the items, or the asking.
    """
    stage = None if request.stage is None else one_of(request.stage, Stage, "--stage")
    every = read_gates(request.rules).rule_set(request.environment)
    unjudged = [name for name in every.stages if name != stage]
    if unjudged:
        talk(f"not judged: the floor of {', '.join(unjudged)}; --stage names one")
    rules = every.for_stage(stage)
    recipe = None if request.recipe is None else resolve_recipe(load_recipe(request.recipe))
    first = None
    if request.first is not None and rules.cumulative:
        first = _measure(request, request.first, RuleSet(cumulative=rules.cumulative))
    verdict = judge_rules(rules, _measure(request, request.baseline, rules), first=first, stage=stage)
    if recipe is None:
        told = [f"{knob.words}, as {each.key} failed" for each in verdict.findings for knob in knobs_of(each)]
    else:
        told = [each.words for each in recommend(recipe, verdict.findings)]
    return Judged(request=request, verdict=verdict, recommendations=tuple(dict.fromkeys(told)))


def verdict_table(judged: Judged) -> Table:
    """Return the findings as a table."""
    rows = [
        (
            finding.key,
            finding.outcome,
            effect_of(finding),
            "-" if finding.adjusted_p_value is None else f"{finding.adjusted_p_value:.2g}",
            detectable_of(finding),
        )
        for finding in judged.verdict.findings
    ]
    return new_table(("rule", "outcome", "effect [95 %]", "adjusted p", "detectable"), rows, title=judged.title)


def footer(judged: Judged) -> Iterator[str]:
    """Yield what belongs below the table: the verdict, why, and what is recommended."""
    yield f"verdict: {judged.verdict.outcome}"
    yield from (f"- {reason}" for reason in judged.verdict.reasons)
    yield from (f"recommended: {line}" for line in judged.recommendations)


def write_markdown(judged: Judged, path: Path) -> None:
    """Write the verdict as Markdown."""
    text = verdict_markdown(judged.verdict, title=judged.title, recommendations=judged.recommendations)
    with write_atomically(path) as stream:
        stream.write(text.encode())


def _measure(request: Request, reference: str, rules: RuleSet) -> Evidence:
    def find(spec: str) -> Candidate | Service:
        return find_judged(spec, request.on)

    extent = Extent(window=request.window, num_windows=request.num_windows)
    how = Measuring(text=request.text, extent=extent, asked=request.asked, on=request.on)
    with open_subject(request.candidate, find) as candidate, open_subject(reference, find) as baseline:
        return measure(candidate, baseline, rules, how)
