"""Rounding every matrix of a model, and what that came to. Shapes: F out_features, D in_features, V vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import RoundingConfig, StoredType
from birdbone.compress.quantize.linear import quantize_linear
from birdbone.compress.quantize.mixed import stored_bytes
from birdbone.compress.quantize.output_error import relative_output_error
from birdbone.compress.statistics import InputStatistics
from birdbone.models import Architecture
from birdbone.models.ggml_encoder import encode_tensor
from birdbone.models.gguf import GgufType, RoundedTensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearImpact:
    """What storing one linear as its type does.

    Attributes:
        path: of the linear.
        size_bytes: of its weight in the file.
        relative_error: squared error of its output as a share of the output's power, on calibration text.
    """

    path: str
    role: str
    layer: int
    type: StoredType
    num_weights: int
    size_bytes: int
    relative_error: float

    @property
    def bits_per_weight(self) -> float:
        """Bits a weight, scales and mins included."""
        return 8 * self.size_bytes / self.num_weights


def round_linears(
    model: PreTrainedModel,
    statistics: Mapping[str, InputStatistics],
    *,
    types: Mapping[str, StoredType],
    config: RoundingConfig,
    masks: Mapping[str, Bool[Tensor, "F D"]] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, RoundedTensor]:
    """Return every linear whose type has blocks on its grid, by the weight's name; the model is not changed.

    Args:
        statistics: of each linear's inputs, by its path.
        types: of each linear, by its path; `f16` leaves a linear out.
        masks: by path, True where a weight survives.
        progress: called with linears done and linears in all.

    Raises:
        BlockWidthError, WeightRangeError, SingularGramError: as `quantize_linear` says.
    """
    masks = masks or {}
    kinds = {path: GgufType[kind.upper()] for path, kind in types.items() if kind != "f16"}
    rounded = {}
    for number, (path, kind) in enumerate(kinds.items(), start=1):
        w_FD = model.get_parameter(f"{path}.weight").detach()
        rounded[f"{path}.weight"] = quantize_linear(
            w_FD, statistics[path], kind=kind, mask_FD=masks.get(path), config=config
        )
        progress(number, len(kinds))
    return rounded


def round_ends(
    model: PreTrainedModel,
    architecture: Architecture,
    statistics: Mapping[str, InputStatistics],
    *,
    kind: StoredType,
    config: RoundingConfig,
) -> dict[str, RoundedTensor]:
    """Return the head, rounded for what it reads, and the embedding, which is the same tensor where it is tied.

    Nothing for a type without blocks.
    """
    if kind == "f16":
        return {}
    stored = GgufType[kind.upper()]
    owner = architecture.embedding if architecture.is_embedding_tied else architecture.head
    own = config.model_copy(update={"damping": config.head_damping})
    head_VD = model.get_parameter(f"{owner}.weight").detach()
    head = quantize_linear(head_VD, statistics[architecture.head], kind=stored, mask_FD=None, config=own)
    if architecture.is_embedding_tied:
        return {f"{owner}.weight": head}
    name = f"{architecture.embedding}.weight"
    return {f"{owner}.weight": head, name: encode_tensor(model.get_parameter(name).detach(), stored)}


def weigh_linears(
    model: PreTrainedModel,
    architecture: Architecture,
    statistics: Mapping[str, InputStatistics],
    *,
    types: Mapping[str, StoredType],
    rounded: Mapping[str, RoundedTensor],
) -> tuple[LinearImpact, ...]:
    """Return bytes and output error of every linear, in the order in which they run.

    Args:
        model: holding the weights before rounding.
        types: of each linear, by its path.
        rounded: by the weight's name; a linear that is not among them is stored in half precision.
    """
    impacts = []
    for layer in architecture.layers:
        for slot in layer.linears:
            name = f"{slot.path}.weight"
            w_FD = model.get_parameter(name).detach().float()
            stored_FD = rounded[name].dequantize() if name in rounded else w_FD.half().float()
            impacts.append(
                LinearImpact(
                    path=slot.path,
                    role=slot.role,
                    layer=layer.index,
                    type=types[slot.path],
                    num_weights=w_FD.numel(),
                    size_bytes=stored_bytes(slot, types[slot.path]),
                    relative_error=relative_output_error(w_FD, stored_FD, statistics[slot.path].gram_DD),
                )
            )
    return tuple(impacts)
