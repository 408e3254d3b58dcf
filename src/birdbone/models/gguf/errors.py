"""Errors of the GGUF export.

```text
BirdboneError
└── GgufError                  models.gguf
    ├── UnsupportedExportError models.gguf_unsupported    a family, rope scaling or tokenizer without a GGUF form
    ├── UnknownTensorError     models.gguf_unknown_tensor a state-dict name that the family's map does not hold
    ├── TokenizerFitError      models.gguf_tokenizer_fit  the tokenizer does not fit the model's embedding
    ├── EncodingError          models.gguf_encoding       codes or scales that a block format cannot hold
    └── CorruptGgufError       models.gguf_corrupt        a file that is not a whole GGUF file
```
"""

from __future__ import annotations

from birdbone.core import BirdboneError, ErrorKind


class GgufError(BirdboneError):
    """The parent of every error of writing or reading a GGUF file."""

    code = "models.gguf"
    kind: ErrorKind = "invalid"


class UnsupportedExportError(GgufError):
    """The model or its tokenizer has no form in GGUF that stock llama.cpp runs."""

    code = "models.gguf_unsupported"


class UnknownTensorError(GgufError):
    """A tensor of the state dict has no place in this family's GGUF form; it is never dropped in silence."""

    code = "models.gguf_unknown_tensor"


class TokenizerFitError(GgufError):
    """The tokenizer has ids beyond the rows of the embedding, or two tokens with one id."""

    code = "models.gguf_tokenizer_fit"


class EncodingError(GgufError):
    """Codes, scales or weights that a block format cannot hold exactly."""

    code = "models.gguf_encoding"


class CorruptGgufError(GgufError):
    """The file is not GGUF, is cut short, or contradicts itself."""

    code = "models.gguf_corrupt"
    hint = "Export the model again, or fetch the file again: its bytes are not those of a whole GGUF file."
