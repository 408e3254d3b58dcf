"""The vault: content-addressed versions of models, masks, datasets and reports, each byte checked before it is used.

Owns: the store in a folder (`objects/`, `refs/`), artefacts and their manifests, versions, refs and their log,
checkout, verification and garbage collection, the digests of files of weights that lie in a repository.
Imported by their own names, so that keeping and taking a model starts quickly: `vault.diff` and `vault.bundle` (what
changed, for a reviewer), `vault.merging`, `vault.reverting`, `vault.query`, `vault.interop` (other tools' stores),
`vault.branches`, `vault.notes`, `vault.bisect`, `vault.annotate`, `vault.permissions`, `vault.audit`.
Needs: `core`, NumPy, blake3, zstandard, fastcdc. No torch; a tensor is bytes with a name, a dtype and a shape.
"""

from birdbone.vault.artefacts import checkout, is_checked_out, put_file, put_folder
from birdbone.vault.errors import (
    AmbiguousNameError,
    BadNameError,
    BadRecordError,
    BadSafetensorsError,
    BadWeightFileError,
    CorruptObjectError,
    DestinationNotEmptyError,
    MissingObjectError,
    ReadOnlyVaultError,
    RefConflictError,
    SourceChangedError,
    TruncatedSafetensorsError,
    UnknownNameError,
    UnsupportedFileError,
    UnsupportedFormatError,
    VaultBusyError,
    VaultError,
    WeightsChangedError,
)
from birdbone.vault.folder import Vault, open_vault
from birdbone.vault.gguf_file import GgufLayout, GgufSpan, read_gguf_layout
from birdbone.vault.history import commit, log
from birdbone.vault.lookup import read_manifest, read_version, resolve, resolve_artefact
from birdbone.vault.records import Lineage, Manifest, PlainFile, TensorEntry, TensorFile, Version
from birdbone.vault.refs import RefMove, delete_ref, move_ref, read_head, read_ref, read_reflog, refs, set_head
from birdbone.vault.upkeep import Garbage, Verification, collect_garbage, verify
from birdbone.vault.weights import WeightChange, WeightDigests, hash_weights, update_manifest

__all__ = [
    "AmbiguousNameError",
    "BadNameError",
    "BadRecordError",
    "BadSafetensorsError",
    "BadWeightFileError",
    "CorruptObjectError",
    "DestinationNotEmptyError",
    "Garbage",
    "GgufLayout",
    "GgufSpan",
    "Lineage",
    "Manifest",
    "MissingObjectError",
    "PlainFile",
    "ReadOnlyVaultError",
    "RefConflictError",
    "RefMove",
    "SourceChangedError",
    "TensorEntry",
    "TensorFile",
    "TruncatedSafetensorsError",
    "UnknownNameError",
    "UnsupportedFileError",
    "UnsupportedFormatError",
    "Vault",
    "VaultBusyError",
    "VaultError",
    "Verification",
    "Version",
    "WeightChange",
    "WeightDigests",
    "WeightsChangedError",
    "checkout",
    "collect_garbage",
    "commit",
    "delete_ref",
    "hash_weights",
    "is_checked_out",
    "log",
    "move_ref",
    "open_vault",
    "put_file",
    "put_folder",
    "read_gguf_layout",
    "read_head",
    "read_manifest",
    "read_ref",
    "read_reflog",
    "read_version",
    "refs",
    "resolve",
    "resolve_artefact",
    "set_head",
    "update_manifest",
    "verify",
]
