"""From what a person named to a judge of it, and to the digest under which its results are kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from birdbone.core.digest import digest_file, digest_json
from birdbone.evaluate.benchmarks.endpoint_judge import EndpointJudge, open_endpoint
from birdbone.evaluate.benchmarks.judge import Judge
from birdbone.evaluate.benchmarks.llamacpp_judge import LlamaCppJudge
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.evaluate.errors import BadSettingError
from birdbone.models import ModelSource, choose_compute_dtype, find_source, load_model, load_tokenizer, use_threads
from birdbone.models.llamacpp import open_engine

Engine = Literal["torch", "llama.cpp"]
"""What runs the model here."""
Dtype = Literal["auto", "float32", "bfloat16"]

_FILES_BESIDE_WEIGHTS = ("*.json", "*.model", "*.txt", "*.jinja")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model of this machine that is to be judged."""

    spec: str
    name: str
    source: ModelSource
    artefact: str
    """Digest of its files."""
    engine: Engine
    dtype: str
    """Number format of the computation in torch."""

    @property
    def settings(self) -> dict[str, Any]:
        """What its judge's settings will be: the cache is asked before the judge is open."""
        return {"engine": "torch", "dtype": self.dtype} if self.engine == "torch" else {"engine": self.engine}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A model behind an OpenAI-compatible service that is to be judged. What runs there may change: nothing is kept."""

    url: str
    """Up to and with `/v1`."""
    model: str
    """The model's name there."""
    tokenizer: str
    """A model of this machine, or the hub, whose tokenizer it has."""
    num_ctx: int = 2048
    """Tokens that the service takes in one sequence."""
    api_key: str = ""

    @property
    def name(self) -> str:
        """Who is judged, for people."""
        return f"{self.model} at {self.url}"

    @property
    def artefact(self) -> str:
        """Digest of the address and the name: the weights are not known."""
        return digest_json({"url": self.url, "model": self.model})

    @property
    def engine(self) -> str:
        """What its results say ran the model."""
        return "endpoint"

    @property
    def settings(self) -> dict[str, Any]:
        """What its judge's settings will be."""
        return {"engine": "endpoint", "url": self.url.rstrip("/"), "model": self.model}


def find_candidate(spec: str, *, engine: Engine | None = None, dtype: Dtype = "auto") -> Candidate:
    """Return what is to be judged; a GGUF file runs in llama.cpp, all else in torch, unless `engine` says otherwise.

    Args:
        dtype: of the computation in torch; `auto` is bfloat16 where this machine is faster in it, else float32.

    Raises:
        ModelError: there is no such model.
        BadSettingError: llama.cpp is to run what is no GGUF file.
    """
    source = find_source(spec)
    chosen: Engine = engine or ("llama.cpp" if source.kind == "gguf" else "torch")
    if chosen == "llama.cpp" and source.kind != "gguf":
        raise BadSettingError(f"llama.cpp runs a .gguf file; {spec} is none.", hint="Judge it in torch, or export it.")
    if dtype == "auto":
        dtype = "bfloat16" if choose_compute_dtype().dtype == torch.bfloat16 else "float32"
    return Candidate(
        spec=spec, name=source.name, source=source, artefact=_digest_of(source), engine=chosen, dtype=dtype
    )


@contextmanager
def open_judge(candidate: Candidate | Service, *, num_threads: int, num_ctx: int = 4096) -> Iterator[Judge]:
    """Give the judge of a candidate, on so many threads.

    Args:
        num_ctx: tokens that llama.cpp is opened for; torch takes what the model does.

    Raises:
        ModelError: the model cannot be loaded.
        EndpointError, NoLogprobsError: the service cannot be judged.
    """
    if isinstance(candidate, Service):
        yield _open_service(candidate)
        return
    if candidate.engine == "llama.cpp":
        path = candidate.source.file
        assert path is not None, "a file that llama.cpp runs is a file"
        with open_engine(path, num_ctx=num_ctx, num_threads=num_threads) as engine:
            yield LlamaCppJudge(engine)
        return
    before = use_threads(num_threads)
    try:
        loaded = load_model(candidate.spec, dtype=getattr(torch, candidate.dtype))
        yield TorchJudge(loaded.model, loaded.tokenizer, dtype=getattr(torch, candidate.dtype))
    finally:
        use_threads(before)


def _open_service(service: Service) -> EndpointJudge:
    return open_endpoint(
        service.url,
        model=service.model,
        tokenizer=load_tokenizer(service.tokenizer),
        num_ctx=service.num_ctx,
        api_key=service.api_key,
    )


def _digest_of(source: ModelSource) -> str:
    """Return the digest of the files that are loaded: of several weights in a folder, those that were named."""
    if source.kind == "gguf":
        assert source.file is not None, "a GGUF is one file"
        return digest_file(source.file)
    weights = [source.file] if source.file is not None else sorted(source.folder.glob("*.safetensors"))
    others = sorted({path for pattern in _FILES_BESIDE_WEIGHTS for path in source.folder.glob(pattern)})
    return digest_json({path.name: digest_file(path) for path in (*weights, *others)})
