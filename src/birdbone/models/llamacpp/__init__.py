"""llama.cpp, the engine that judges exported files, bound by ctypes from the `xllamacpp` wheel (extra `gguf`).

Owns: the loaded library and its self-test, an open model (`LlamaCpp`), a text's likelihood in a file, the comparison of
tokenizers.
Needs: `birdbone.core`, NumPy; the wheel only when `open_engine` or `system_info` is called.
"""

from birdbone.models.llamacpp.engine import DecodeRate, LlamaCpp, open_engine, system_info
from birdbone.models.llamacpp.errors import (
    EngineError,
    EngineInputError,
    EngineMissingError,
    EngineRefusedModelError,
    EngineSelfTestError,
)
from birdbone.models.llamacpp.likelihoods import file_nll
from birdbone.models.llamacpp.truth import TokenMismatch, compare_tokenizers, probe_strings

__all__ = [
    "DecodeRate",
    "EngineError",
    "EngineInputError",
    "EngineMissingError",
    "EngineRefusedModelError",
    "EngineSelfTestError",
    "LlamaCpp",
    "TokenMismatch",
    "compare_tokenizers",
    "file_nll",
    "open_engine",
    "probe_strings",
    "system_info",
]
