"""ONNX files computed by onnxruntime; skipped where the extra is not installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from birdbone.models import LayerKeep, describe_architecture, shrink_model
from birdbone.models.onnx import export_onnx

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

MakeTiny = Callable[..., PreTrainedModel]
PROBE = torch.randint(3, 96, (2, 9), generator=torch.Generator().manual_seed(1))


def test_onnxruntime_computes_what_torch_computes_though_layers_differ(make_tiny: MakeTiny, tmp_path: Path) -> None:
    model = make_tiny("llama")
    keeps = {0: LayerKeep(neurons=(1, 2, 3)), 1: LayerKeep(kv_groups=()), 2: LayerKeep(query_heads=(0, 2))}
    shrink_model(model, describe_architecture(model), keeps)
    report = export_onnx(model, tmp_path / "deep" / "m.onnx", probe_BT=PROBE)
    assert report.max_difference < 1e-3
    assert report.size_bytes == (tmp_path / "deep" / "m.onnx").stat().st_size
    assert [file.name for file in tmp_path.rglob("*")] == ["deep", "m.onnx"]
