"""The recipe: a YAML file with a list of steps. It is checked whole, every setting of every step, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from birdbone.compress.config import (
    FIRST_TOKEN_SHARE,
    HealConfig,
    LowRankConfig,
    QuantizeConfig,
    ShedStructuresConfig,
    WavesConfig,
)
from birdbone.core import Settings, read_yaml
from birdbone.data.config import DataConfig
from birdbone.evaluate.config import EvaluateConfig
from birdbone.pipeline.errors import BadRecipeError, UnknownStepError


class SeedStep(Settings):
    """Take the model in: store it, measure it dense, in torch and (as an F16 GGUF) in llama.cpp."""

    kind: Literal["seed"]


class ShedStep(ShedStructuresConfig):
    """Take structures out in cuts that are refitted, healed and judged; undo the one that hurts."""

    kind: Literal["shed"]


class LogActivationsStep(Settings):
    """One streamed pass over calibration text: E[x²] and XᵀX of every linear's inputs."""

    kind: Literal["log_activations"]
    batch_size: int = Field(default=4, ge=1)
    """Windows that go through the model at once."""
    first_token_share: float | None = Field(default=FIRST_TOKEN_SHARE, gt=0, le=10)
    """Input power of the windows' first tokens (attention sinks) as a share of all others'; null: as they come."""


class WavesStep(WavesConfig):
    """Prune, heal and judge in waves; undo what hurts."""

    kind: Literal["waves"]


class QuantizeStep(QuantizeConfig):
    """Round the last good state onto a grid of few bits."""

    kind: Literal["quantize"]


class LowRankStep(LowRankConfig):
    """Fit low-rank factors to what rounding lost and merge them where that helps."""

    kind: Literal["low_rank"]
    num_deciding_windows: int = Field(default=4, ge=1, le=1_000_000)
    """Windows that this step does not learn from, on which the corrected model has to be nearer to the dense one."""


class ExportStep(Settings):
    """Write the GGUF."""

    kind: Literal["export"]


class JudgeStep(Settings):
    """Load the exported file in llama.cpp, measure it there, and gate it; a fail goes back to an earlier good state."""

    kind: Literal["judge"]
    decode_tokens: int = Field(default=64, ge=8, le=4096)
    """Tokens generated for one reading of the decode rate."""
    repeats: int = Field(default=5, ge=1, le=50)
    """Readings of each file, taken in turns; the median counts."""


class VersionStep(Settings):
    """Commit the judged model, move the ref, write the diff bundle."""

    kind: Literal["version"]
    ref: str = Field(default="main", min_length=1, max_length=100)
    """Branch that moves to the new version."""


StepSettings = Annotated[
    SeedStep
    | ShedStep
    | LogActivationsStep
    | WavesStep
    | QuantizeStep
    | LowRankStep
    | ExportStep
    | JudgeStep
    | VersionStep,
    Field(discriminator="kind"),
]

NEEDS: dict[str, tuple[str, ...]] = {
    "seed": (),
    "shed": ("seed",),
    "log_activations": ("seed",),
    "waves": ("seed", "log_activations"),
    "quantize": ("seed", "log_activations"),
    "low_rank": ("quantize",),
    "export": ("quantize",),
    "judge": ("export",),
    "version": ("judge",),
}
"""Kinds of step that have to stand before each kind."""


class Recipe(Settings):
    """What a run does: a model, a text, and steps in order."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{2,39}$")
    """Short name; the run's id begins with it."""
    description: str = ""
    """One sentence for people."""
    model: str = Field(default="starter", min_length=1)
    """`starter`, a folder, a `.safetensors`, a `.gguf` or a hub id."""
    data: DataConfig = DataConfig()
    """Which text."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """How states of the model are judged."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """Seed of everything that draws."""
    num_threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads; unset: chosen from cores and load when the run starts, then kept, so that a resume repeats it."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the computation; `auto` times both on this CPU when the run starts, and keeps the faster."""
    steps: tuple[StepSettings, ...] = Field(min_length=1)
    """The steps, in order."""

    def step(self, kind: str) -> Any | None:
        """Return the settings of the step of that kind, or None."""
        return next((step for step in self.steps if step.kind == kind), None)


