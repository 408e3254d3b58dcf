"""What steps take from the vault and put into it: models, tensors, arrays, single files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from birdbone.core import Measurement
from birdbone.data import DataConfig, load_texts, token_windows
from birdbone.evaluate.perplexity import Perplexity, perplexity_from_nll, token_nll
from birdbone.models import LoadedModel, compute_in, load_model, save_model
from birdbone.models.tensors import read_tensors, write_tensors
from birdbone.pipeline.context import StepContext
from birdbone.vault import Lineage, Version, checkout, commit, put_file, put_folder


def take_model(context: StepContext, artefact: str) -> LoadedModel:
    """Return the model that the vault holds under a digest, every byte checked, loaded in float32."""
    folder = checkout(context.vault, artefact, context.scratch / f"model-{artefact[-12:]}")
    loaded = load_model(str(folder))
    shutil.rmtree(folder)
    return loaded


def keep_model(context: StepContext, model: PreTrainedModel, tokenizer: Any, *, base: str | None = None) -> str:
    """Put a model (weights, configuration, tokenizer) into the vault and return its digest.

    `base` is the artefact that it was made from: the vault keeps what changed.
    """
    folder = save_model(model, tokenizer, context.scratch / "kept-model")
    digest = put_folder(context.vault, folder, kind="model", base=base)
    shutil.rmtree(folder)
    return digest


def keep_tensors(context: StepContext, name: str, tensors: Mapping[str, Any]) -> str:
    """Put named tensors into the vault as one safetensors file and return the digest."""
    path = context.scratch / f"{name}.safetensors"
    write_tensors(path, tensors)
    digest = put_file(context.vault, path, kind=name)
    path.unlink()
    return digest


def take_tensors(context: StepContext, name: str) -> dict[str, Any]:
    """Return the tensors that an earlier step kept under `name`."""
    path = take_file(context, name)
    tensors = read_tensors(path)
    shutil.rmtree(path.parent)
    return tensors


def keep_arrays(context: StepContext, name: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Put named arrays into the vault, one .npy each, and return the digest."""
    folder = context.scratch / f"kept-{name}"
    folder.mkdir()
    for key, array in arrays.items():
        np.save(folder / f"{key}.npy", array, allow_pickle=False)
    digest = put_folder(context.vault, folder, kind=name)
    shutil.rmtree(folder)
    return digest


def take_array(context: StepContext, name: str, key: str) -> NDArray[Any]:
    """Return one of the arrays that an earlier step kept under `name`."""
    folder = checkout(context.vault, context.artefacts[name], context.scratch / f"taken-{name}-{key}")
    array: NDArray[Any] = np.load(folder / f"{key}.npy", allow_pickle=False)
    shutil.rmtree(folder)
    return array


def take_file(context: StepContext, name: str) -> Path:
    """Return the path of a one-file artefact, checked out into the step's scratch folder once."""
    folder = context.scratch / f"file-{name}-{context.artefacts[name][-12:]}"
    if not folder.exists():
        checkout(context.vault, context.artefacts[name], folder)
    return next(path for path in folder.iterdir() if path.is_file())


def cut_windows(data: DataConfig, loaded: LoadedModel) -> tuple[dict[str, NDArray[np.int64]], str]:
    """Return the windows of each split as token ids (N, T), without special tokens, and the digest of the corpus."""
    corpus = load_texts(data.source, text_field=data.text_field, max_characters=data.max_characters)
    counts = {
        "calibration": data.num_calibration_windows,
        "healing": data.num_healing_windows,
        "heldout": data.num_heldout_windows,
    }
    windows = {
        split: token_windows(getattr(corpus, split), loaded.encode, window=data.window, count=count)
        for split, count in counts.items()
    }
    return windows, corpus.digest


def judge_in_torch(context: StepContext, loaded: LoadedModel) -> tuple[NDArray[np.float64], Perplexity]:
    """Return the likelihood of every held-out token in nats (N, T - 1), and the perplexity with its interval."""
    heldout_NT = take_array(context, "windows", "heldout")
    with compute_in(context.recipe.dtype):
        nll_NT = token_nll(
            loaded.model,
            heldout_NT,
            batch_size=context.recipe.evaluate.batch_size,
            progress=context.progress("held-out perplexity"),
        )
    return nll_NT, summarise(context, nll_NT)


def summarise(context: StepContext, nll_NT: NDArray[np.float64]) -> Perplexity:
    """Return the perplexity of per-token likelihoods with its interval, by the recipe's bootstrap."""
    settings = context.recipe.evaluate
    generator = np.random.default_rng(settings.seed)
    return perplexity_from_nll(nll_NT, generator=generator, num_resamples=settings.num_resamples)


def run_branch(context: StepContext) -> str:
    """Return the name of the run's own branch in the vault; its versions are the dense model and the waves."""
    return f"runs/{context.run_id}"


def commit_state(
    context: StepContext, artefact: str, *, message: str, figures: tuple[Measurement, ...] = ()
) -> Version:
    """Commit a state of the model on the run's own branch and return the version."""
    return commit(
        context.vault,
        artefact,
        ref=run_branch(context),
        message=message,
        measurements=figures,
        lineage=Lineage(run_id=context.run_id, step=context.label, datasets=(context.artefacts["windows"],)),
    )
