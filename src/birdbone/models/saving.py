"""Writing a model as a Hugging Face folder whose bytes depend on the model alone.

The same weights, configuration and tokenizer give the same files: no time, no path, no order of insertion. A model
whose layers differ gets `per_layer_config` in its config.json, and a README.md that says what can load it.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from birdbone.core import write_json
from birdbone.core.errors import DiskFullError
from birdbone.core.files import raise_if_disk_full
from birdbone.models.families import family_of
from birdbone.models.inspection import describe_architecture
from birdbone.models.layer_sizes import PER_LAYER_CONFIG, per_layer_entries
from birdbone.models.quiet import quiet_transformers

_ONE_FILE = "1000GB"
_CARD = "README.md"
_LAYERED_CARD = """\
# A model whose layers differ

Some layers are narrower than the others or lack a part; `per_layer_config` in `config.json` says which. transformers
alone does not build such a model. Birdbone does, and writes it as GGUF for llama.cpp:

```python
from birdbone.models import load_model

loaded = load_model("this-folder")
```
"""
# How the tokenizer was fetched, which says nothing of the tokenizer.
_PROVENANCE_KEYS = ("is_local", "local_files_only", "name_or_path", "tokenizer_file")


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """Return `folder`, which now holds `model.safetensors`, `config.json` and the tokenizer's files.

    Tied weights are stored once. Where layers differ, a README.md is put beside them unless one is there. The files
    are written beside the folder and renamed into it one by one, so that each is whole or as it was; other files of
    the folder stay.

    Raises:
        DiskFullError: no room on the disk; files that stood in the folder keep their content.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
            _write(model, tokenizer, Path(name))
            folder.mkdir(exist_ok=True)
            for file in sorted(Path(name).iterdir()):
                if file.name != _CARD or not (folder / _CARD).exists():
                    os.replace(file, folder / file.name)
    except OSError as error:
        raise_if_disk_full(error, folder)
        raise
    return folder


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    with quiet_transformers():
        try:
            model.save_pretrained(folder, max_shard_size=_ONE_FILE)
        except SafetensorError as error:
            # safetensors reports the system's error as text only.
            if "os error 28" in str(error) or "os error 122" in str(error):
                raise DiskFullError("No space left on the disk while writing model.safetensors.") from error
            raise
        tokenizer.save_pretrained(folder)
    _strip_provenance(folder / "tokenizer_config.json")
    if family_of(model.config.model_type) is not None:
        _describe_layers(model, folder)


def _describe_layers(model: PreTrainedModel, folder: Path) -> None:
    entries = per_layer_entries(model.config, describe_architecture(model))
    if not entries:
        return
    path = folder / "config.json"
    write_json(path, json.loads(path.read_text()) | {PER_LAYER_CONFIG: entries})
    (folder / _CARD).write_text(_LAYERED_CARD)


def _strip_provenance(path: Path) -> None:
    values: dict[str, Any] = json.loads(path.read_text())
    write_json(path, {key: value for key, value in values.items() if key not in _PROVENANCE_KEYS})
