"""INT4 without a recipe: export a model in 16 and in 4 bits, and let llama.cpp judge both files on the same text.

Run: `python examples/round_and_judge.py [MODEL] [NUM_WINDOWS]`. Needs the `gguf` extra.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from birdbone.data import load_corpus, token_windows
from birdbone.evaluate import paired_ratio
from birdbone.models import LoadedModel, load_model
from birdbone.models.gguf import GgufReport, GgufType, StateTensor, quantize_tensor, write_gguf
from birdbone.models.llamacpp import open_engine

WINDOW = 256


def main(arguments: list[str]) -> None:
    loaded = load_model(arguments[0] if arguments else "starter")
    num_windows = int(arguments[1]) if len(arguments) > 1 else 8
    windows_NT = cut_windows(loaded, num_windows)
    state = loaded.model.state_dict()
    with tempfile.TemporaryDirectory() as folder:
        dense = export(loaded, Path(folder) / "f16.gguf", state)
        light = export(loaded, Path(folder) / "int4.gguf", rounded(state))
        ratio = paired_ratio(judge(light.path, windows_NT), judge(dense.path, windows_NT), seed=0)
    print(f"bytes       {light.size_bytes / dense.size_bytes:.3f} of {dense.size_bytes:,}")
    print(f"perplexity  {ratio.value:.4f} of the 16-bit file's ({ratio.low:.4f} to {ratio.high:.4f})")


def cut_windows(loaded: LoadedModel, num_windows: int) -> NDArray[np.int64]:
    """Return held-out text as token ids, shape (N, T)."""
    return token_windows(load_corpus().heldout, loaded.encode, window=WINDOW, count=num_windows)


def rounded(state: Mapping[str, Tensor]) -> dict[str, StateTensor]:
    """Return the state with the decoder's matrices in Q4_0, plainly rounded."""
    return {
        name: quantize_tensor(tensor, GgufType.Q4_0) if tensor.ndim == 2 and ".layers." in name else tensor
        for name, tensor in state.items()
    }


def export(loaded: LoadedModel, path: Path, state: Mapping[str, StateTensor]) -> GgufReport:
    """Write a GGUF of the model with these weights."""
    return write_gguf(path, model_config=loaded.model.config, state_tensors=state, tokenizer=loaded.tokenizer)


def judge(path: Path, windows_NT: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the likelihood of each token in nats as llama.cpp sees it, shape (N, T - 1)."""
    with open_engine(path, num_ctx=windows_NT.shape[1], num_threads=1) as engine:
        return np.stack([engine.nll(window_T.tolist()) for window_T in windows_NT])


if __name__ == "__main__":
    main(sys.argv[1:])
