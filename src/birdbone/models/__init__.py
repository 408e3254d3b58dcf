"""Models: what they are made of, how they come in, how they run block by block, how they go out.

Owns: the description of each architecture, loading (starter, folder, file, hub) with its checks, saving as a Hugging
Face folder, running block by block, the choice of compute dtype and threads.
Needs: core. Torch, transformers, tokenizers, safetensors, huggingface_hub, gguf.
"""

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
    choose_compute_dtype,
    compute_in,
    is_waiting_passive,
    use_threads,
)
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
    TokenizerMismatchError,
    TokenizerMissingError,
    UnsupportedArchitectureError,
)
from birdbone.models.inspection import decoder_layers, describe_architecture, linear_modules
from birdbone.models.loading import LoadedModel, load_model, load_tokenizer, require_finite, require_tokenizer_fits
from birdbone.models.saving import save_model
from birdbone.models.sources import STARTER, ModelSource, find_source

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
    "LayerLayout",
    "LinearSlot",
    "LoadedModel",
    "ModelError",
    "ModelNotFoundError",
    "ModelSource",
    "NonFiniteWeightError",
    "PickleRefusedError",
    "RopeSettings",
    "StarterMissingError",
    "TokenizerMismatchError",
    "TokenizerMissingError",
    "UnsupportedArchitectureError",
    "capture_block_inputs",
    "choose_compute_dtype",
    "compute_in",
    "decoder_layers",
    "describe_architecture",
    "find_source",
    "finish_blocks",
    "is_waiting_passive",
    "linear_modules",
    "load_model",
    "load_tokenizer",
    "require_finite",
    "require_tokenizer_fits",
    "run_block",
    "save_model",
    "use_threads",
]
