"""Bringing a model in: from the starter's package, a folder, a `.safetensors`, a `.gguf` or the hub, and checking it.

Whatever the source, what comes out is the same: a plain `transformers` model in eval mode, free of any trace of
quantization, its tied weights tied, all weights finite, with the tokenizer that fits it.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from birdbone.models.architecture import Architecture
from birdbone.models.errors import (
    CorruptCheckpointError,
    NonFiniteWeightError,
    TokenizerMismatchError,
    TokenizerMissingError,
    UnsupportedArchitectureError,
)
from birdbone.models.gguf import CorruptGgufError, UnsupportedExportError, read_gguf_summary, restore_pre_tokenizer
from birdbone.models.inspection import describe_architecture, require_family
from birdbone.models.parsing import parse_gguf_once
from birdbone.models.quiet import quiet_transformers
from birdbone.models.rebuilding import load_layered, plain_config, read_layered_config
from birdbone.models.sources import ModelSource, find_source

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
# What the libraries raise on damaged files; each was seen (tests/models/test_loading.py damages files at random).
_DAMAGE = (
    SafetensorError,
    StrictDataclassError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A checked model with all that belongs to it.

    Attributes:
        model: in eval mode, on the CPU.
        spec: what was asked for.
        name: short name for people.
        licence: as the source states it, or None where it states none.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    architecture: Architecture
    spec: str
    name: str
    licence: str | None

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def load_model(spec: str, *, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """Return the model that `spec` names: `starter`, a folder, a `.safetensors`, a `.gguf` or a hub id (`org/name`).

    A `.gguf` is dequantised into plain weights; its configuration then says nothing of quantization.

    Raises:
        ModelError: one of the tree in `errors.py`, by what is wrong.
    """
    source = find_source(spec)
    model, tokenizer, licence = _read_gguf(source, dtype) if source.kind == "gguf" else _read_folder(source, dtype)
    architecture = describe_architecture(model)
    require_finite(model)
    require_tokenizer_fits(tokenizer, architecture)
    return LoadedModel(
        model=model.eval(),
        tokenizer=tokenizer,
        architecture=architecture,
        spec=spec,
        name=source.name,
        licence=licence,
    )


def load_tokenizer(spec: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of the model that `spec` names, without its weights.

    Raises:
        ModelError: as `load_model` does.
    """
    source = find_source(spec)
    with quiet_transformers(), _damage_named(source.name):
        if source.kind != "gguf":
            return _folder_tokenizer(source.folder)
        assert source.file is not None
        with parse_gguf_once():
            return _gguf_tokenizer(source.file, _gguf_metadata(source.file))


def require_finite(model: PreTrainedModel) -> None:
    """Check that no weight is NaN or infinite.

    Raises:
        NonFiniteWeightError: one is (names the first tensor).
    """
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            count = int((~torch.isfinite(parameter)).sum())
            message = f"{name} has {count} of {parameter.numel()} values that are NaN or infinite."
            raise NonFiniteWeightError(message, tensor=name, count=count)


def require_tokenizer_fits(tokenizer: PreTrainedTokenizerBase, architecture: Architecture) -> None:
    """Check that the embedding has a row for every id that the tokenizer can give.

    Raises:
        TokenizerMismatchError: it has not (names the token of the highest id).
    """
    token, highest = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if highest >= architecture.vocab_size:
        message = (
            f"The tokenizer gives ids up to {highest} ({token!r}); the embedding has {architecture.vocab_size} rows."
        )
        raise TokenizerMismatchError(message, highest_id=highest, rows=architecture.vocab_size)


def _read_folder(source: ModelSource, dtype: torch.dtype) -> tuple[Any, Any, str | None]:
    _require_readable_config(source.folder)
    with quiet_transformers(), _damage_named(source.name):
        tokenizer = _folder_tokenizer(source.folder)
        model = _from_weights(source, dtype)
    return model, tokenizer, _licence_of_card(source.folder / "README.md")


def _folder_tokenizer(folder: Path) -> Any:
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise TokenizerMissingError(f"{folder} holds no tokenizer (looked for {', '.join(_TOKENIZER_FILES)}).")
    layered = read_layered_config(folder)
    # It reads config.json on the way, unless it is given one.
    return AutoTokenizer.from_pretrained(folder, **({} if layered is None else {"config": plain_config(layered)}))


def _from_weights(source: ModelSource, dtype: torch.dtype) -> Any:
    layered = read_layered_config(source.folder)
    if layered is not None:
        return _complete(load_layered(layered, folder=source.folder, file=source.file, dtype=dtype), source.name)
    return _from_folder(source, dtype) if source.file is None else _from_one_file(source, dtype)


def _from_folder(source: ModelSource, dtype: torch.dtype) -> Any:
    return _complete(
        AutoModelForCausalLM.from_pretrained(
            source.folder,
            dtype=dtype,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        ),
        source.name,
    )


def _from_one_file(source: ModelSource, dtype: torch.dtype) -> Any:
    assert source.file is not None
    config = AutoConfig.from_pretrained(source.folder)
    return _from_state(config, load_file(source.file), dtype, name=source.name)


def _from_state(config: Any, state: dict[str, torch.Tensor], dtype: torch.dtype, *, name: str) -> Any:
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return _complete(
        model_class.from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=dtype,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        ),
        name,
    )


