"""Write a model as one GGUF file, tensor by tensor, whole or not at all.

Theory of operation: the directory stands before the data, so the tensors are walked twice. The first walk notes names,
shapes and types; the second writes the bytes. A mapping that loads lazily is therefore asked twice for each tensor, and
never more than one tensor is held. The order is that of the mapping; nothing in the file depends on time or place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from birdbone.core import write_atomically
from birdbone.models.gguf.blocks import GgufType, size_bytes
from birdbone.models.gguf.container import TensorEntry, Value, encode_header, padding
from birdbone.models.gguf.errors import GgufError, UnsupportedExportError
from birdbone.models.gguf.layers import plan_layers
from birdbone.models.gguf.metadata import (
    describe_limits,
    general_metadata,
    head_dim_of,
    model_metadata,
    rope_factor_tensor,
)
from birdbone.models.gguf.names import (
    family_of,
    fused_by_head_order,
    gguf_name,
    layer_of,
    move_layer,
    rotary_pair_order,
    row_order_of,
)
from birdbone.models.gguf.tensors import RoundedTensor, StateTensor, tensor_bytes
from birdbone.models.gguf.tokenizer import describe_tokenizer_limits, tokenizer_metadata

_EMBEDDING, _HEAD, _ROPE_FACTORS = "token_embd.weight", "output.weight", "rope_freqs.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufReport:
    """What a written file holds, counted from its directory."""

    path: Path
    size_bytes: int
    """The whole file, header included."""
    num_weights: int
    """Weights of all tensors as stored; a tied head counts once."""
    bits_per_weight: float
    """Bits of all tensor data over `num_weights`, scales and F32 norms included, header not."""
    bytes_read_per_token: int
    """Tensor bytes that decoding one token reads: every tensor once, except that of an embedding that is not also the
    head only one row is read. Without the key-value cache, which grows with the context."""
    num_tensors_by_type: Mapping[str, int]
    limits: tuple[str, ...]
    """What the file cannot carry of this model and its tokenizer, in sentences; empty where it carries all."""


_Noted = tuple[tuple[int, ...], GgufType]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """A tensor on its way: where it comes from and how it will be stored."""

    source: str
    entry: TensorEntry
    type: GgufType

    @property
    def num_weights(self) -> int:
        return prod(self.entry.shape)

    @property
    def size_bytes(self) -> int:
        return size_bytes(self.type, num_weights=self.num_weights)


def write_gguf(
    path: Path,
    *,
    model_config: Any,
    state_tensors: Mapping[str, StateTensor],
    tokenizer: PreTrainedTokenizerBase,
    default_type: GgufType = GgufType.F16,
    name: str = "",
    license_name: str = "",
) -> GgufReport:
    """Write `path` atomically and return what it holds. The same input gives the same bytes.

    Args:
        model_config: the Hugging Face config; its `model_type` names the family.
        state_tensors: state-dict names to fp tensors, `QuantizedTensor` or `PackedTensor`; each is asked for twice
            and not changed. A head that is tied to the embedding is left out where llama.cpp ties it by itself.
        default_type: F16 or F32, for matrices that are not yet quantized. Vectors are always F32.
        name: `general.name`. license_name: `general.license`. Left out when empty.

    Raises:
        UnsupportedExportError, UnknownTensorError, TokenizerFitError, EncodingError: see `errors`.
        DiskFullError: no room; a file that was at `path` before is untouched.
    """
    if default_type.is_quantized:
        raise GgufError(f"{default_type.name} needs codes and scales: hand in `quantize_tensor(...)` for each matrix.")
    tensors = _ExportedTensors(model_config, state_tensors, default_type)
    metadata = _metadata(model_config, tokenizer, tensors, name=name, license_name=license_name)
    header = encode_header(metadata, [planned.entry for planned in tensors.plan])
    with write_atomically(path) as stream:
        stream.write(header)
        for planned in tensors.plan:
            _write_padded(stream, tensor_bytes(tensors.load(planned.source), planned.type), planned)
    limits = describe_limits(model_config, tensors.family) + describe_tokenizer_limits(tokenizer)
    limits = tensors.layers.notes + limits
    return _report(path, tensors, limits)


class _ExportedTensors:
    """The state dict in GGUF's names, values and row order, one tensor at a time, and what is put beside it."""

    def __init__(self, config: Any, state: Mapping[str, StateTensor], default_type: GgufType) -> None:
        self._config = config
        self._state = state
        found = {name: _noted(state[name], default_type) for name in self._sources()}
        shapes = {name: shape for name, (shape, _) in found.items()}
        self.layers = plan_layers(config, shapes, head_dim=head_dim_of(config))
        self.family = self.layers.family
        self._added = dict(self.layers.fillers)
        factors = rope_factor_tensor(config)
        if factors is not None:
            self._added = {_ROPE_FACTORS: factors} | self._added
        self.plan = tuple(self._make_plan(found, default_type))
        _check_whole(self.plan, self._config)

    @property
    def is_head_tied(self) -> bool:
        """Whether the file has no head of its own."""
        return all(planned.entry.name != _HEAD for planned in self.plan)

    def load(self, source: str) -> StateTensor:
        """Return one tensor as the file holds it: rows in order, norms shifted."""
        if source in self._added:
            return self._added[source]
        tensor, target = self._state[source], gguf_name(source, self.family)
        if self.family.norm_offset and source.endswith("norm.weight"):
            return _plain(tensor, source).float() + self.family.norm_offset
        order = self._row_order(source, target, tensor.shape[0])
        if order is None:
            return tensor
        return tensor.take_rows(order) if isinstance(tensor, RoundedTensor) else tensor[order]

    def _make_plan(self, found: Mapping[str, _Noted], default_type: GgufType) -> Iterator[_Planned]:
        added = {name: _noted(tensor, default_type) for name, tensor in self._added.items()}
        offset = 0
        for source, (shape, kind) in (added | dict(found)).items():
            target = source if source in added else move_layer(gguf_name(source, self.family), self.layers.positions)
            entry = TensorEntry(name=target, shape=shape, type_id=int(kind), offset=offset)
            planned = _Planned(source=source, entry=entry, type=kind)
            offset += planned.size_bytes + padding(planned.size_bytes)
            yield planned

    def _sources(self) -> Iterator[str]:
        family = family_of(self._config.model_type)
        is_tied = bool(self._config.tie_word_embeddings) and family.can_tie_head
        for source in self._state:
            if source.endswith((".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias")):
                continue  # buffers of older checkpoints, derived from the config
            if not (is_tied and gguf_name(source, family) == _HEAD):
                yield source

    def _row_order(self, source: str, target: str, num_rows: int) -> Tensor | None:
        layer = layer_of(source)
        if layer is None:
            return None
        size = self.layers.sizes[self.layers.positions[layer]]
        match row_order_of(target, self.family):
            case "rotary_pairs":
                is_key = target.split(".")[-2] == "attn_k"
                return rotary_pair_order(num_rows, num_heads=size.num_kv_heads if is_key else size.num_heads)
            case "fused_by_head":
                return fused_by_head_order(num_rows, num_heads=size.num_heads)
            case _:
                return None


