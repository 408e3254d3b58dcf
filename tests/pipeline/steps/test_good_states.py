"""What a run may export, in the order in which it is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdbone.compress.config import QuantizeFormat
from birdbone.pipeline.context import StepContext
from birdbone.pipeline.recipe import resolve_recipe
from birdbone.pipeline.steps.good_states import candidates
from birdbone.vault import open_vault
from birdbone.watch import NullSink

EIGHT = QuantizeFormat(linears="q8_0", embedding="q8_0")


def formats_tried(folder: Path, wanted: QuantizeFormat) -> list[QuantizeFormat]:
    steps = [{"kind": "seed"}, {"kind": "log_activations"}, {"kind": "quantize", "format": wanted.model_dump()}]
    context = StepContext(
        run_id="tiny-1",
        label="quantize",
        round=0,
        recipe=resolve_recipe({"name": "tiny", "steps": steps}),
        vault=open_vault(folder / "vault"),
        scratch=folder,
        run_folder=folder,
        sink=NullSink(),
        artefacts={"dense": "b3:0"},
    )
    return [candidate.format for candidate in candidates(context)]


@pytest.mark.parametrize(
    "wanted",
    [
        QuantizeFormat(linears="q4_0", embedding="q8_0"),
        QuantizeFormat(linears="q8_0", by_role={"down": "q5_0"}, embedding="q8_0"),
        QuantizeFormat(linears="q8_0", embedding="q5_0"),
        QuantizeFormat(linears="f16", embedding="q4_1"),
    ],
    ids=["linears", "one role", "embedding beside 8 bits", "embedding beside 16 bits"],
)
def test_eight_bits_are_tried_before_sixteen_whichever_tensor_had_fewer(tmp_path: Path, wanted: QuantizeFormat) -> None:
    assert formats_tried(tmp_path, wanted) == [wanted, EIGHT]


@pytest.mark.parametrize("wanted", [EIGHT, QuantizeFormat(linears="f16", embedding="q8_0")], ids=["8", "16"])
def test_what_has_eight_bits_already_is_not_tried_with_them_again(tmp_path: Path, wanted: QuantizeFormat) -> None:
    assert formats_tried(tmp_path, wanted) == [wanted]