def load_recipe(path: Path) -> dict[str, Any]:
    """Return the raw data of a recipe file.

    Raises:
        BadRecipeError: no such file, it is not UTF-8, or it holds no mapping.
        YamlError: it does not parse.
    """
    if not path.is_file():
        shipped = ", ".join(sorted(file.name for file in Path("recipes").glob("*.yaml"))) or "none here"
        raise BadRecipeError(f"No recipe at {path}.", hint=f"Recipes in ./recipes: {shipped}.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadRecipeError(f"{path} is not UTF-8 text.", hint="Save the file as UTF-8.") from error
    raw = read_yaml(text, name=str(path))
    if not isinstance(raw, dict):
        raise BadRecipeError(f"{path} should hold a mapping with `name` and `steps`.")
    return raw


def resolve_recipe(
    raw: Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    model: str | None = None,
    data: str | None = None,
    until: str | None = None,
) -> Recipe:
    """Return the whole recipe, checked, with the changes of the command line made.

    Args:
        overrides: `path=value` each; a path begins with a top-level key or a step's kind (`waves.heal.num_steps=40`).
        until: kind of the last step to run; it and all steps before it are kept.

    Raises:
        BadRecipeError: an unknown key, a value out of bounds, a step before what it needs (names the place).
        UnknownStepError: `until` is not among the steps.
    """
    values = _thaw(raw)
    for text in overrides:
        _override(values, text)
    if model is not None:
        values["model"] = model
    if data is not None:
        group = values.get("data")
        values["data"] = {**(group if isinstance(group, dict) else {}), "source": data}
    _check_finite(values, place="")
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise BadRecipeError(_explain(error), errors=error.errors(include_url=False, include_context=False)) from error
    recipe = recipe if until is None else _cut(recipe, until)
    _check_order(recipe)
    _check_windows(recipe)
    return recipe


def change_recipe(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe with other settings, checked again.

    Args:
        changes: new values by paths as `--set` takes them.

    Raises:
        BadRecipeError: a path leads nowhere, or a value is out of its bounds.
    """
    values = recipe.model_dump(mode="json")
    for path, value in changes.items():
        _assign(values, path, value)
    return resolve_recipe(values)


def _thaw(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _thaw(item) for key, item in value.items()}
    return [_thaw(item) for item in value] if isinstance(value, list | tuple) else value


def _override(values: dict[str, Any], text: str) -> None:
    path, is_assigned, raw = text.partition("=")
    if not is_assigned or not all(path.strip().split(".")):
        raise BadRecipeError(f"--set takes path=value, got {text!r}.", hint="Example: --set waves.max_waves=2")
    _assign(values, path.strip(), _thaw(read_yaml(raw, name=f"--set {path}")))


def _assign(values: dict[str, Any], path: str, value: Any) -> None:
    keys = path.split(".")
    place: Any = _start(values, keys)
    for key in keys[1:-1] if place is not values else keys[:-1]:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise BadRecipeError(f"--set {path}: {key!r} is not a group of settings.")
    place[keys[-1]] = value


def _check_finite(value: Any, *, place: str) -> None:
    """Refuse `.inf` and `.nan` wherever they stand: no setting means either, and JSON has no word for them."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        _check_finite(item, place=f"{place}.{key}".lstrip("."))
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRecipeError(f"The recipe does not fit: {place}: {value} is not a finite number.")


def _start(values: dict[str, Any], keys: list[str]) -> Any:
    listed = values["steps"] if isinstance(values.get("steps"), list) else []
    named = [step for step in listed if isinstance(step, dict) and isinstance(step.get("kind"), str)]
    by_kind = {step["kind"]: step for step in named}
    if len(keys) > 1 and keys[0] in by_kind:
        return by_kind[keys[0]]
    if keys[0] not in Recipe.model_fields:
        known = sorted({*Recipe.model_fields, *by_kind})
        raise BadRecipeError(
            f"--set {'.'.join(keys)}: nothing is called {keys[0]!r}.", hint=f"Known: {', '.join(known)}."
        )
    return values


def _explain(error: ValidationError) -> str:
    lines = []
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"])
        given = "" if fault["type"] in ("missing", "extra_forbidden") else f" (got {str(fault['input'])[:60]!r})"
        lines.append(f"{place}: {fault['msg']}{given}")
    return "The recipe does not fit: " + "; ".join(lines)


def _cut(recipe: Recipe, until: str) -> Recipe:
    kinds = [step.kind for step in recipe.steps]
    if until not in kinds:
        raise UnknownStepError(f"The recipe has no step {until!r}; it has {', '.join(kinds)}.")
    return recipe.model_copy(update={"steps": recipe.steps[: kinds.index(until) + 1]})


def _check_order(recipe: Recipe) -> None:
    seen: set[str] = set()
    for step in recipe.steps:
        if step.kind in seen:
            raise BadRecipeError(f"The step {step.kind!r} stands twice; waves and cuts repeat by themselves.")
        missing = [kind for kind in NEEDS[step.kind] if kind not in seen]
        if missing:
            raise BadRecipeError(f"The step {step.kind!r} needs {', '.join(missing)} before it.")
        if step.kind == "shed" and "log_activations" in seen:
            raise BadRecipeError("The step 'shed' changes what 'log_activations' sees: put it before that step.")
        seen.add(step.kind)


def _check_windows(recipe: Recipe) -> None:
    """Refuse now what steps would refuse later: healing and `low_rank` learn on some windows and decide on others."""
    for step in filter(None, (recipe.step("shed"), recipe.step("waves"))):
        heal: HealConfig = step.heal
        if heal.kind == "blockwise" or heal.num_steps == 0:
            continue
        num_windows = min(heal.num_windows, recipe.data.num_healing_windows)
        if num_windows <= heal.num_deciding_windows:
            raise BadRecipeError(
                f"Of {num_windows} healing windows '{step.kind}.heal' holds {heal.num_deciding_windows} back "
                "to decide; none is left to learn from.",
                hint=f"Raise `{step.kind}.heal.num_windows` and `data.num_healing_windows`, or lower "
                f"`{step.kind}.heal.num_deciding_windows`.",
            )
    low_rank: LowRankStep | None = recipe.step("low_rank")
    if low_rank is None:
        return
    num_windows, needed = min(low_rank.num_windows, recipe.data.num_healing_windows), 2 * low_rank.batch_size
    if num_windows < needed:
        raise BadRecipeError(
            f"The step 'low_rank' learns on {num_windows} windows; "
            f"a batch size of {low_rank.batch_size} needs {needed}.",
            hint="Raise `low_rank.num_windows` and `data.num_healing_windows`, or lower `low_rank.batch_size`.",
        )
