"""llama.cpp's C interface by ctypes, from the shared library inside the `xllamacpp` wheel.

Theory of operation: the two parameter structures grow with every release, and the wheel promises nothing. So both are
opaque blobs larger than any release's structure: the library fills one with its defaults, we change the three oldest
fields at its start (n_ctx, n_batch, n_ubatch) and hand it back; the calling conventions of x86-64 and AArch64 pass a
structure of this size in memory, where the callee reads only what it knows. Threads are set by a function, not in the
blob. Before the first use the defaults are read: they must be the known ones at the known places, or nothing runs.
`llama_batch` has been the same for years and is checked through `llama_batch_get_one`.
"""

from __future__ import annotations

import ctypes
import importlib.util
import struct
from collections import deque
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from birdbone.models.llamacpp.errors import EngineMissingError, EngineSelfTestError

_WHEEL = "xllamacpp"
_KNOWN_DEFAULTS = {"n_ctx": 512, "n_batch": 2048, "n_ubatch": 512, "n_seq_max": 1}
_DEFAULT_THREADS = (4, 4)
_BLOB_BYTES = 1024
_KEPT_LOG_LINES = 40
_FIRST_LEVEL_OF_TROUBLE = 3  # ggml_log_level: 1 debug, 2 info, 3 warn, 4 error, 5 continued

LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class Batch(ctypes.Structure):
    """`struct llama_batch`: the tokens of one call and which of them want logits."""

    _fields_ = (
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    )


class Parameters(ctypes.Structure):
    """A parameter structure of unknown length, as the library filled it."""

    _fields_ = (("raw", ctypes.c_uint8 * _BLOB_BYTES),)

    def set_sizes(self, *, num_ctx: int, batch_size: int) -> None:
        """Set n_ctx, n_batch and n_ubatch, the first three fields of `llama_context_params`."""
        struct.pack_into("<3I", self.raw, 0, num_ctx, batch_size, batch_size)


_Pointer, _Int, _Text = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [LogCallback, _Pointer]),
    "llama_print_system_info": (_Text, []),
    "llama_model_default_params": (Parameters, []),
    "llama_context_default_params": (Parameters, []),
    "llama_model_load_from_file": (_Pointer, [_Text, Parameters]),
    "llama_model_free": (None, [_Pointer]),
    "llama_model_get_vocab": (_Pointer, [_Pointer]),
    "llama_model_n_ctx_train": (_Int, [_Pointer]),
    "llama_model_size": (ctypes.c_uint64, [_Pointer]),
    "llama_model_chat_template": (_Text, [_Pointer, _Text]),
    "llama_vocab_n_tokens": (_Int, [_Pointer]),
    "llama_init_from_model": (_Pointer, [_Pointer, Parameters]),
    "llama_free": (None, [_Pointer]),
    "llama_n_ctx": (ctypes.c_uint32, [_Pointer]),
    "llama_n_batch": (ctypes.c_uint32, [_Pointer]),
    "llama_set_n_threads": (None, [_Pointer, _Int, _Int]),
    "llama_n_threads": (_Int, [_Pointer]),
    "llama_get_memory": (_Pointer, [_Pointer]),
    "llama_memory_clear": (None, [_Pointer, ctypes.c_bool]),
    "llama_memory_seq_rm": (ctypes.c_bool, [_Pointer, _Int, _Int, _Int]),
    "llama_vocab_get_text": (_Text, [_Pointer, _Int]),
    "llama_vocab_bos": (_Int, [_Pointer]),
    "llama_vocab_eos": (_Int, [_Pointer]),
    "llama_vocab_get_add_bos": (ctypes.c_bool, [_Pointer]),
    "llama_detokenize": (
        _Int,
        [_Pointer, ctypes.POINTER(_Int), _Int, ctypes.c_char_p, _Int, ctypes.c_bool, ctypes.c_bool],
    ),
    "llama_batch_get_one": (Batch, [ctypes.POINTER(_Int), _Int]),
    "llama_decode": (_Int, [_Pointer, Batch]),
    "llama_synchronize": (None, [_Pointer]),
    "llama_get_logits": (ctypes.POINTER(ctypes.c_float), [_Pointer]),
    "llama_get_logits_ith": (ctypes.POINTER(ctypes.c_float), [_Pointer, _Int]),
    "llama_tokenize": (_Int, [_Pointer, _Text, _Int, ctypes.POINTER(_Int), _Int, ctypes.c_bool, ctypes.c_bool]),
}


