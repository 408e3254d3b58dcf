"""Handing llama.cpp a LoRA adapter. The two functions are newer than those that every build must have."""

from __future__ import annotations

import ctypes
from pathlib import Path

from birdbone.models.llamacpp.errors import EngineSelfTestError
from birdbone.models.llamacpp.library import Library

_POINTER = ctypes.c_void_p


def set_adapter(library: Library, *, model: int, context: int, path: Path, scale: float) -> bool:
    """Load the adapter and make it the only one of the context; return whether llama.cpp took it.

    The library frees it with the model.

    Raises:
        EngineSelfTestError: this llama.cpp has no adapters, or takes them in another way.
    """
    can_load = library.declare("llama_adapter_lora_init", _POINTER, [_POINTER, ctypes.c_char_p])
    arguments = [_POINTER, ctypes.POINTER(_POINTER), ctypes.c_size_t, ctypes.POINTER(ctypes.c_float)]
    if not can_load or not library.declare("llama_set_adapters_lora", ctypes.c_int32, arguments):
        raise EngineSelfTestError("This llama.cpp has no function that takes LoRA adapters.")
    adapter = library.call("llama_adapter_lora_init", model, str(path).encode())
    if not adapter:
        return False
    adapters, scales = (_POINTER * 1)(adapter), (ctypes.c_float * 1)(scale)
    return int(library.call("llama_set_adapters_lora", context, adapters, 1, scales)) == 0
