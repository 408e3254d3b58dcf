"""Bytes of the file that a plan would write, counted from shapes and types: no tensor is touched."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from math import prod

from birdbone.compress.plan.layout import Layout, Shape
from birdbone.models import LoadedModel
from birdbone.models.gguf import GgufType, layer_of, size_bytes, tokenizer_metadata
from birdbone.models.gguf.container import EMPTY_BYTES, TensorEntry, Value, encode_entry, encode_key, padding
from birdbone.models.gguf.layers import LayerPlan, plan_layers
from birdbone.models.gguf.metadata import general_metadata, head_dim_of, model_metadata, rope_factor_tensor

_ROPE_FACTORS = "rope_freqs.weight"


class FileSizer:
    """Counts the bytes of files of one model. The tokenizer, which is most of a header, is encoded once."""

    def __init__(self, loaded: LoadedModel, ends: frozenset[str]) -> None:
        self._config = loaded.model.config
        self._name, self._licence = loaded.name, loaded.licence or ""
        self._ends = ends
        self._fixed_bytes = _keys_bytes(
            tokenizer_metadata(loaded.tokenizer, vocab_size=int(loaded.model.config.vocab_size))
        )

    def file_bytes(self, layout: Layout) -> int:
        """Return the size of the file, header and padding included.

        Raises:
            UnsupportedExportError: GGUF has no form for what is left.
        """
        config, shapes = self._renumbered(layout)
        plan = plan_layers(config, shapes, head_dim=head_dim_of(config))
        rows = list(self._tensors(layout, plan, shapes))
        entries, offset = [], 0
        for name, shape, kind in rows:
            entries.append(TensorEntry(name=name, shape=shape, type_id=int(kind), offset=offset))
            offset += _padded(size_bytes(kind, num_weights=prod(shape)))
        keys = general_metadata(
            plan.family.arch, name=self._name, license_name=self._licence, main_type=GgufType.F16
        ) | model_metadata(config, arch=plan.family.arch, sizes=plan.sizes)
        head = _keys_bytes(keys) + self._fixed_bytes + _entries_bytes(entries)
        return _padded(EMPTY_BYTES + head) + offset

    def _renumbered(self, layout: Layout) -> tuple[object, dict[str, Shape]]:
        """Return the configuration and the shapes with the layers that are left counted from 0."""
        kept = sorted({layer for name in layout.shapes if (layer := layer_of(name)) is not None})
        places = {layer: place for place, layer in enumerate(kept)}
        config = copy.copy(self._config)
        config.num_hidden_layers = len(kept)
        return config, {_moved(name, places): shape for name, shape in layout.shapes.items()}

    def _tensors(
        self, layout: Layout, plan: LayerPlan, shapes: Mapping[str, Shape]
    ) -> Iterator[tuple[str, Shape, GgufType]]:
        factors = rope_factor_tensor(self._config)
        if factors is not None:
            yield _ROPE_FACTORS, tuple(factors.shape), GgufType.F32
        for name, filler in plan.fillers.items():
            yield name, tuple(filler.shape), GgufType.F16 if filler.ndim > 1 else GgufType.F32
        for old, (name, shape) in zip(layout.shapes, shapes.items(), strict=True):
            yield plan.name_of(name), shape, layout.type_of(old, self._ends)


def _moved(name: str, places: Mapping[int, int]) -> str:
    layer = layer_of(name)
    return name if layer is None else name.replace(f".layers.{layer}.", f".layers.{places[layer]}.", 1)


def _padded(size: int) -> int:
    return size + padding(size)


def _keys_bytes(metadata: Mapping[str, Value]) -> int:
    return sum(len(encode_key(key, value)) for key, value in metadata.items())


def _entries_bytes(entries: list[TensorEntry]) -> int:
    return sum(len(encode_entry(entry)) for entry in entries)
