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
├── UnmergeableError               vault.unmergeable             invalid
├── BadStrategyError               vault.bad_strategy            invalid
├── MergeConflictError             vault.merge_conflict          conflict
├── UnrelatedHistoriesError        vault.unrelated_histories     conflict
├── BadRevertError                 vault.bad_revert              invalid
│   └── NothingToRevertError       vault.nothing_to_revert       invalid
├── RevertConflictError            vault.revert_conflict         conflict
├── BadRulesError                  vault.bad_rules               invalid
├── DecisionError                  vault.bad_decision            conflict
├── BrokenDecisionLogError         vault.broken_decision_log     internal
├── BadQueryError                  vault.bad_query               invalid
│   └── UnknownFieldError          vault.unknown_field           invalid
├── BadRetentionError              vault.bad_retention           invalid
├── AccessDeniedError              vault.access_denied           denied
│   └── ProtectedRefError          vault.protected_ref           denied
├── BadSettingsError               vault.bad_settings            invalid
├── TagExistsError                 vault.tag_exists              conflict
├── BranchInUseError               vault.branch_in_use           conflict
├── UnmergedBranchError            vault.unmerged_branch         conflict
├── NotABranchError                vault.not_a_branch            invalid
├── BadNoteError                   vault.bad_note                invalid
├── NoBisectionError               vault.no_bisection            not_found
├── BisectionError                 vault.bisection               conflict
├── BadSourceError                 vault.bad_source              invalid
├── IncompleteSourceError          vault.incomplete_source       not_found
├── SourceMismatchError            vault.source_mismatch         invalid
├── NotLoadableError               vault.not_loadable            invalid
├── BadRemoteError                 vault.bad_remote              invalid
├── UnknownRemoteError             vault.unknown_remote          not_found
├── RemoteError                    vault.remote                  unavailable
├── RemoteDamagedError             vault.remote_damaged          internal
├── UnsafeRemoteError              vault.unsafe_remote           denied
├── DivergedError                  vault.diverged                conflict
└── NotHealedError                 vault.not_healed              internal
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


class UnmergeableError(VaultError):
    """Tensors that no arithmetic can merge: shapes or dtypes differ, values are not finite, settings do not fit."""

    code = "vault.unmergeable"
    kind: ErrorKind = "invalid"
    hint = "Choose one side for this tensor (`ours` or `theirs`), or give settings that fit."


class BadStrategyError(VaultError):
    """A text that should name how a conflict is resolved, and does not."""

    code = "vault.bad_strategy"
    kind: ErrorKind = "invalid"
    hint = "Write PATTERN=KIND or PATTERN=KIND:NAME=VALUE,..., such as `*.mlp.*=ties:density=0.5,weight=0.5`."


class MergeConflictError(VaultError):
    """Both sides changed the same things differently, and no strategy says what to do; nothing was written."""

    code = "vault.merge_conflict"
    kind: ErrorKind = "conflict"
    hint = "Name a strategy for each conflict, such as `--strategy 'model.*=ours'`; the first that matches is used."


class UnrelatedHistoriesError(VaultError):
    """Two versions that have no common ancestor, so that nobody can say which side changed what."""

    code = "vault.unrelated_histories"
    kind: ErrorKind = "conflict"
    hint = "Give the version or artefact that both came from as `base`."


class BadRevertError(VaultError):
    """A revert that cannot be meant so: it names nothing, or contradicts itself."""

    code = "vault.bad_revert"
    kind: ErrorKind = "invalid"
    hint = "Look at the log of the ref and at the names of its tensors, then name what is to come back."


class NothingToRevertError(BadRevertError):
    """A revert that would change nothing."""

    code = "vault.nothing_to_revert"
    hint = "The ref already holds what you ask for; there is nothing to do."


class RevertConflictError(VaultError):
    """What is to be undone was changed again by a later version; nothing was reverted."""

    code = "vault.revert_conflict"
    kind: ErrorKind = "conflict"
    hint = "Undo the later versions too, or say `keep` (leave the later change) or `take` (drop it) for these names."


class BadRulesError(VaultError):
    """A file of revert rules that is not understood."""

    code = "vault.bad_rules"
    kind: ErrorKind = "invalid"
    hint = "The default rules show every kind of rule with its settings."


class DecisionError(VaultError):
    """An answer, a schedule or a canary that does not fit the state it is given to."""

    code = "vault.bad_decision"
    kind: ErrorKind = "conflict"
    hint = "List what is waiting, then answer that."


class BrokenDecisionLogError(VaultError):
    """The log of decisions was changed after it was written."""

    code = "vault.broken_decision_log"
    hint = "Compare the log with a backup; entries up to the one named are as they were written."


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


class AccessDeniedError(VaultError):
    """An identity has too low a level on a ref; the ref was left where it is."""

    code = "vault.access_denied"
    kind: ErrorKind = "denied"
    hint = "Ask an admin of the store for the level."