def _complete(loaded: tuple[Any, dict[str, Any]], name: str) -> Any:
    """Return the model; transformers would fill what the checkpoint lacks with random numbers and go on."""
    model, info = loaded
    for key, found, expected in sorted(info["mismatched_keys"]):
        message = f"{name}: tensor {key} has shape {tuple(found)}, the configuration asks for {tuple(expected)}."
        raise CorruptCheckpointError(message, tensor=key)
    missing = sorted(info["missing_keys"])
    if missing:
        message = f"{name} lacks {len(missing)} tensors that its configuration asks for; the first is {missing[0]}."
        raise CorruptCheckpointError(message, tensor=missing[0])
    # Old Llama checkpoints carry this table, which is computed from the configuration.
    unused = sorted(key for key in info["unexpected_keys"] if not key.endswith("rotary_emb.inv_freq"))
    if unused:
        message = (
            f"{name} holds {len(unused)} tensors that its configuration knows nothing of; the first is {unused[0]}."
        )
        raise CorruptCheckpointError(message, tensor=unused[0])
    return model


def _read_gguf(source: ModelSource, dtype: torch.dtype) -> tuple[Any, Any, str | None]:
    assert source.file is not None
    metadata = _gguf_metadata(source.file)
    licence = metadata.get("general.license")
    with quiet_transformers(), parse_gguf_once(), _damage_named(source.name):
        model = _dequantized(source.folder, source.file.name, dtype)
        tokenizer = _gguf_tokenizer(source.file, metadata)
    return model, tokenizer, None if licence is None else str(licence)


def _gguf_tokenizer(file: Path, metadata: Mapping[str, Any]) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    if metadata.get("tokenizer.ggml.model") == "gpt2":
        _restore_splitting(tokenizer, str(metadata.get("tokenizer.ggml.pre", "default")))
    return tokenizer


def _gguf_metadata(file: Path) -> Mapping[str, Any]:
    try:
        return read_gguf_summary(file).metadata
    except CorruptGgufError as error:
        raise CorruptCheckpointError(f"{file.name}: {error.message}") from error


def _restore_splitting(tokenizer: Any, pre: str) -> None:
    """Give the tokenizer the text splitting that the file names: transformers puts GPT-2's for every BPE file."""
    try:
        restore_pre_tokenizer(tokenizer.backend_tokenizer, pre)
    except UnsupportedExportError as error:
        hint = "Load the model from its Hugging Face folder instead."
        raise TokenizerMismatchError(error.message, hint=hint, pre=pre) from error


def _dequantized(folder: Path, file_name: str, dtype: torch.dtype) -> Any:
    # The bar of the dequantiser heeds no setting of transformers, only the stream it writes to.
    with contextlib.redirect_stderr(io.StringIO()):
        packed = _complete(
            AutoModelForCausalLM.from_pretrained(
                folder,
                gguf_file=file_name,
                quantization_config=GgufConfig(dequantize=True),
                dtype=dtype,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            ),
            file_name,
        )
    require_family(packed.config.model_type)
    return _from_state(_plain_config(packed.config), packed.state_dict(), dtype, name=file_name)


def _plain_config(config: Any) -> Any:
    """Return the configuration without its quantization, and with the epsilon as people write it.

    A GGUF keeps numbers as float32: 1e-5 comes back as 9.999999747378752e-06. The shortest decimal that means the same
    float32 is what the model was published with.
    """
    values = config.to_dict()
    for key in ("quantization_config", "_model_name_or_path"):
        values.pop(key, None)
    for key in ("rms_norm_eps", "layer_norm_eps"):
        if key in values:
            values[key] = float(str(np.float32(values[key])))
    return type(config).from_dict(values)


def _require_readable_config(folder: Path) -> None:
    """Check config.json before transformers sees it, for errors that name what is wrong."""
    path = folder / "config.json"
    if not path.is_file():
        raise CorruptCheckpointError(f"{folder} holds no config.json.", hint="Copy the model's config.json there.")
    try:
        values = json.loads(path.read_text())
        model_type = str(values["model_type"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptCheckpointError(f"{path} does not parse as a model's configuration: {error!r}.") from error
    require_family(model_type)
    packing = values.get("quantization_config")
    if packing is not None:
        method = packing.get("quant_method", "an unnamed method") if isinstance(packing, dict) else repr(packing)
        message = f"{folder.name} holds weights packed by {method}; only plain weights and GGUF files are read."
        raise UnsupportedArchitectureError(message, hint="Load the model from which this one was quantized.")


def _licence_of_card(card: Path) -> str | None:
    """Return `license:` of a model card's YAML head, or None."""
    if not card.is_file():
        return None
    head = re.match(r"---\n(.*?)\n---", card.read_text(errors="replace"), flags=re.DOTALL)
    found = re.search(r"^license:\s*(\S+)", head.group(1), flags=re.MULTILINE) if head else None
    return found.group(1) if found else None


@contextlib.contextmanager
def _damage_named(name: str) -> Iterator[None]:
    """Turn what the libraries raise on damaged files into one error that names the model."""
    try:
        yield
    except Exception as error:
        # The tokenizers library raises bare `Exception`, nothing more special.
        if type(error) is not Exception and not isinstance(error, _DAMAGE):
            raise
        first_line = (str(error).strip() or repr(error)).splitlines()[0]
        raise CorruptCheckpointError(f"{name} could not be read: {first_line}") from error
