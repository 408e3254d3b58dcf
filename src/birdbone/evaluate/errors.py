"""Errors of the evaluate room.

```text
EvaluateError
├── BadWindowsError              evaluate.bad_windows             ids that the model cannot read
├── NonFiniteLogitsError         evaluate.nonfinite_logits        NaN or infinity where a likelihood should be
├── UnknownReadoutError          evaluate.unknown_readout         a model whose head cannot be run by parts
├── UnpairedError                evaluate.unpaired                two results that are not of the same items
├── TooFewWindowsError           evaluate.too_few_windows         too few for an interval
├── TooFewItemsError             evaluate.too_few_items           too few for a judgement
├── BadScoresError               evaluate.bad_scores              values that are no scores of items
├── BadSettingError              evaluate.bad_setting             a level, margin or share out of its range
├── AmbiguousMeasurementError    evaluate.ambiguous_measurement   two figures of one name
├── BadGatesError                evaluate.bad_gates               a file of rules that cannot be judged by
├── NoTokensError                evaluate.no_tokens               an engine that decoded nothing
├── BadRequestError              evaluate.bad_request             a question that no model can be asked
├── BadBenchmarkError            evaluate.bad_benchmark           a file of items that lacks what its task needs
├── BadTaskError                 evaluate.bad_task                a task of a user's own that does not hold together
├── BadItemsError                evaluate.bad_items               a row of items that cannot be read or asked
├── SlowPatternError             evaluate.slow_pattern            a regular expression that does not come to an end
├── NoChatTemplateError          evaluate.no_chat_template        a conversation for a model that knows none
├── MissingBenchmarkError        evaluate.missing_benchmark       items that are neither here nor to be had
├── MissingHarnessError          evaluate.missing_harness         lm-eval is not installed
├── EndpointError                evaluate.endpoint                a service that does not answer as it should
├── ShardDiedError               evaluate.shard_died             a process with a part of a suite that ended
├── NoLogprobsError              evaluate.no_logprobs             an engine that tells no likelihood of each token
├── MissingItemsError            evaluate.missing_items           a file of an audit that is not in the folder
├── NoSandboxError               evaluate.no_sandbox              a machine that cannot hold foreign code
├── SandboxBrokenError           evaluate.sandbox_broken          a sandbox that did not start
├── BadTestError                 evaluate.bad_test                a task whose own prompt or test is not Python
├── UnknownRecordError           evaluate.unknown_record          a name that no record of a judgement has
├── AmbiguousRecordError         evaluate.ambiguous_record        a beginning that several records have
├── CorruptRecordError           evaluate.corrupt_record          a record or result that was changed or lost
├── TooFewVersionsError          evaluate.too_few_versions        too few figures to look for a change in
├── BadCostPlanError             evaluate.bad_cost_plan           numbers of turns or tokens that cannot be run
└── CostWorkerError              evaluate.cost_worker             the process that held a model ended
```
"""

from __future__ import annotations

from birdbone.core import BirdboneError, ErrorKind


class EvaluateError(BirdboneError):
    """A judgement could not be made."""

    code = "evaluate.error"
    kind: ErrorKind = "invalid"


class BadWindowsError(EvaluateError):
    """The windows have another shape than (N, T), hold ids outside the vocabulary, or are longer than the context."""

    code = "evaluate.bad_windows"
    hint = "Use the tokenizer that belongs to the model, and a window no longer than its context."


class NonFiniteLogitsError(EvaluateError):
    """A likelihood is NaN or infinite; the message names the first window and position."""

    code = "evaluate.nonfinite_logits"
    hint = "The model's weights or its last change are broken; go back to the last good state."


class UnknownReadoutError(EvaluateError):
    """The logits of backbone and head, run by parts, are not the model's own."""

    code = "evaluate.unknown_readout"
    hint = "This architecture does more after its head than Birdbone knows; it cannot be judged yet."


class UnpairedError(EvaluateError):
    """Two results have different shapes, so they cannot be of the same items."""

    code = "evaluate.unpaired"
    hint = "Measure both on the same windows or items, in the same order, with the same tokenizer."


class TooFewWindowsError(EvaluateError):
    """There are too few windows for an interval that means something."""

    code = "evaluate.too_few_windows"
    hint = "Raise `num_heldout_windows`, or use a smaller window."


class TooFewItemsError(EvaluateError):
    """There are too few items for what was asked of them."""

    code = "evaluate.too_few_items"
    hint = "Judge on more items; `statistics.power` says how many a difference needs."


class BadScoresError(EvaluateError):
    """Values that should be scores of items are not: not one an item, not finite, or out of their bounds."""

    code = "evaluate.bad_scores"
    hint = "Give one finite value for each item, in one row: 0 or 1 for an answer, any other score within its bounds."


class BadSettingError(EvaluateError):
    """A level, a margin, a share or a p-value lies outside of its range."""

    code = "evaluate.bad_setting"
    hint = "Give shares and levels as fractions: 5 % is 0.05."


class AmbiguousMeasurementError(EvaluateError):
    """Two measurements have one name, so a rule cannot know which it is about."""

    code = "evaluate.ambiguous_measurement"
    hint = "Give each measurement a name of its own."


class BadGatesError(EvaluateError):
    """A file of gates cannot be read, a rule in it cannot mean anything, or it lacks what was named."""

    code = "evaluate.bad_gates"
    hint = "Compare the file with recipes/gates/standard.yaml, which has a rule of each kind."


class NoTokensError(EvaluateError):
    """An engine that was to be timed decoded no token."""

    code = "evaluate.no_tokens"
    kind: ErrorKind = "internal"
    hint = "Check that the engine does not stop at once: give it a prompt, and ignore the end-of-text token."