def _noted(tensor: StateTensor, default_type: GgufType) -> _Noted:
    """Return a tensor's shape and the type that it is stored in."""
    if isinstance(tensor, RoundedTensor):
        return tuple(tensor.shape), tensor.type
    return tuple(tensor.shape), default_type if tensor.ndim > 1 else GgufType.F32


def _plain(tensor: StateTensor, source: str) -> Tensor:
    if isinstance(tensor, RoundedTensor):
        raise UnsupportedExportError(f"{source!r} is a norm; it must stay a plain tensor.")
    return tensor.to(torch.float32)


def _check_whole(plan: tuple[_Planned, ...], config: Any) -> None:
    names = Counter(planned.entry.name for planned in plan)
    doubled = [name for name, count in names.items() if count > 1]
    if doubled or _EMBEDDING not in names:
        raise GgufError(f"The state dict has {doubled[0]!r} twice." if doubled else "The state dict has no embedding.")
    num_rows = next(planned.entry.shape[0] for planned in plan if planned.entry.name == _EMBEDDING)
    if num_rows != config.vocab_size:
        raise GgufError(f"The embedding has {num_rows} rows, but the config says vocab_size {config.vocab_size}.")


def _metadata(
    config: Any, tokenizer: PreTrainedTokenizerBase, tensors: _ExportedTensors, *, name: str, license_name: str
) -> dict[str, Value]:
    arch, sizes = tensors.family.arch, tensors.layers.sizes
    general = general_metadata(arch, name=name, license_name=license_name, main_type=_main_type(tensors.plan))
    model = model_metadata(config, arch=arch, sizes=sizes)
    return general | model | tokenizer_metadata(tokenizer, vocab_size=int(config.vocab_size))


def _main_type(plan: tuple[_Planned, ...]) -> GgufType:
    """Return the type of most weights inside the layers, as `general.file_type` means it."""
    weights: Counter[GgufType] = Counter()
    for planned in plan:
        if len(planned.entry.shape) > 1 and planned.entry.name.startswith("blk."):
            weights[planned.type] += planned.num_weights
    return weights.most_common(1)[0][0] if weights else GgufType.F16


def _write_padded(stream: IO[bytes], data: memoryview, planned: _Planned) -> None:
    if data.nbytes != planned.size_bytes:
        raise GgufError(
            f"{planned.source!r} changed between the two walks: {data.nbytes} bytes, not {planned.size_bytes}."
        )
    stream.write(data)
    stream.write(bytes(padding(data.nbytes)))


def _report(path: Path, tensors: _ExportedTensors, limits: tuple[str, ...]) -> GgufReport:
    plan = tensors.plan
    num_weights = sum(planned.num_weights for planned in plan)
    num_bytes = sum(planned.size_bytes for planned in plan)
    return GgufReport(
        path=path,
        size_bytes=path.stat().st_size,
        num_weights=num_weights,
        bits_per_weight=8 * num_bytes / num_weights,
        bytes_read_per_token=num_bytes - _unread_embedding_bytes(tensors),
        num_tensors_by_type=dict(sorted(Counter(planned.type.name for planned in plan).items())),
        limits=limits,
    )


def _unread_embedding_bytes(tensors: _ExportedTensors) -> int:
    if tensors.is_head_tied:
        return 0
    embedding = next(planned for planned in tensors.plan if planned.entry.name == _EMBEDDING)
    return embedding.size_bytes - embedding.size_bytes // embedding.entry.shape[0]
