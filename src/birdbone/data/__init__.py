"""Text: where it comes from, its three splits, and its windows of token ids.

Owns: the bundled public-domain corpus, the readers of .txt, .jsonl, .parquet and hub datasets, the split into
calibration, healing and held-out text, the cutting of windows. Needs: `core`, numpy, pyarrow, huggingface_hub.
No torch and no tokenizer: what turns text into ids is passed in.
"""

from birdbone.data.config import BUNDLED, DataConfig
from birdbone.data.corpus import Corpus, load_corpus, make_corpus
from birdbone.data.errors import (
    BadRecordError,
    DataError,
    DataNotFoundError,
    HubUnreachableError,
    MissingFieldError,
    NotUtf8Error,
    TooLittleTextError,
    UnknownFormatError,
)
from birdbone.data.hub import HubDataset, find_hub_dataset
from birdbone.data.readers import SUFFIXES, read_documents
from birdbone.data.sources import MIN_CHARACTERS, load_texts
from birdbone.data.splits import Split, Splits, split_documents, split_of
from birdbone.data.windows import token_windows, windows_digest

__all__ = [
    "BUNDLED",
    "MIN_CHARACTERS",
    "SUFFIXES",
    "BadRecordError",
    "Corpus",
    "DataConfig",
    "DataError",
    "DataNotFoundError",
    "HubDataset",
    "HubUnreachableError",
    "MissingFieldError",
    "NotUtf8Error",
    "Split",
    "Splits",
    "TooLittleTextError",
    "UnknownFormatError",
    "find_hub_dataset",
    "load_corpus",
    "load_texts",
    "make_corpus",
    "read_documents",
    "split_documents",
    "split_of",
    "token_windows",
    "windows_digest",
]
