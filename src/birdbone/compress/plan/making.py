"""Carrying a plan out on a model in memory: cut, heal, round. Shapes: N windows, T tokens."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from birdbone.compress.config import FIRST_TOKEN_SHARE, BlockwiseConfig, PlanConfig, StoredType
from birdbone.compress.growth import DependencyGraph
from birdbone.compress.healing import heal_blocks
from birdbone.compress.plan.layout import Layout
from birdbone.compress.plan.techniques import Plan
from birdbone.compress.quantize import ChosenTypes, QuantizedModel, dequantized, round_ends, round_linears
from birdbone.compress.shedding.cutting import cut_model
from birdbone.compress.statistics import collect_statistics
from birdbone.models import Architecture, LoadedModel, describe_architecture
from birdbone.models.gguf import GgufReport, layer_of, write_gguf

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A model that a plan was carried out on: what is left of it, and its codes where it was rounded."""

    loaded: LoadedModel
    model: PreTrainedModel
    quantized: QuantizedModel | None

    def stored(self) -> PreTrainedModel:
        """Return the model as a file would hold it; without rounding that is the model itself."""
        return self.model if self.quantized is None else dequantized(self.model, self.quantized)

    def write(self, path: Path) -> GgufReport:
        """Write the file, whole or not at all.

        Raises:
            GgufError: GGUF has no form for the model.
            DiskFullError: no room.
        """
        codes = {} if self.quantized is None else dict(self.quantized.tensors)
        return write_gguf(
            path,
            model_config=self.model.config,
            state_tensors=self.model.state_dict() | codes,
            tokenizer=self.loaded.tokenizer,
            name=self.loaded.name,
            license_name=self.loaded.licence or "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Windows that plans are carried out with: calibration, and healing where a plan heals."""

    calibration_NT: Int[Tensor, "N T"]
    healing_NT: Int[Tensor, "N T"]


def make_plan(
    loaded: LoadedModel,
    graph: DependencyGraph,
    plan: Plan,
    layout: Layout,
    text: Text,
    config: PlanConfig,
    *,
    tell: Tell = lambda _what, _done, _total: None,
) -> Made:
    """Carry a plan out on a copy of the model, as its layout says, and return it.

    Raises:
        CompressError: a step could not be made on this text (see the steps).
    """
    model, windows_NT = copy.deepcopy(loaded.model), text.calibration_NT
    if layout.structures:
        is_refitted = any(structure.kind != "layer" for structure in layout.structures)
        fitted_NT = windows_NT if is_refitted else None  # where only layers go, nothing is left of a block to refit
        cut_model(model, graph, layout.structures, windows_NT=fitted_NT, progress=_part(tell, "cut and refit"))
    architecture = describe_architecture(model)
    if plan.heal is not None:
        heal_blocks(
            model,
            loaded.model,
            architecture,
            windows_NT=text.healing_NT,
            masks={},
            config=BlockwiseConfig(num_steps=plan.heal.num_steps),
            progress=_part(tell, "healing"),
        )
    if plan.bits is None:
        return Made(loaded=loaded, model=model, quantized=None)
    types = renumbered(layout.types)
    return Made(
        loaded=loaded, model=model, quantized=_round(model, architecture, types, layout, windows_NT, config, tell)
    )


def _round(
    model: PreTrainedModel,
    architecture: Architecture,
    types: Mapping[str, StoredType],
    layout: Layout,
    windows_NT: Tensor,
    config: PlanConfig,
    tell: Tell,
) -> QuantizedModel:
    statistics = collect_statistics(
        model,
        architecture,
        windows_NT,
        batch_size=1,
        first_token_share=FIRST_TOKEN_SHARE,
        progress=_part(tell, "activation statistics"),
    )
    tensors = round_linears(model, statistics, types=types, config=config.rounding, progress=_part(tell, "rounding"))
    tensors |= round_ends(model, architecture, statistics, kind=layout.embedding, config=config.rounding)
    return QuantizedModel(tensors=tensors, chosen=ChosenTypes(types=types), linears=())


def renumbered(types: Mapping[str, StoredType]) -> dict[str, StoredType]:
    """Return the types by the paths that linears have once the layers that went are counted no more."""
    kept = sorted({layer for path in types if (layer := layer_of(path)) is not None})
    places = {layer: place for place, layer in enumerate(kept)}
    moved = {}
    for path, kind in types.items():
        layer = layer_of(path)
        assert layer is not None, f"{path} lies in no layer"
        moved[path.replace(f".layers.{layer}.", f".layers.{places[layer]}.", 1)] = kind
    return moved


def _part(tell: Tell, what: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(what, done, total)