class BadRequestError(EvaluateError):
    """A request has no context, no tokens, or more tokens than the model takes."""

    code = "evaluate.bad_request"
    hint = "Use fewer examples in the prompt, or leave the item out."


class BadBenchmarkError(EvaluateError):
    """A file of items lacks a column, or holds a value that its task cannot use."""

    code = "evaluate.bad_benchmark"
    hint = "Compare the file with what the message says is missing; docs/evaluate.md lists the columns of each task."


class BadTaskError(EvaluateError):
    """A task of a user's own cannot be read, lacks a setting, or asks for what there is not."""

    code = "evaluate.bad_task"
    hint = "`birdbone eval check-task FILE` reads a task and shows its prompts without asking a model."


class BadItemsError(EvaluateError):
    """A row of a file of items cannot be read or asked; the message names the file, the row and the column."""

    code = "evaluate.bad_items"
    hint = "Mend the row named above, or fetch the file again from its makers."


class SlowPatternError(EvaluateError):
    """A regular expression takes longer than it may on a text; it was ended."""

    code = "evaluate.slow_pattern"
    hint = "Avoid a repeat inside a repeat, such as `(a+)+`: make the inner one match in one way only."


class NoChatTemplateError(EvaluateError):
    """A task holds a conversation, and the model has no chat template, or one that refuses it."""

    code = "evaluate.no_chat_template"
    hint = "Say `chat: false` in the task, or judge a model that was made for conversations."


class MissingBenchmarkError(EvaluateError):
    """There is no benchmark of this name, or its items are not in the folder that was given."""

    code = "evaluate.missing_benchmark"
    kind: ErrorKind = "not_found"
    hint = "`birdbone eval list` names the benchmarks and the files that each needs."


class MissingHarnessError(EvaluateError):
    """EleutherAI's lm-eval is not installed."""

    code = "evaluate.missing_harness"
    kind: ErrorKind = "unavailable"
    hint = "Install it: pip install 'birdbone[eval]'"


class EndpointError(EvaluateError):
    """A service cannot be reached, refuses, or answers what is no completion."""

    code = "evaluate.endpoint"
    kind: ErrorKind = "unavailable"
    hint = "Check the address (up to and with /v1), the model's name there and the key."


class ShardDiedError(EvaluateError):
    """A process that asked a part of a suite was ended from outside, as a kernel does that runs out of memory."""

    code = "evaluate.shard_died"
    kind: ErrorKind = "unavailable"
    hint = "Ask again with fewer --processes: each holds the model. What was answered is read from the cache."


class NoLogprobsError(EvaluateError):
    """An engine does not give the log-probability of each token of a prompt, so nothing can be scored by it."""

    code = "evaluate.no_logprobs"
    kind: ErrorKind = "unavailable"
    hint = "Ask the model file itself in torch or llama.cpp, or an endpoint that gives log-probabilities with `echo`."


class MissingItemsError(EvaluateError):
    """An audit was asked for whose files are not in the folder that was given."""

    code = "evaluate.missing_items"
    kind: ErrorKind = "not_found"
    hint = "Give by --items the folder that holds the file under the name its makers gave it."


class NoSandboxError(EvaluateError):
    """The machine gives too few walls to run what a model wrote; nothing was run."""

    code = "evaluate.no_sandbox"
    kind: ErrorKind = "unavailable"
    hint = (
        "Run on Linux 5.12 or later; in a container allow user namespaces or Landlock with seccomp. "
        "`describe_layers()` says what is missing."
    )


class SandboxBrokenError(EvaluateError):
    """The process that builds the walls ended before it could say which of them stand."""

    code = "evaluate.sandbox_broken"
    kind: ErrorKind = "internal"
    hint = "The message has the end of what it wrote; check that this Python starts with `python -s -P -S`."


class BadTestError(EvaluateError):
    """The prompt or the test of a task does not compile, so that no answer could pass."""

    code = "evaluate.bad_test"
    hint = "Fetch the benchmark again; its fields were cut or mixed up."


class UnknownRecordError(EvaluateError):
    """No record of a judgement has this id, and no model with a record this name."""

    code = "evaluate.unknown_record"
    kind: ErrorKind = "not_found"
    hint = "`birdbone eval history` lists the records; `birdbone eval run` makes them."


class AmbiguousRecordError(EvaluateError):
    """Several records begin with the digits that were given."""

    code = "evaluate.ambiguous_record"
    hint = "Give more digits of the id."


class CorruptRecordError(EvaluateError):
    """A record of a judgement, or the result behind it, is not what its name says."""

    code = "evaluate.corrupt_record"
    kind: ErrorKind = "internal"
    hint = "The file was changed or cut. Move it away, and ask the model again by `birdbone eval run --fresh`."


class TooFewVersionsError(EvaluateError):
    """A series of figures is too short to tell a change from noise."""

    code = "evaluate.too_few_versions"
    hint = "Judge more versions: a change can be looked for from six on."


class BadCostPlanError(EvaluateError):
    """A number of turns or tokens is not at least 1, or the prompts are longer than the model takes."""

    code = "evaluate.bad_cost_plan"
    hint = "Give whole numbers from 1 on: --prompt-tokens 32,128 --new-tokens 32 --repeats 7."


class CostWorkerError(EvaluateError):
    """The process that held a model while it was measured ended; the message has the end of what it wrote."""

    code = "evaluate.cost_worker"
    kind: ErrorKind = "internal"
    hint = "The message says why; with a smaller plan it may work."
