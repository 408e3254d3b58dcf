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
    ├── NoVersionError        cli.no_version        not_found
    ├── WorkChangedError      cli.work_changed      conflict
    ├── WorkMovedError        cli.work_moved        conflict
    ├── BisectRunError        cli.bisect_run        invalid
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


class NoVersionError(CliError):
    """Nothing was committed on this branch yet."""

    code = "cli.no_version"
    kind: ErrorKind = "not_found"
    hint = "`birdbone vault commit -m MESSAGE` makes the first version; `birdbone vault branch` lists the branches."


class WorkChangedError(CliError):
    """Files of the work folder would be overwritten, and no version holds what is in them."""

    code = "cli.work_changed"
    kind: ErrorKind = "conflict"
    hint = "Commit them first; or say `--force` to checkout or switch, if what they hold may go."


class WorkMovedError(CliError):
    """The branch moved on since the files of the work folder came from it."""

    code = "cli.work_moved"
    kind: ErrorKind = "conflict"
    hint = (
        "`birdbone vault diff` shows what differs from HEAD. `birdbone vault checkout HEAD` takes what is there now; "
        "`birdbone vault commit --force` keeps your files on top of it."
    )


class BisectRunError(CliError):
    """The program of `bisect run` could not judge a version; the answers before it are kept."""

    code = "cli.bisect_run"
    kind: ErrorKind = "invalid"
    hint = "Its exit code is 0 for good, 125 for skip, 1 to 127 for bad. Mend it, then call `bisect run` again."


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
