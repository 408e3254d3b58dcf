"""Named ways to resolve a conflict, given per pattern: `model.layers.*.mlp.*=ties:density=0.5,weight=0.5`.

A rule is `PATTERN=KIND` or `PATTERN=KIND:NAME=VALUE,…`. The pattern is a shell pattern (`*`, `?`, `[…]`, case counts)
on the name of a conflict; the first rule that matches is used. A setting that exists once a side (`weight`, `density`,
`epsilon`) is one number for both, or `OURS/THEIRS`: `weight=0.7/0.3`. Settings and defaults are mergekit's, with the
two sides as the models and the common ancestor as the base; `slerp` goes from ours (`t=0`) to theirs (`t=1`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, assert_never

import numpy as np
from blake3 import blake3
from pydantic import BeforeValidator, Field, ValidationError

from birdbone.core.schema import Strict
from birdbone.vault.errors import BadStrategyError
from birdbone.vault.merging.blocks import Array
from birdbone.vault.merging.keeping import Rescale
from birdbone.vault.merging.maths import (
    Consensus,
    merge_dare,
    merge_della,
    merge_linear,
    merge_slerp,
    merge_ties,
)


def _both_sides(value: object) -> object:
    if isinstance(value, str):
        parts = value.split("/")
        return tuple(parts) if len(parts) > 1 else (value, value)
    return (value, value) if isinstance(value, int | float) else value


def _as_rescale(value: object) -> object:
    return {"true": "l1", "false": "none"}.get(str(value).lower(), value)


_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Weights = Annotated[tuple[_Finite, _Finite], BeforeValidator(_both_sides)]
_Shares = Annotated[tuple[_Share, _Share], BeforeValidator(_both_sides)]
_Rescale = Annotated[Rescale, BeforeValidator(_as_rescale)]


class TakeOurs(Strict):
    """What our side has, a deletion included."""

    kind: Literal["ours"] = "ours"


class TakeTheirs(Strict):
    """What their side has, a deletion included."""

    kind: Literal["theirs"] = "theirs"


class TakeAncestor(Strict):
    """What the common ancestor has."""

    kind: Literal["base"] = "base"


class Linear(Strict):
    """Weighted mean of the two sides."""

    kind: Literal["linear"] = "linear"
    weight: _Weights
    """Weight of each side."""
    normalize: bool = True
    """Whether the sum is divided by the sum of the weights."""


class Slerp(Strict):
    """Point on the great circle between the two sides."""

    kind: Literal["slerp"] = "slerp"
    t: _Share
    """0 gives ours, 1 theirs."""


class _OverAncestor(Strict):
    weight: _Weights
    """Weight of each side's delta."""
    density: _Shares = (1.0, 1.0)
    """Share of each delta that is kept."""
    scale: _Finite = Field(default=1.0, alias="lambda")
    """Factor on the merged delta, `lambda` in a rule."""


class Ties(_OverAncestor):
    """TIES: the largest deltas, and of these the ones that agree in sign."""

    kind: Literal["ties"] = "ties"
    normalize: bool = True
    """Whether the sum is divided by the weights of those that agree."""
    rescale: _Rescale = "none"
    """`none`, `l1` or `density`; `true` means `l1`, `false` means `none`, as in mergekit."""


class _Random(_OverAncestor):
    rescale: _Rescale = "l1"
    """`none`, `l1` or `density`; `true` means `l1`, `false` means `none`, as in mergekit."""
    seed: int = Field(default=0, ge=0)
    """Each tensor draws from this seed and its own name."""


class DareTies(_Random):
    """DARE with an election of signs."""

    kind: Literal["dare_ties"] = "dare_ties"
    normalize: bool = False
    """Whether the sum is divided by the weights of those that agree."""


class DareLinear(_Random):
    """DARE without an election."""

    kind: Literal["dare_linear"] = "dare_linear"
    normalize: bool = False
    """Whether the sum is divided by the sum of the weights."""


class Della(_Random):
    """DELLA: deltas dropped at random, small ones the likelier, with an election of signs."""

    kind: Literal["della"] = "della"
    normalize: bool = True
    """Whether the sum is divided by the weights of those that agree."""
    epsilon: _Shares = (0.15, 0.15)
    """Half the range of the probability to keep."""


TakeOne = TakeOurs | TakeTheirs | TakeAncestor
Arithmetic = Linear | Slerp | Ties | DareTies | DareLinear | Della
Strategy = Annotated[TakeOne | Arithmetic, Field(discriminator="kind")]


