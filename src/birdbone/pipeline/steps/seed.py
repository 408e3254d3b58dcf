"""The step `seed`: the model is stored, loaded again and measured before anything is done to it."""

from __future__ import annotations

from typing import Any

from birdbone.evaluate import paired_ratio
from birdbone.models import LoadedModel, load_model
from birdbone.models.gguf import write_gguf
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import SeedStep
from birdbone.pipeline.steps.engines import file_figures, nll_in_llamacpp
from birdbone.pipeline.steps.materials import (
    commit_state,
    cut_windows,
    judge_in_torch,
    keep_arrays,
    keep_model,
    summarise,
    take_array,
    take_model,
)
from birdbone.vault import put_file


def run(context: StepContext, _settings: SeedStep) -> StepResult:
    """Store the dense model, its F16 GGUF and the windows; measure both, and how far apart the two engines are."""
    context.progress("loading the model")(0, 1)
    source = load_model(context.recipe.model)
    windows, corpus_digest = cut_windows(context.recipe.data, source)
    artefacts = {
        "dense": keep_model(context, source.model, source.tokenizer),
        "windows": keep_arrays(context, "windows", windows),
    }
    notes = _notes(source, corpus_digest)
    del source
    context = context.with_artefacts(artefacts)
    loaded = take_model(context, artefacts["dense"])
    nll_NT, perplexity = judge_in_torch(context, loaded)
    figures = [perplexity.measurement(artefact=artefacts["dense"], name="perplexity")]
    arrays = {"dense": nll_NT}
    if context.recipe.step("export") is not None:
        path = context.scratch / "dense-f16.gguf"
        report = write_gguf(
            path,
            model_config=loaded.model.config,
            state_tensors=loaded.model.state_dict(),
            tokenizer=loaded.tokenizer,
            name=loaded.name,
            license_name=loaded.licence or "",
        )
        artefacts["dense_gguf"] = put_file(context.vault, path, kind="gguf")
        context = context.with_artefacts(artefacts)
        arrays["dense_gguf"] = nll_in_llamacpp(context, path, take_array(context, "windows", "heldout"))
        ratio = paired_ratio(arrays["dense_gguf"], nll_NT, seed=context.recipe.evaluate.seed)
        engine_figure = summarise(context, arrays["dense_gguf"])
        digest = artefacts["dense_gguf"]
        figures += [
            engine_figure.measurement(artefact=digest, name="perplexity_gguf"),
            ratio.measurement(artefact=digest, name="engine_ratio"),
            *file_figures(report, artefact=digest),
        ]
        notes["num_weights"] = report.num_weights
    version = commit_state(
        context, artefacts["dense"], message=f"{context.recipe.model} as it came", figures=tuple(figures[:1])
    )
    notes["version"] = version.id
    artefacts["likelihoods"] = keep_arrays(context, "likelihoods", arrays)
    return StepResult(artefacts=artefacts, measurements=tuple(figures), notes=notes)


def _notes(source: LoadedModel, corpus_digest: str) -> dict[str, Any]:
    architecture = source.architecture
    return {
        "name": source.name,
        "licence": source.licence,
        "family": architecture.family,
        "num_layers": architecture.num_layers,
        "hidden_size": architecture.hidden_size,
        "is_embedding_tied": architecture.is_embedding_tied,
        "corpus": corpus_digest,
    }
