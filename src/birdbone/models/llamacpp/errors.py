"""Errors of the llama.cpp engine.

```text
BirdboneError
└── EngineError                 models.engine
    ├── EngineMissingError      models.engine_missing     the wheel is not installed, or its library does not load
    ├── EngineSelfTestError     models.engine_self_test   the library is not the one that this binding was written for
    ├── EngineRefusedModelError models.engine_refused     llama.cpp does not take the file; carries its own last words
    └── EngineInputError        models.engine_input       tokens beyond the vocabulary or the context
```
"""

from __future__ import annotations

from birdbone.core import BirdboneError, ErrorKind


class EngineError(BirdboneError):
    """The parent of every error of the llama.cpp engine."""

    code = "models.engine"
    kind: ErrorKind = "internal"


class EngineMissingError(EngineError):
    """llama.cpp is not here."""

    code = "models.engine_missing"
    kind: ErrorKind = "unavailable"
    hint = "pip install 'birdbone[gguf]'"


class EngineSelfTestError(EngineError):
    """The library's structures are not laid out as this binding expects; nothing was run."""

    code = "models.engine_self_test"
    kind: ErrorKind = "unavailable"
    hint = "Install the pinned wheel again: pip install --force-reinstall 'birdbone[gguf]'"


class EngineRefusedModelError(EngineError):
    """llama.cpp refused a file; `fields["engine_log"]` holds its last lines."""

    code = "models.engine_refused"
    kind: ErrorKind = "invalid"


class EngineInputError(EngineError):
    """Token ids that the model does not have, or more of them than the context holds."""

    code = "models.engine_input"
    kind: ErrorKind = "invalid"
