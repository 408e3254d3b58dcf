"""What can go wrong in the vault.

```text
VaultError
├── BadSafetensorsError            vault.bad_safetensors         invalid
│   └── TruncatedSafetensorsError  vault.truncated_safetensors   invalid
├── BadWeightFileError             vault.bad_weight_file         invalid
├── WeightsChangedError            vault.weights_changed         conflict
├── BadNameError                   vault.bad_name                invalid
├── BadRecordError                 vault.bad_record              invalid
├── UnsupportedFileError           vault.unsupported_file        invalid
├── SourceChangedError             vault.source_changed          conflict
├── UnknownNameError               vault.unknown_name            not_found
├── AmbiguousNameError             vault.ambiguous_name          conflict
├── RefConflictError               vault.ref_conflict            conflict
├── DestinationNotEmptyError       vault.destination_not_empty   conflict
├── MissingObjectError             vault.missing_object          internal
├── CorruptObjectError             vault.corrupt_object          internal
├── UnsupportedFormatError         vault.unsupported_format      invalid
├── VaultBusyError                 vault.busy                    unavailable
├── ReadOnlyVaultError             vault.read_only               denied
├── BadQueryError                  vault.bad_query               invalid
│   └── UnknownFieldError          vault.unknown_field           invalid
└── BadRetentionError              vault.bad_retention           invalid
```

A full disk is `birdbone.core.errors.DiskFullError`. None of them leaves a ref moved or an object half written.
"""

from __future__ import annotations

from birdbone.core.errors import BirdboneError, ErrorKind


class VaultError(BirdboneError):
    """Anything that the vault refuses."""

    code = "vault.error"


class BadSafetensorsError(VaultError):
    """A `.safetensors` file whose header contradicts itself or its file."""

    code = "vault.bad_safetensors"
    kind: ErrorKind = "invalid"
    hint = "Save or download the file again; its header does not describe its bytes."


class TruncatedSafetensorsError(BadSafetensorsError):
    """A `.safetensors` file that ends before the bytes its header promises."""

    code = "vault.truncated_safetensors"
    hint = "The download or the save was cut off. Fetch or save the file again."


class BadNameError(VaultError):
    """A name of a ref, a path or a kind that could not be stored safely."""

    code = "vault.bad_name"
    kind: ErrorKind = "invalid"
    hint = "Use letters, digits, `-`, `_`, `.` and `/`; no `..`, no leading `/` or `.`, no control character."


class BadRecordError(VaultError):
    """A measurement, lineage or message that is not plain JSON."""

    code = "vault.bad_record"
    kind: ErrorKind = "invalid"
    hint = "Give finite numbers, text, lists and mappings only."


class BadWeightFileError(VaultError):
    """A file of weights, or the manifest of such files, that cannot be read whole."""

    code = "vault.bad_weight_file"
    kind: ErrorKind = "invalid"
    hint = "Fetch or save the file again; what it held before is in its last version."


class WeightsChangedError(VaultError):
    """Files of weights are not what their manifest says."""

    code = "vault.weights_changed"
    kind: ErrorKind = "conflict"
    hint = "If the change is meant, run `birdbone vault hash` on them and commit the manifest with them."


class UnsupportedFileError(VaultError):
    """Something in a folder that is neither a file nor a folder."""

    code = "vault.unsupported_file"
    kind: ErrorKind = "invalid"
    hint = "Replace it by a plain file or folder, or take it away."


class SourceChangedError(VaultError):
    """A file changed while it was being stored."""

    code = "vault.source_changed"
    kind: ErrorKind = "conflict"
    hint = "Wait until whoever writes the file has finished, then store it again."


class UnknownNameError(VaultError):
    """No ref, version or artefact has this name."""

    code = "vault.unknown_name"
    kind: ErrorKind = "not_found"
    hint = "Give a branch, a tag, `HEAD`, or the first six or more digits of a version or artefact."


class AmbiguousNameError(VaultError):
    """The beginning of a digest that several objects share."""

    code = "vault.ambiguous_name"
    kind: ErrorKind = "conflict"
    hint = "Give more digits."


class RefConflictError(VaultError):
    """A ref does not point where the caller believed; it was left where it is."""

    code = "vault.ref_conflict"
    kind: ErrorKind = "conflict"
    hint = "Somebody moved the ref. Look at its log, then commit on top of what is there now."


class DestinationNotEmptyError(VaultError):
    """A checkout would have overwritten something."""

    code = "vault.destination_not_empty"
    kind: ErrorKind = "conflict"
    hint = "Check out into a folder that does not exist yet, or into an empty one."


class MissingObjectError(VaultError):
    """An object that a manifest, a version or a caller names is not in the store."""

    code = "vault.missing_object"
    hint = "Put the same content again; the store then has the object back."


class CorruptObjectError(VaultError):
    """The bytes of an object no longer match its digest; they were not used."""

    code = "vault.corrupt_object"
    hint = "Verify with the bad objects set aside, then put the same content again: it takes their place."


class UnsupportedFormatError(VaultError):
    """The store or a record in it was written by another generation of Birdbone."""

    code = "vault.unsupported_format"
    kind: ErrorKind = "invalid"
    hint = "Open it with the Birdbone that wrote it, or a later one."


class VaultBusyError(VaultError):
    """Another process has held the lock of the store for too long."""

    code = "vault.busy"
    kind: ErrorKind = "unavailable"
    hint = "Try again when the other process is done."


class ReadOnlyVaultError(VaultError):
    """The store cannot be written by this user or on this file system."""

    code = "vault.read_only"
    kind: ErrorKind = "denied"
    hint = "Work in a folder that you may write to, or copy the store there."


class BadQueryError(VaultError):
    """A query that does not follow the grammar; the message shows the place with a caret."""

    code = "vault.bad_query"
    kind: ErrorKind = "invalid"
    hint = "Write such as: sparsity > 50% and phase = 'compress'."


class UnknownFieldError(BadQueryError):
    """A query names a field that no version has."""

    code = "vault.unknown_field"


class BadRetentionError(VaultError):
    """Rules of retention that would keep nothing but what refs point at, or that contradict themselves."""

    code = "vault.bad_retention"
    kind: ErrorKind = "invalid"
    hint = "Give at least one of: newest versions of each branch, days, a query."
