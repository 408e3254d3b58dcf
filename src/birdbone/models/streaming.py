"""A checkpoint whose decoder layers are in memory one at a time, read from one folder and written to another.

Theory of operation. The model is built without weights. What lies outside the decoder layers (embedding, norms, head)
is loaded at once and stays. A layer's weights are read when it is entered; when it is left they are written to a file
of their own and let go. So whoever walks the layers in order needs the memory of one, whatever the model's size. The
result is a sharded Hugging Face folder like any other; it becomes one only when its index is written, which is last.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import init_empty_weights
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from birdbone.core import write_json
from birdbone.core.files import raise_if_disk_full
from birdbone.models.architecture import Architecture
from birdbone.models.errors import CorruptCheckpointError, NonFiniteWeightError
from birdbone.models.inspection import describe_architecture
from birdbone.models.tensor_reading import StoredTensor, copy_tensors, find_tensors

_INDEX, _ONE_FILE, _REST = "model.safetensors.index.json", "model.safetensors", "model-rest.safetensors"
_PIECE = 1 << 20
"""Values that are looked at at once: what is not finite is found by a copy of them."""
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf", _INDEX)


@dataclass(slots=True, kw_only=True)
class StreamedModel:
    """A model without its decoder layers; `layer` brings one in. Make it by `open_streamed`."""

    model: PreTrainedModel
    architecture: Architecture
    out: Path
    _stored: Mapping[str, StoredTensor]
    """Where each tensor of the checkpoint lies."""
    _written: dict[str, str] = field(default_factory=dict)
    _num_bytes: int = 0

    @contextmanager
    def layer(self, index: int) -> Iterator[None]:
        """Hold the weights of a layer, in float32; write them out in their own format when the body is done.

        Raises:
            CorruptCheckpointError: a weight is missing or has another shape.
            NonFiniteWeightError: a weight is NaN or infinite.
            DiskFullError: no room on the disk.
        """
        path = self.architecture.layer_path(index)
        block = self.model.get_submodule(path)
        dtypes = self._load(block, f"{path}.")
        yield
        self._write(block, f"{path}.", dtypes, file=f"model-layer-{index:04d}.safetensors")
        block.to(device="meta")
        _return_freed_memory()

    def finish(self) -> Path:
        """Write what lies outside the layers and the index, and return the folder, which is a whole model now."""
        rest = {name: place for name, place in self._stored.items() if name not in self._written}
        with self._told_when_full():
            copy_tensors(rest, self.out / _REST)
        self._written |= dict.fromkeys(rest, _REST)
        self._num_bytes += sum(place.size_bytes for place in rest.values())
        values = {"metadata": {"total_size": self._num_bytes}, "weight_map": dict(sorted(self._written.items()))}
        write_json(self.out / _INDEX, values)
        return self.out

    def _load(self, module: nn.Module, prefix: str) -> dict[str, torch.dtype]:
        dtypes, state = {}, {}
        for name, parameter in module.named_parameters():
            tensor = _read(self._stored, prefix + name, tuple(parameter.shape))
            dtypes[name], state[name] = tensor.dtype, tensor.float()
        module.load_state_dict(state, strict=False, assign=True)
        return dtypes

    def _write(self, module: nn.Module, prefix: str, dtypes: Mapping[str, torch.dtype], *, file: str) -> None:
        tensors = {prefix + name: value.detach().to(dtypes[name]) for name, value in module.named_parameters()}
        self._store(tensors, file)

    @contextmanager
    def _told_when_full(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise_if_disk_full(error, self.out)
            raise

    def _store(self, tensors: Mapping[str, Tensor], file: str) -> None:
        with self._told_when_full():
            save_file(
                {name: tensor.contiguous() for name, tensor in tensors.items()}, self.out / file, {"format": "pt"}
            )
        self._written |= dict.fromkeys(tensors, file)
        self._num_bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def open_streamed(folder: Path, out: Path) -> StreamedModel:
    """Return the model of a folder of safetensors, its layers to be brought in one by one; `out` takes the result.

    Args:
        folder: a Hugging Face folder. Not changed.
        out: made if it is missing; gets everything of `folder` but the weights now, and these layer by layer.

    Raises:
        CorruptCheckpointError: the folder holds no safetensors that fit its configuration, or its layers differ in
        size. UnsupportedArchitectureError, ArchitectureMismatchError: as `describe_architecture` says.
    """
    if json.loads((folder / "config.json").read_text()).get("per_layer_config"):
        raise CorruptCheckpointError(f"The layers of {folder} differ in size; such a model is loaded whole.")
    config = AutoConfig.from_pretrained(folder)
    with init_empty_weights(include_buffers=False):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    model.eval().requires_grad_(False)
    stored = _find_all(folder)
    _load_rest(model, stored)
    _copy_beside(folder, out)
    return StreamedModel(model=model, architecture=describe_architecture(model), out=out, _stored=stored)


def _find_all(folder: Path) -> dict[str, StoredTensor]:
    index = folder / _INDEX
    names = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.is_file() else [_ONE_FILE]
    return {name: place for file in names for name, place in find_tensors(folder / file).items()}


def _read(stored: Mapping[str, StoredTensor], name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in stored:
        raise CorruptCheckpointError(f"The checkpoint has no tensor {name}.")
    if stored[name].shape != shape:
        raise CorruptCheckpointError(f"{name} should have shape {shape}, it has {stored[name].shape}.")
    tensor = stored[name].read()
    if not all(bool(piece.isfinite().all()) for piece in torch.split(tensor.flatten(), _PIECE)):
        raise NonFiniteWeightError(f"{name} holds a value that is NaN or infinite.")
    return tensor


def _load_rest(model: PreTrainedModel, stored: Mapping[str, StoredTensor]) -> None:
    """Load what lies outside the decoder layers; a head that the checkpoint leaves out is tied to the embedding."""
    layers = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, nn.ModuleList))
    rest = {name: value for name, value in model.named_parameters() if not name.startswith(layers)}
    state = {name: _read(stored, name, tuple(value.shape)).float() for name, value in rest.items() if name in stored}
    model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    missing = [name for name, value in model.named_parameters() if value.is_meta and not name.startswith(layers)]
    if missing:
        raise CorruptCheckpointError(f"The checkpoint has no tensor {missing[0]}.")


def _return_freed_memory() -> None:
    """Hand freed memory back to the system: glibc keeps what it once had, layer after layer."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _copy_beside(folder: Path, out: Path) -> None:
    weights = {path for pattern in _WEIGHTS for path in folder.glob(pattern)}
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        if path.is_file() and path not in weights:
            shutil.copyfile(path, out / path.name)
