"""What can go wrong at the command line.

```text
BirdboneError
└── CliError
    ├── UsageError            cli.usage             invalid
    ├── NoRecipeError         cli.no_recipe         invalid
    ├── NotConfirmedError     cli.not_confirmed     invalid
    ├── NotAModelError        cli.not_a_model       invalid
    ├── UnreadableValueError  cli.unreadable_value  invalid
    ├── ModelMissingError     cli.model_missing     not_found
    ├── NoEditorError         cli.no_editor         unavailable
    ├── DatabaseError         cli.database          unavailable
    ├── NoMemoryError         cli.no_memory         unavailable
    ├── InterruptedByUser     cli.interrupted       cancelled
    └── UnexpectedError       cli.unexpected        internal
```
"""

from __future__ import annotations

from birdbone.core import BirdboneError, ErrorKind


class CliError(BirdboneError):
    """Root of this room's errors."""

    code = "cli.failed"
    kind: ErrorKind = "internal"


class UsageError(CliError):
    """Options or arguments that do not fit the command, or not each other."""

    code = "cli.usage"
    kind: ErrorKind = "invalid"


class NoRecipeError(CliError):
    """No recipe was named and there is none to fall back on."""

    code = "cli.no_recipe"
    kind: ErrorKind = "invalid"
    hint = "Name one: `birdbone run path/to/recipe.yaml`. `birdbone phases` lists the steps that a recipe may have."


class NotConfirmedError(CliError):
    """Something would be removed and nobody said yes."""

    code = "cli.not_confirmed"
    kind: ErrorKind = "invalid"
    hint = "Say `--yes` to remove it, or `--dry-run` to look only."


class NotAModelError(CliError):
    """What was named is in the vault but is not a model."""

    code = "cli.not_a_model"
    kind: ErrorKind = "invalid"
    hint = "`birdbone models` lists what the vault holds and of which kind it is."


class UnreadableValueError(CliError):
    """A value that was stored or given does not fit its schema."""

    code = "cli.unreadable_value"
    kind: ErrorKind = "invalid"
    hint = "`birdbone --debug` before the command shows where it came from."


class ModelMissingError(CliError):
    """The model that a recipe names is not on this machine."""

    code = "cli.model_missing"
    kind: ErrorKind = "not_found"


class NoEditorError(CliError):
    """No editor could be started."""

    code = "cli.no_editor"
    kind: ErrorKind = "unavailable"
    hint = "Set EDITOR, such as `EDITOR=nano birdbone config --edit`, or edit the file by hand."


class DatabaseError(CliError):
    """The database of runs does not answer."""

    code = "cli.database"
    kind: ErrorKind = "unavailable"
    hint = "`birdbone config --show` prints its URL."


class NoMemoryError(CliError):
    """There was not enough memory."""

    code = "cli.no_memory"
    kind: ErrorKind = "unavailable"
    hint = "Close other programs, or use a machine with more memory."


class InterruptedByUser(CliError):
    """Ctrl-C or SIGTERM."""

    code = "cli.interrupted"
    kind: ErrorKind = "cancelled"


class UnexpectedError(CliError):
    """A fault in Birdbone, or one that it does not know."""

    code = "cli.unexpected"
    hint = "`birdbone --debug` before the command shows the trace; please report it."