class Library:
    """The loaded functions, and the last lines that llama.cpp logged as warnings or errors."""

    def __init__(self, handle: ctypes.CDLL) -> None:
        self._handle = handle
        self._lines: deque[str] = deque(maxlen=_KEPT_LOG_LINES)
        self._callback = LogCallback(self._keep_line)  # kept alive: the library calls it for as long as it is loaded
        for name, (result, arguments) in _SIGNATURES.items():
            _declare(handle, name, result, arguments)
        self.call("llama_log_set", self._callback, None)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the table of signatures."""
        return getattr(self._handle, name)(*arguments)

    def declare(self, name: str, result: Any, arguments: list[Any]) -> bool:
        """Add a function that not every build has; return whether this one does."""
        if not hasattr(self._handle, name):
            return False
        _declare(self._handle, name, result, arguments)
        return True

    def forget_log(self) -> None:
        """Drop the kept lines, so that the next ones belong to what comes next."""
        self._lines.clear()

    def log_lines(self) -> tuple[str, ...]:
        """Return the kept warnings and errors, oldest first."""
        return tuple(self._lines)

    def _keep_line(self, level: int, text: bytes, _user_data: object) -> None:
        if level >= _FIRST_LEVEL_OF_TROUBLE and (line := text.decode("utf-8", errors="replace").strip()):
            self._lines.append(line)


@cache
def load_library() -> Library:
    """Return the library, loaded once a process and tested before its first use.

    Raises:
        EngineMissingError: the wheel is not installed, or its library does not load here.
        EngineSelfTestError: the structures are not laid out as expected.
    """
    library = Library(_open(_library_path()))
    check_layout(library)
    library.call("llama_backend_init")
    return library


def check_layout(library: Library) -> None:
    """Compare the library's defaults with the known ones.

    Raises:
        EngineSelfTestError: names the first field that is not as expected.
    """
    parameters = library.call("llama_context_default_params")
    check_defaults(bytes(parameters.raw))
    tokens = (ctypes.c_int32 * 3)(5, 6, 7)
    batch = library.call("llama_batch_get_one", tokens, 3)
    if batch.n_tokens != 3 or list(batch.token[:3]) != [5, 6, 7] or batch.pos or batch.logits:
        raise EngineSelfTestError("llama.cpp's batch structure is not the one that this binding knows.")


def check_defaults(raw: bytes) -> None:
    """Check the default context parameters: four known values in front, the default threads not far behind.

    Raises:
        EngineSelfTestError: a value is another.
    """
    for (name, expected), found in zip(_KNOWN_DEFAULTS.items(), struct.unpack_from("<4I", raw, 0), strict=True):
        if found != expected:
            raise EngineSelfTestError(
                f"llama.cpp's default {name} reads {found} where {expected} was expected.", field=name
            )
    following = struct.unpack_from("<8i", raw, 16)
    if _DEFAULT_THREADS not in pairwise(following):
        raise EngineSelfTestError("llama.cpp's default thread counts are not where they were expected.")


def _library_path() -> Path:
    found = importlib.util.find_spec(_WHEEL)
    folders = [Path(folder) for folder in (found.submodule_search_locations or [])] if found else []
    libraries = sorted(file for folder in folders for file in folder.glob(f"{_WHEEL}*.so"))
    if not libraries:
        raise EngineMissingError("llama.cpp is not installed (the wheel `xllamacpp`).")
    return libraries[0]


def _open(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise EngineMissingError(
            f"llama.cpp's library does not load: {error}.",
            hint="Debian and Ubuntu: apt-get install libgomp1. Else: pip install --force-reinstall 'birdbone[gguf]'",
        ) from error


def _declare(handle: ctypes.CDLL, name: str, result: Any, arguments: list[Any]) -> None:
    try:
        function = getattr(handle, name)
    except AttributeError as error:
        raise EngineSelfTestError(f"This llama.cpp has no function {name}.", function=name) from error
    function.restype, function.argtypes = result, arguments
