"""Write low-rank updates of a model's linears as a GGUF adapter, which llama.cpp adds to the base at run time.

Shapes: F rows, D columns, R rank. llama.cpp computes `W x + scale * alpha / R * B (A x)`; rows of B stand in the order
of the base's rows, so an adapter belongs to one base and its architecture. Source: Hu et al. 2021, arXiv:2106.09685,
eq. 3; llama.cpp `convert_lora_to_gguf.py` for the names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from birdbone.core import write_atomically
from birdbone.models.gguf.blocks import GgufType, encode_floats, size_bytes
from birdbone.models.gguf.container import TensorEntry, Value, encode_header, padding
from birdbone.models.gguf.errors import EncodingError, UnknownTensorError
from birdbone.models.gguf.layers import LayerPlan, plan_layers
from birdbone.models.gguf.metadata import head_dim_of
from birdbone.models.gguf.tensors import StateTensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRankUpdate:
    """What is added to a weight (F, D): `alpha / R * b_FR @ a_RD`."""

    a_RD: Tensor
    b_FR: Tensor


def write_gguf_adapter(
    path: Path,
    *,
    model_config: Any,
    state_tensors: Mapping[str, StateTensor],
    updates: Mapping[str, LowRankUpdate],
    alpha: float,
    default_type: GgufType = GgufType.F16,
) -> Path:
    """Write `path` atomically and return it. The same input gives the same bytes.

    Args:
        model_config, state_tensors: of the base, as `write_gguf` took them; only shapes are read.
        updates: by the name of the weight in the state dict, such as `model.layers.0.mlp.up_proj.weight`.
        alpha: above 0; the update counts alpha / R.
        default_type: F16 or F32.

    Raises:
        UnknownTensorError: an update of a weight that the base does not have inside its layers.
        EncodingError: factors that do not fit the weight or each other, or that the type cannot hold.
        UnsupportedExportError: the base has no form in GGUF.
    """
    if not alpha > 0:
        raise EncodingError(f"alpha must be above 0; llama.cpp reads {alpha} as no scaling at all.")
    shapes = {name: tuple(tensor.shape) for name, tensor in state_tensors.items()}
    layers = plan_layers(model_config, _inside_layers(shapes), head_dim=head_dim_of(model_config))
    tensors = dict(_tensors(layers, shapes, updates))
    entries = list(_entries(tensors, default_type))
    metadata: dict[str, Value] = {
        "general.architecture": layers.family.arch,
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(alpha),
    }
    with write_atomically(path) as stream:
        stream.write(encode_header(metadata, entries))
        for tensor in tensors.values():
            data = encode_floats(default_type, tensor).tobytes()
            stream.write(data + bytes(padding(len(data))))
    return path


def _inside_layers(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, shape in shapes.items() if ".layers." in name and name.endswith(".weight")}


def _tensors(
    layers: LayerPlan, shapes: Mapping[str, tuple[int, ...]], updates: Mapping[str, LowRankUpdate]
) -> Iterator[tuple[str, Tensor]]:
    for name, update in updates.items():
        if name not in _inside_layers(shapes):
            raise UnknownTensorError(f"The base has no weight {name!r} in its layers to update.", name=name)
        rank = len(update.a_RD)
        if (tuple(update.b_FR.shape), tuple(update.a_RD.shape)) != ((shapes[name][0], rank), (rank, shapes[name][1])):
            raise EncodingError(
                f"The update of {name} has factors {tuple(update.b_FR.shape)} and {tuple(update.a_RD.shape)}; "
                f"the weight has shape {shapes[name]}."
            )
        order, target = layers.row_order(name, len(update.b_FR)), layers.name_of(name)
        yield f"{target}.lora_a", update.a_RD
        yield f"{target}.lora_b", update.b_FR if order is None else update.b_FR[order]


def _entries(tensors: Mapping[str, Tensor], kind: GgufType) -> Iterator[TensorEntry]:
    offset = 0
    for name, tensor in tensors.items():
        yield TensorEntry(name=name, shape=tuple(tensor.shape), type_id=int(kind), offset=offset)
        num_bytes = size_bytes(kind, num_weights=tensor.numel())
        offset += num_bytes + padding(num_bytes)