class StrategyRule(Strict):
    """One rule: for the conflicts whose name matches, this strategy."""

    pattern: str = Field(min_length=1)
    """Shell pattern on the name of a conflict."""
    strategy: Strategy
    """What resolves it."""

    def matches(self, *names: str) -> bool:
        """Return whether the pattern fits one of the names."""
        return any(fnmatchcase(name, self.pattern) for name in names)

    @property
    def text(self) -> str:
        """The rule as it is written: every setting that is not the default, and the pattern."""
        return f"{self.pattern}={describe(self.strategy)}"


def describe(strategy: TakeOne | Arithmetic) -> str:
    """Return a strategy as a rule writes it, with every setting that is not the default."""
    settings = strategy.model_dump(by_alias=True, exclude_defaults=True)
    words = [f"{name}={_setting_text(value)}" for name, value in settings.items() if name != "kind"]
    return strategy.kind + (":" + ",".join(words) if words else "")


def parse_strategy(text: str) -> StrategyRule:
    """Return the rule that a text writes.

    Raises:
        BadStrategyError: it has no `=`, an unknown kind or setting, a missing or double setting, or a bad value.
    """
    pattern, equals, choice = text.partition("=")
    kind, colon, settings = choice.partition(":")
    if not (pattern and equals and kind) or (colon and not settings):
        raise BadStrategyError(f"{text!r} is not PATTERN=KIND or PATTERN=KIND:NAME=VALUE,...", strategy=text)
    try:
        return StrategyRule.model_validate(
            {"pattern": pattern, "strategy": {"kind": kind, **_settings(settings, rule=text)}}
        )
    except ValidationError as error:
        raise BadStrategyError(f"{text!r}: {_first_fault(error)}", strategy=text) from error


def parse_strategies(rules: Iterable[str | StrategyRule]) -> tuple[StrategyRule, ...]:
    """Return the rules in their order, those given as text parsed. Raises what `parse_strategy` does."""
    return tuple(parse_strategy(rule) if isinstance(rule, str) else rule for rule in rules)


def is_over_base(strategy: Arithmetic) -> bool:
    """Return whether the arithmetic needs the common ancestor's tensor."""
    return isinstance(strategy, _OverAncestor)


def merge_by(
    strategy: Arithmetic,
    ours: Array,
    theirs: Array,
    *,
    base: Array | None,
    name: str,
    pool: Executor | None = None,
) -> Array:
    """Return the two sides' tensor merged as `strategy` says.

    Args:
        base: the common ancestor's tensor; needed where `is_over_base`.
        name: the tensor's name; with the strategy's `seed` it gives the random bits, so that every tensor has its own
            and a merge done again is the same merge.

    Raises:
        UnmergeableError: the tensors are not alike, not finite, or the settings do not fit.
    """
    sides = [ours, theirs]
    match strategy:
        case Linear():
            return merge_linear(sides, weights=strategy.weight, normalize=strategy.normalize, pool=pool)
        case Slerp():
            return merge_slerp(ours, theirs, t=strategy.t, pool=pool)
        case Ties() | DareTies() | DareLinear() | Della():
            assert base is not None, "the caller asks `is_over_base`"
            return _merge_over_base(strategy, base, sides, name=name, pool=pool)
        case _:
            assert_never(strategy)


def _merge_over_base(
    strategy: Ties | DareTies | DareLinear | Della,
    base: Array,
    sides: Sequence[Array],
    *,
    name: str,
    pool: Executor | None,
) -> Array:
    shared: dict[str, Any] = {
        "weights": strategy.weight,
        "densities": strategy.density,
        "normalize": strategy.normalize,
        "rescale": strategy.rescale,
        "scale": strategy.scale,
        "pool": pool,
    }
    if isinstance(strategy, Ties):
        return merge_ties(base, sides, **shared)
    generator = np.random.default_rng([strategy.seed, int.from_bytes(blake3(name.encode()).digest()[:16], "little")])
    if isinstance(strategy, Della):
        return merge_della(base, sides, generator=generator, epsilons=strategy.epsilon, **shared)
    consensus: Consensus | None = "sum" if isinstance(strategy, DareTies) else None
    return merge_dare(base, sides, generator=generator, consensus=consensus, **shared)


def _settings(text: str, *, rule: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    for word in text.split(",") if text else []:
        name, equals, value = (part.strip() for part in word.partition("="))
        if not (name and equals and value) or name in settings or name == "kind":
            raise BadStrategyError(f"{rule!r}: {word!r} is not a setting NAME=VALUE of its own.")
        settings[name] = value
    return settings


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if part != "strategy"]
    if first["type"] == "union_tag_invalid":
        return f"no strategy is called {first['ctx']['tag']!r}; there are {first['ctx']['expected_tags']}."
    return f"{': '.join(where)}: {first['msg']}."


def _setting_text(value: object) -> str:
    if isinstance(value, tuple):
        return "/".join(dict.fromkeys(_setting_text(part) for part in value))
    return str(value).lower() if isinstance(value, bool) else str(value)
