"""GGUF: a model as the one file that stock llama.cpp runs, written in pure Python.

Owns: the block formats, the container, the maps of names, keys and tokenizers, the atomic writer and the reader.
Needs: `birdbone.core`, torch, NumPy; the `gguf` package for the sizes of types that are only read.
The proof that a file says the same as the model it came from is in `birdbone.models.llamacpp`.
"""

from birdbone.models.gguf.blocks import (
    BLOCK_SIZE,
    GgufType,
    decode_blocks,
    encode_blocks,
    nearest_value,
    round_to_blocks,
    size_bytes,
)
from birdbone.models.gguf.errors import (
    CorruptGgufError,
    EncodingError,
    GgufError,
    TokenizerFitError,
    UnknownTensorError,
    UnsupportedExportError,
)
from birdbone.models.gguf.names import FAMILIES, GgufFamily, family_of, gguf_name, layer_of
from birdbone.models.gguf.pretokenizers import pre_tokenizer_name, restore_pre_tokenizer
from birdbone.models.gguf.reader import GgufSummary, GgufTensorInfo, read_gguf_summary, read_tensor_bytes
from birdbone.models.gguf.tensors import PackedTensor, QuantizedTensor, RoundedTensor, StateTensor, quantize_tensor
from birdbone.models.gguf.tokenizer import tokenizer_metadata
from birdbone.models.gguf.writer import GgufReport, write_gguf

__all__ = [
    "BLOCK_SIZE",
    "FAMILIES",
    "CorruptGgufError",
    "EncodingError",
    "GgufError",
    "GgufFamily",
    "GgufReport",
    "GgufSummary",
    "GgufTensorInfo",
    "GgufType",
    "PackedTensor",
    "QuantizedTensor",
    "RoundedTensor",
    "StateTensor",
    "TokenizerFitError",
    "UnknownTensorError",
    "UnsupportedExportError",
    "decode_blocks",
    "encode_blocks",
    "family_of",
    "gguf_name",
    "layer_of",
    "nearest_value",
    "pre_tokenizer_name",
    "quantize_tensor",
    "read_gguf_summary",
    "read_tensor_bytes",
    "restore_pre_tokenizer",
    "round_to_blocks",
    "size_bytes",
    "tokenizer_metadata",
    "write_gguf",
]
