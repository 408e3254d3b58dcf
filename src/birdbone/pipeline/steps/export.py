"""The step `export`: codes, scales and float tensors become one GGUF file."""

from __future__ import annotations

from birdbone.models.gguf import write_gguf
from birdbone.pipeline.context import StepContext, StepResult
from birdbone.pipeline.recipe import ExportStep
from birdbone.pipeline.steps.engines import file_figures, stored_zeros
from birdbone.pipeline.steps.materials import take_model, take_tensors
from birdbone.pipeline.steps.quantize import plain_tensors, unflatten
from birdbone.vault import put_file


def run(context: StepContext, _settings: ExportStep) -> StepResult:
    """Write the candidate as GGUF, store it and weigh it."""
    loaded = take_model(context, context.artefacts["candidate"])
    kept = take_tensors(context, "quantized")
    path = context.scratch / f"{context.recipe.name}.gguf"
    context.progress("writing GGUF")(0, 1)
    tensors = loaded.model.state_dict() | plain_tensors(kept) | unflatten(kept)
    report = write_gguf(
        path,
        model_config=loaded.model.config,
        state_tensors=tensors,
        tokenizer=loaded.tokenizer,
        name=str(context.notes["seed"]["name"]),
        license_name=str(context.notes["seed"]["licence"] or ""),
    )
    digest = put_file(context.vault, path, kind="gguf")
    return StepResult(
        artefacts={"gguf": digest},
        measurements=(
            *file_figures(report, artefact=digest),
            stored_zeros(tensors, loaded.architecture.linear_paths, artefact=digest),
        ),
        notes={"types": dict(report.num_tensors_by_type), "limits": list(report.limits)},
    )
