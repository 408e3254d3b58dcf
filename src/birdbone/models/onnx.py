"""Writing a model as ONNX and proving that onnxruntime computes what torch computes. Extra `onnx`.

Shapes: B batch, T tokens, V vocabulary. The graph takes `input_ids` and `attention_mask` (B, T) and gives `logits`
(B, T, V), both sizes free; it has no key-value cache, so it scores text and does not serve chat.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from birdbone.models.errors import OnnxMismatchError, OnnxMissingError

try:
    _runtime: Any = import_module("onnxruntime")
except ImportError:  # the extra is not installed; `export_onnx` says so
    _runtime = None

_LARGEST_BATCH = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxReport:
    """A written file and the largest difference of any logit from torch's, over the texts that were tried."""

    path: Path
    size_bytes: int
    max_difference: float


def export_onnx(model: PreTrainedModel, path: Path, *, probe_BT: Tensor, tolerance: float = 1e-3) -> OnnxReport:
    """Write `path`, load it in onnxruntime, compare its logits with torch's, and return how far they are apart.

    The file appears only after the comparison. A model whose weights exceed 2 GB is refused by ONNX itself.

    Args:
        model: float32, in eval mode; not changed.
        probe_BT: token ids to compare on, two tokens or more; a part of them is compared again in another shape.
        tolerance: largest difference allowed.

    Raises:
        OnnxMissingError: the extra `onnx` is not installed.
        OnnxMismatchError: onnxruntime computes something else.
    """
    if _runtime is None:
        raise OnnxMissingError("onnxruntime is not installed.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        written = Path(folder) / path.name
        _write(model, written, probe_BT)
        probes = (probe_BT, probe_BT[:1, : max(2, probe_BT.shape[1] // 2)])
        difference = max(_difference(model, written, probe) for probe in probes)
        if not difference <= tolerance:
            message = f"onnxruntime's logits differ from torch's by {difference:.3g}; {tolerance:.3g} is allowed."
            raise OnnxMismatchError(message, difference=difference)
        written.replace(path)
    return OnnxReport(path=path, size_bytes=path.stat().st_size, max_difference=difference)


class _Logits(nn.Module):
    """The model as a function of two tensors."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
        return logits


def _write(model: PreTrainedModel, path: Path, probe_BT: Tensor) -> None:
    sizes = {
        0: torch.export.Dim("batch", min=1, max=_LARGEST_BATCH),
        1: torch.export.Dim("tokens", min=2, max=int(model.config.max_position_embeddings)),
    }
    torch.onnx.export(
        _Logits(model).eval(),
        (probe_BT, torch.ones_like(probe_BT)),
        path,
        dynamo=True,
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
        external_data=False,
        verbose=False,
    )


def _difference(model: PreTrainedModel, path: Path, probe_BT: Tensor) -> float:
    session = _runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    ids = probe_BT.numpy()
    (found_BTV,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    with torch.inference_mode():
        expected_BTV = model(probe_BT, use_cache=False).logits.numpy()
    return float(np.abs(found_BTV - expected_BTV).max())
