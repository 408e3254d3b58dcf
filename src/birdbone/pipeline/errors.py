"""What can go wrong with recipes and runs.

```text
BirdboneError
└── PipelineError
    ├── BadRecipeError          pipeline.bad_recipe
    ├── UnknownStepError        pipeline.unknown_step
    ├── RunNotFoundError        pipeline.run_not_found
    ├── RunNotResumableError    pipeline.run_not_resumable
    ├── RunBusyError            pipeline.run_busy
    ├── NothingToExportError    pipeline.nothing_to_export
    ├── GateFailedError         pipeline.gate_failed
    ├── BadOverrideError        pipeline.bad_override
    ├── NoWavesLeftError        pipeline.no_waves_left
    ├── OutOfMemoryError        pipeline.out_of_memory
    ├── StepFailedError         pipeline.step_failed
    └── RunStoppedError         pipeline.stopped
```
"""

from __future__ import annotations

from birdbone.core import BirdboneError, ErrorKind


class PipelineError(BirdboneError):
    """Root of this room's errors."""

    code = "pipeline.failed"
    kind: ErrorKind = "internal"


class BadRecipeError(PipelineError):
    """A recipe, or a change made to it by `--set`, does not fit the schema."""

    code = "pipeline.bad_recipe"
    kind: ErrorKind = "invalid"
    hint = "`birdbone phases` lists every step and its settings; `birdbone run RECIPE --dry-run` checks a recipe."


class UnknownStepError(PipelineError):
    """No step of that name or kind."""

    code = "pipeline.unknown_step"
    kind: ErrorKind = "invalid"
    hint = "`birdbone phases` lists the kinds of steps."


class RunNotFoundError(PipelineError):
    """No run has that id in this workspace."""

    code = "pipeline.run_not_found"
    kind: ErrorKind = "not_found"
    hint = "`birdbone status` lists the runs."


class RunNotResumableError(PipelineError):
    """The run has ended."""

    code = "pipeline.run_not_resumable"
    kind: ErrorKind = "conflict"
    hint = "Start a new run with `birdbone run`."


class RunBusyError(PipelineError):
    """Another process is at work on the run."""

    code = "pipeline.run_busy"
    kind: ErrorKind = "conflict"
    hint = "Wait for it, or stop it, then resume."


class NothingToExportError(PipelineError):
    """The run has no exported file yet."""

    code = "pipeline.nothing_to_export"
    kind: ErrorKind = "not_found"
    hint = "Let it end: `birdbone run --resume RUN`."


class GateFailedError(PipelineError):
    """A gate failed, and the recipe says `on_fail: {kind: abort}`. Nothing was exported."""

    code = "pipeline.gate_failed"
    kind: ErrorKind = "conflict"
    hint = (
        "Start a run with other settings; or, to let this one through, `birdbone eval override RUN --rule NAME "
        "--reason TEXT` and then `birdbone run --resume RUN`."
    )


class BadOverrideError(PipelineError):
    """An override has no reason, or names a rule that did not fail."""

    code = "pipeline.bad_override"
    kind: ErrorKind = "invalid"
    hint = "`birdbone status RUN` shows the verdict of a run with the rules that failed."


class NoWavesLeftError(PipelineError):
    """A run that has no waves to come was asked to hold, make or end them."""

    code = "pipeline.no_waves_left"
    kind: ErrorKind = "conflict"
    hint = "`birdbone waves show RUN` tells the waves that it made."


class OutOfMemoryError(PipelineError):
    """A step needed more memory than there is. Everything before that step is kept."""

    code = "pipeline.out_of_memory"
    kind: ErrorKind = "unavailable"
    hint = "Lower the step's batch size or `data.window` in a new run, or resume on a larger machine."


class StepFailedError(PipelineError):
    """A step failed in a way that Birdbone does not know. Everything before that step is kept."""

    code = "pipeline.step_failed"
    hint = "`birdbone --debug run --resume RUN` shows the trace; please report it."


class RunStoppedError(PipelineError):
    """A person or a signal stopped the run. Everything before the step in hand is kept."""

    code = "pipeline.stopped"
    kind: ErrorKind = "cancelled"
    hint = "`birdbone run --resume RUN` goes on from the step that was in hand."
