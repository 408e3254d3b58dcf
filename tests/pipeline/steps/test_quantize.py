"""What the report says of rounding is true of the codes that were stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from birdbone.compress.quantize import relative_output_error
from birdbone.compress.statistics import statistics_from_tensors
from birdbone.core import Workspace
from birdbone.models import load_model
from birdbone.models.tensors import read_tensors
from birdbone.pipeline.service import RunView
from birdbone.pipeline.steps.quantize import unflatten
from birdbone.vault import checkout, open_vault


def test_the_error_of_each_linear_is_that_of_its_stored_codes(
    reference: tuple[Workspace, RunView], tmp_path: Path
) -> None:
    workspace, view = reference
    results = {step.label: step.result for step in view.steps if step.result}
    vault = open_vault(workspace.vault_folder)

    def tensors(step: str, name: str) -> dict[str, Any]:
        (path,) = checkout(vault, results[step]["artefacts"][name], tmp_path / name).iterdir()
        return read_tensors(path)

    state = load_model(str(checkout(vault, results["quantize"]["artefacts"]["candidate"], tmp_path / "state")))
    num_tokens = results["log_activations"]["notes"]["num_tokens"]
    statistics = statistics_from_tensors(
        tensors("log_activations", "statistics"), state.architecture, num_tokens=num_tokens
    )
    stored = unflatten(tensors("quantize", "quantized"))
    noted = results["quantize"]["notes"]["errors_by_linear"]
    assert set(noted) == set(state.architecture.linear_paths)
    for path, error in noted.items():
        weight_FD = state.model.get_parameter(f"{path}.weight").detach()
        values_FD = stored[f"{path}.weight"].dequantize()
        assert error == pytest.approx(relative_output_error(weight_FD, values_FD, statistics[path].gram_DD), rel=1e-6)
        assert error > 0
