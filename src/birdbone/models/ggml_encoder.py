"""Rounding to the K and IQ types of llama.cpp, by ggml's own encoder where its library is installed.

Theory of operation. The wheel that runs llama.cpp exports `ggml_quantize_chunk`, which takes rows of floats and an
importance of each column. It is no promised interface, so it is tried before its first use: Q4_0 must come out as our
own encoder makes it, bit for bit, and a type that is asked for must have the block size that `gguf` names and decode
there to what was put in. What fails, or a machine without the wheel, falls to `gguf.kquants`, which knows four types.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Literal

import numpy as np
import torch
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray
from torch import Tensor

from birdbone.models.gguf import (
    EncodingError,
    GgufType,
    PackedTensor,
    QuantizedTensor,
    RoundedTensor,
    decode_blocks,
    encode_blocks,
    quantize_tensor,
)
from birdbone.models.gguf.kquants import PURE_KINDS, round_to_kquants
from birdbone.models.llamacpp import EngineError
from birdbone.models.llamacpp.library import Library, load_library

Encoder = Literal["ggml", "torch"]

# Largest relative squared error of gaussian rows that a sound encoder makes, twice what was measured.
_ERROR_BOUNDS = {
    GgufType.Q2_K: 0.18,
    GgufType.Q3_K: 0.046,
    GgufType.Q4_K: 0.011,
    GgufType.Q5_K: 0.0027,
    GgufType.Q6_K: 0.0007,
    GgufType.IQ2_S: 0.15,
    GgufType.IQ3_XXS: 0.1,
    GgufType.IQ3_S: 0.06,
    GgufType.IQ4_NL: 0.012,
    GgufType.IQ4_XS: 0.012,
}
_FALLBACKS = {
    GgufType.Q4_K: GgufType.Q5_0,
    GgufType.Q5_K: GgufType.Q5_1,
    GgufType.Q6_K: GgufType.Q8_0,
}


def type_for_width(kind: GgufType, width: int) -> GgufType:
    """Return the type that llama.cpp's own quantizer takes for a matrix of that width when `kind` is wanted.

    `kind` itself where its blocks divide the width; else a type of blocks of 32 (Q5_0 for Q4_K, Q5_1 for Q5_K, Q8_0 for
    Q6_K, IQ4_NL for the smaller ones); F16 where not even 32 divides it.
    """
    if width % kind.block_size == 0:
        return kind
    smaller = _FALLBACKS.get(kind, GgufType.IQ4_NL)
    return smaller if kind.is_packed and width % smaller.block_size == 0 else GgufType.F16


def encoder_of(kind: GgufType) -> Encoder | None:
    """Return what encodes a K or IQ type on this machine, or None if nothing does."""
    if _is_encoded_by_ggml(kind):
        return "ggml"
    return "torch" if kind.name in PURE_KINDS else None


def encode_tensor(weights_FD: Tensor, kind: GgufType, *, importance_D: Tensor | None = None) -> RoundedTensor:
    """Return the weights on the grid of any quantized type, rounded to nearest with what the inputs weigh.

    Args:
        weights_FD: a matrix, finite. Not changed.
        kind: a type of plain codes with even steps ignores the importance (see `birdbone.compress.quantize` for those).
        importance_D: mean square of each input: what ggml calls the imatrix.

    Raises:
        EncodingError: the width does not divide into blocks, a value is not finite, or nothing here encodes the type.
    """
    if not kind.is_packed and not kind.code_values:
        return quantize_tensor(weights_FD, kind)
    _check(weights_FD, kind, importance_D)
    match encoder_of(kind):
        case "ggml":
            return _as_tensor(
                kind, _quantize_chunk(load_library(), kind, _floats(weights_FD), _importance(importance_D))
            )
        case "torch":
            return _as_tensor(kind, round_to_kquants(kind, weights_FD, importance_D).numpy())
        case None:
            raise EncodingError(
                f"Nothing on this machine encodes {kind.name}.",
                hint=f"pip install 'birdbone[gguf]', or take one of {', '.join(PURE_KINDS)}.",
            )


def _as_tensor(kind: GgufType, data_FN: NDArray[np.uint8]) -> RoundedTensor:
    if kind.is_packed:
        return PackedTensor(type=kind, data_FN=torch.from_numpy(data_FN))
    codes_FD, scales_FG, _ = decode_blocks(kind, data_FN)
    return QuantizedTensor(type=kind, codes=codes_FD, scales=scales_FG)


def _check(weights_FD: Tensor, kind: GgufType, importance_D: Tensor | None) -> None:
    if weights_FD.ndim != 2 or weights_FD.shape[1] % kind.block_size:
        instead = type_for_width(kind, weights_FD.shape[-1]).name
        raise EncodingError(
            f"{kind.name} has blocks of {kind.block_size}; shape {tuple(weights_FD.shape)} does not divide into them.",
            hint=f"llama.cpp takes {instead} there (`type_for_width`); or choose another width.",
        )
    if not bool(torch.isfinite(weights_FD).all()):
        raise EncodingError(f"A tensor of shape {tuple(weights_FD.shape)} has a NaN or infinite weight.")
    if importance_D is not None and importance_D.shape != weights_FD.shape[1:]:
        raise EncodingError(f"{weights_FD.shape[1]} columns want as many importances, not {tuple(importance_D.shape)}.")


def _floats(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().cpu().float().numpy())


def _importance(importance_D: Tensor | None) -> NDArray[np.float32] | None:
    """Return what ggml may divide by: a block whose importance is zero would come out as NaN."""
    if importance_D is None:
        return None
    values = _floats(importance_D)
    return np.maximum(values, max(float(values.max()) * 1e-7, 1e-20)).astype(np.float32)


def _quantize_chunk(
    library: Library, kind: GgufType, weights_FD: NDArray[np.float32], importance_D: NDArray[np.float32] | None
) -> NDArray[np.uint8]:
    num_rows, num_columns = weights_FD.shape
    data = np.empty((num_rows, num_columns // kind.block_size * kind.block_bytes), dtype=np.uint8)
    written = library.call(
        "ggml_quantize_chunk", int(kind), _pointer(weights_FD), _pointer(data), 0, num_rows, num_columns,
        None if importance_D is None else _pointer(importance_D),
    )  # fmt: skip
    if written != data.nbytes:
        raise EncodingError(f"ggml wrote {written} bytes of {kind.name} where {data.nbytes} were expected.")
    return data


def _pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@cache
def _is_encoded_by_ggml(kind: GgufType) -> bool:
    """Return whether the library of this process encodes a type rightly; ggml prepares some types for seconds."""
    library = _tested_library()
    return library is not None and kind in _ERROR_BOUNDS and _is_sound(library, kind, _sample())


@cache
def _tested_library() -> Library | None:
    """Return the library if its encoder is the one we know; None without the wheel."""
    try:
        library = load_library()
    except EngineError:
        return None
    pointer, long = ctypes.c_void_p, ctypes.c_int64
    arguments = [ctypes.c_int, pointer, pointer, long, long, long, pointer]
    if not library.declare("ggml_quantize_chunk", ctypes.c_size_t, arguments):
        return None
    if not library.declare("ggml_row_size", ctypes.c_size_t, [ctypes.c_int, long]):
        return None
    return library if _is_our_q4_0(library, _sample()) else None


def _sample() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((4, 512)).astype(np.float32)


def _is_our_q4_0(library: Library, sample_FD: NDArray[np.float32]) -> bool:
    ours = quantize_tensor(torch.from_numpy(sample_FD), GgufType.Q4_0)
    expected = encode_blocks(GgufType.Q4_0, codes_FD=ours.codes, scales_FG=ours.scales)
    return bool(np.array_equal(_quantize_chunk(library, GgufType.Q4_0, sample_FD, None), expected))


def _is_sound(library: Library, kind: GgufType, sample_FD: NDArray[np.float32]) -> bool:
    """Return whether the type has the size that we know, and what is encoded comes back."""
    theirs = GGMLQuantizationType(int(kind))
    if GGML_QUANT_SIZES[theirs] != (kind.block_size, kind.block_bytes):
        return False
    if library.call("ggml_row_size", int(kind), kind.block_size) != kind.block_bytes:
        return False
    ones_D = np.ones(sample_FD.shape[1], dtype=np.float32)
    for importance_D in (None, ones_D):
        error_FD = dequantize(_quantize_chunk(library, kind, sample_FD, importance_D), theirs) - sample_FD
        if not (error_FD**2).mean() < _ERROR_BOUNDS[kind] * (sample_FD**2).mean():
            return False
    return True
