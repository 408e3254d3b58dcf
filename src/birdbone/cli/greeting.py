"""Really loading a model out of the vault and letting it say something: the shortest proof that it works."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from birdbone.cli.errors import NotAModelError
from birdbone.models import load_model, use_threads
from birdbone.models.llamacpp import open_engine
from birdbone.vault import Vault, checkout, read_manifest, resolve_artefact
from birdbone.watch import choose_num_threads

PROMPT = "The bones of a bird are"
NUM_TOKENS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What a model said, greedily, after a prompt, and what ran it."""

    artefact: str
    engine: str
    num_weights: int
    prompt: str
    completion: str
    seconds: float


def greet(vault: Vault, name: str, *, num_tokens: int = NUM_TOKENS) -> Greeting:
    """Check a model out, load it in torch (a GGUF: in llama.cpp) and return its greedy completion of a fixed prompt.

    Raises:
        NotAModelError: what is called so is neither a model nor a GGUF file.
        VaultError, ModelError: it is not there, damaged, or cannot be loaded.
    """
    kind = read_manifest(vault, name).kind
    if kind not in ("model", "gguf"):
        raise NotAModelError(f"{name} is an artefact of the kind {kind!r}.")
    started_at = time.monotonic()
    num_threads = choose_num_threads()
    use_threads(num_threads)
    with tempfile.TemporaryDirectory(prefix="birdbone-") as scratch:
        folder = checkout(vault, name, Path(scratch) / "model")
        loaded = load_model(str(folder))
        if kind == "gguf":
            completion = _complete_in_llamacpp(next(folder.glob("*.gguf")), loaded.tokenizer, num_tokens, num_threads)
        else:
            completion = _complete_in_torch(loaded.model, loaded.tokenizer, num_tokens)
    return Greeting(
        artefact=resolve_artefact(vault, name),
        engine="llama.cpp" if kind == "gguf" else "torch",
        num_weights=int(loaded.model.num_parameters()),
        prompt=PROMPT,
        completion=completion,
        seconds=time.monotonic() - started_at,
    )


def _complete_in_torch(model: Any, tokenizer: Any, num_tokens: int) -> str:
    inputs = tokenizer(PROMPT, return_tensors="pt")
    ids = inputs["input_ids"]
    generated = model.generate(ids, attention_mask=inputs["attention_mask"], max_new_tokens=num_tokens, do_sample=False)
    return str(tokenizer.decode(generated[0, ids.shape[1] :], skip_special_tokens=True))


def _complete_in_llamacpp(path: Path, tokenizer: Any, num_tokens: int, num_threads: int) -> str:
    with open_engine(path, num_ctx=256, num_threads=num_threads) as engine:
        ids = engine.tokenize(PROMPT, add_special=True)
        generated = engine.generate_greedy(ids, num_tokens)
    return str(tokenizer.decode(generated, skip_special_tokens=True))
