"""The vault: content-addressed versions of models, masks, datasets and reports, each byte checked before it is used.

Owns: the store in a folder (`objects/`, `refs/`), artefacts and their manifests, versions, refs and their log,
checkout, verification and garbage collection, the digests of files of weights that lie in a repository.
Inside, from the ground up: `store` (bytes by digest), `formats` (files of weights), `refs` (names that move, with their
audit), `history` (commits, bisect, annotate). Imported by their own names, so that keeping and taking a model starts
quickly: `diff` and its bundle (what changed, for a reviewer), `merging`, `reverting`, `query`, `interop` (other tools'
stores), `remotes`.
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
from birdbone.vault.formats.gguf import GgufLayout, GgufSpan, read_gguf_layout
from birdbone.vault.formats.weights import WeightChange, WeightDigests, hash_weights, update_manifest
from birdbone.vault.history.commits import commit, log
from birdbone.vault.records import Lineage, Manifest, PlainFile, TensorEntry, TensorFile, Version
from birdbone.vault.refs.lookup import read_manifest, read_version, resolve, resolve_artefact
from birdbone.vault.refs.refs import RefMove, delete_ref, move_ref, read_head, read_ref, read_reflog, refs, set_head
from birdbone.vault.upkeep import Garbage, Verification, collect_garbage, verify

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