class ProtectedRefError(AccessDeniedError):
    """A protected ref would have been deleted, or moved to what does not follow it, without force."""

    code = "vault.protected_ref"
    hint = "Commit on top of what is there; or, as an admin who means it, say `force`."


class BadSettingsError(VaultError):
    """The settings of the refs cannot be read, or would let nobody in again."""

    code = "vault.bad_settings"
    kind: ErrorKind = "invalid"
    hint = (
        "The last line of refs/settings in the reflog has them in `detail`: put those back. Keep one admin of `refs/*`."
    )


class TagExistsError(VaultError):
    """A tag stands for another version already; it was left there."""

    code = "vault.tag_exists"
    kind: ErrorKind = "conflict"
    hint = "Choose another name; or say `force`, and tell whoever used the tag."


class BranchInUseError(VaultError):
    """A branch that `HEAD` stands for, or a name that another branch has."""

    code = "vault.branch_in_use"
    kind: ErrorKind = "conflict"
    hint = "Switch to another branch first, or choose another name."


class UnmergedBranchError(VaultError):
    """Deleting a branch would leave versions that no other ref reaches."""

    code = "vault.unmerged_branch"
    kind: ErrorKind = "conflict"
    hint = "Merge it first; or say `force` if its versions are not wanted any more."


class NotABranchError(VaultError):
    """A tag or a version stands where a branch was wanted."""

    code = "vault.not_a_branch"
    kind: ErrorKind = "invalid"
    hint = "Switch with `detach`, or make a branch there and switch to it."


class BadNoteError(VaultError):
    """A note without text, or too long to be one."""

    code = "vault.bad_note"
    kind: ErrorKind = "invalid"
    hint = "Give a text; keep long ones as an artefact and note its name."


class NoBisectionError(VaultError):
    """No bisection has been started, or there is nothing left to test in it."""

    code = "vault.no_bisection"
    kind: ErrorKind = "not_found"
    hint = "Start one with a bad version and at least one good one."


class BisectionError(VaultError):
    """What was said of the versions cannot all be true."""

    code = "vault.bisection"
    kind: ErrorKind = "conflict"
    hint = "Start again, and test the versions in question once more."


class BadSourceError(VaultError):
    """A record of another tool that contradicts itself, or names a file outside of what it describes."""

    code = "vault.bad_source"
    kind: ErrorKind = "invalid"
    hint = "Make it again with the tool that it belongs to."


class IncompleteSourceError(VaultError):
    """A source of another tool whose bytes are not all on this machine."""

    code = "vault.incomplete_source"
    kind: ErrorKind = "not_found"
    hint = "Fetch the rest with the tool that it belongs to."


class SourceMismatchError(VaultError):
    """The bytes of a source do not match the digest under which its own tool keeps them; they were not used."""

    code = "vault.source_mismatch"
    kind: ErrorKind = "invalid"
    hint = "Remove the damaged file and fetch it again with the tool that it belongs to."


class NotLoadableError(VaultError):
    """What was to be exported lacks something that its reader needs."""

    code = "vault.not_loadable"
    kind: ErrorKind = "invalid"
    hint = "Put a folder with `config.json` and weights as `.safetensors`, or check out the files as they are."


class BadRemoteError(VaultError):
    """A URL, or the settings of remotes, that cannot be used."""

    code = "vault.bad_remote"
    kind: ErrorKind = "invalid"
    hint = "Give a folder, or a URL such as s3://bucket/path."


class UnknownRemoteError(VaultError):
    """No remote has this name, or nothing lies where it should be."""

    code = "vault.unknown_remote"
    kind: ErrorKind = "not_found"
    hint = "Add it with its URL first, or give the URL itself."


class RemoteError(VaultError):
    """A remote could not be read or written just now; what is on it is in order."""

    code = "vault.remote"
    kind: ErrorKind = "unavailable"
    hint = "Try again: what has arrived whole is not sent again."


class RemoteDamagedError(VaultError):
    """What a remote holds is not what its names say; it was not used."""

    code = "vault.remote_damaged"
    hint = "Fetch from another remote, or push the objects there again after the damaged ones were set aside."


class UnsafeRemoteError(VaultError):
    """A remote on which a writer could undo another's push unseen; nothing was pushed."""

    code = "vault.unsafe_remote"
    kind: ErrorKind = "denied"
    hint = "Use a store that honours conditional writes (S3, GCS, Azure), or a folder."


class DivergedError(VaultError):
    """A branch and the remote's both have versions that the other lacks; it was left where it is."""

    code = "vault.diverged"
    kind: ErrorKind = "conflict"
    hint = "Merge the remote's branch, or commit on top of it; then push."


class NotHealedError(VaultError):
    """Damaged or missing objects that no remote holds intact."""

    code = "vault.not_healed"
    hint = "Add a remote that has them, or put the same content again with the damaged ones set aside."
