"""Models: what they are made of, how they come in, how they run block by block, how they go out.

Owns: the description of each architecture, loading (starter, folder, file, hub) with its checks, saving as a Hugging
Face folder, running block by block, taking parts out, the choice of compute dtype and threads.
Needs: core. Torch, transformers, tokenizers, safetensors, huggingface_hub, gguf.

What is named here is imported when it is first asked for: torch and transformers take seconds, and a process that only
runs llama.cpp needs neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from birdbone.models.errors import (
    ArchitectureMismatchError,
    BlockShapeError,
    CorruptCheckpointError,
    HubUnreachableError,
    ModelError,
    ModelNotFoundError,
    NonFiniteWeightError,
    PickleRefusedError,
    StarterMissingError,
    SurgeryError,
    TokenizerMismatchError,
    TokenizerMissingError,
    UnsupportedArchitectureError,
)

if TYPE_CHECKING:
    from birdbone.models.architecture import (
        Architecture,
        Family,
        FusedRows,
        InputGroup,
        LayerLayout,
        LinearSlot,
        RopeSettings,
    )
    from birdbone.models.blocks import BlockContext, capture_block_inputs, finish_blocks, run_block
    from birdbone.models.dtype import (
        DtypeChoice,
        DtypeTiming,
        at_most_threads,
        choose_compute_dtype,
        compute_in,
        use_threads,
    )
    from birdbone.models.inspection import decoder_layers, describe_architecture, linear_modules
    from birdbone.models.loading import LoadedModel, load_model, load_tokenizer, require_finite, require_tokenizer_fits
    from birdbone.models.saving import save_model
    from birdbone.models.sources import STARTER, ModelSource, find_source
    from birdbone.models.surgery import LayerKeep, Shrunk, shrink_model

__all__ = [
    "STARTER",
    "Architecture",
    "ArchitectureMismatchError",
    "BlockContext",
    "BlockShapeError",
    "CorruptCheckpointError",
    "DtypeChoice",
    "DtypeTiming",
    "Family",
    "FusedRows",
    "HubUnreachableError",
    "InputGroup",
    "LayerKeep",
    "LayerLayout",
    "LinearSlot",
    "LoadedModel",
    "ModelError",
    "ModelNotFoundError",
    "ModelSource",
    "NonFiniteWeightError",
    "PickleRefusedError",
    "RopeSettings",
    "Shrunk",
    "StarterMissingError",
    "SurgeryError",
    "TokenizerMismatchError",
    "TokenizerMissingError",
    "UnsupportedArchitectureError",
    "at_most_threads",
    "capture_block_inputs",
    "choose_compute_dtype",
    "compute_in",
    "decoder_layers",
    "describe_architecture",
    "find_source",
    "finish_blocks",
    "linear_modules",
    "load_model",
    "load_tokenizer",
    "require_finite",
    "require_tokenizer_fits",
    "run_block",
    "save_model",
    "shrink_model",
    "use_threads",
]

_NAMES = {
    "architecture": ("Architecture", "Family", "FusedRows", "InputGroup", "LayerLayout", "LinearSlot", "RopeSettings"),
    "blocks": ("BlockContext", "capture_block_inputs", "finish_blocks", "run_block"),
    "dtype": ("DtypeChoice", "DtypeTiming", "choose_compute_dtype", "compute_in", "at_most_threads", "use_threads"),
    "inspection": ("decoder_layers", "describe_architecture", "linear_modules"),
    "loading": ("LoadedModel", "load_model", "load_tokenizer", "require_finite", "require_tokenizer_fits"),
    "saving": ("save_model",),
    "sources": ("STARTER", "ModelSource", "find_source"),
    "surgery": ("LayerKeep", "Shrunk", "shrink_model"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
