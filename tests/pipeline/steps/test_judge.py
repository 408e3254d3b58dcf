"""What a run exports was measured as llama.cpp loads it; what fails its gate is not exported."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from birdbone.core import Workspace, make_workspace
from birdbone.models.llamacpp import open_engine
from birdbone.pipeline import service
from birdbone.pipeline.service import RunView
from birdbone.vault import checkout, open_vault, read_manifest

from ..conftest import MakeRecipe
from ..runs import run_here

IMPOSSIBLE = "evaluate.gate=[{measurement: perplexity_ratio, kind: at_most, limit: 0.5}]"
QUICK = ("waves.heal.num_steps=0", "low_rank.num_steps=1")


def perplexity_by_hand(gguf: Path, windows_NT: np.ndarray) -> float:
    """Perplexity from llama.cpp's raw logits: the softmax is ours."""
    nlls = []
    with open_engine(gguf, num_ctx=windows_NT.shape[1], num_threads=1) as engine:
        for window_T in windows_NT:
            logits_TV = engine.logits(window_T[:-1].tolist()).astype(np.float64)
            log_total_T = np.logaddexp.reduce(logits_TV, axis=1)
            nlls.append(log_total_T - logits_TV[np.arange(len(logits_TV)), window_T[1:]])
    return float(np.exp(np.mean(nlls)))


def test_the_perplexity_of_the_run_is_that_of_the_file_it_hands_out(
    reference: tuple[Workspace, RunView], tmp_path: Path
) -> None:
    workspace, view = reference
    files = service.export_run(workspace, view.run.id, tmp_path / "out")
    gguf = next(path for path in files if path.suffix == ".gguf")
    windows = checkout(open_vault(workspace.vault_folder), view.artefacts["windows"], tmp_path / "windows")
    row = view.figure("perplexity_gguf", view.artefacts["final_gguf"])
    assert row is not None
    heldout_NT = np.load(windows / "heldout.npy")
    assert row.value == pytest.approx(perplexity_by_hand(gguf, heldout_NT), rel=1e-6)
    assert row.sample_size == heldout_NT.shape[0] * (heldout_NT.shape[1] - 1)
    assert (row.basis, row.run_id, row.step) == ("measured", view.run.id, "judge")


def test_what_was_measured_is_what_is_exported_byte_for_byte(
    reference: tuple[Workspace, RunView], tmp_path: Path
) -> None:
    workspace, view = reference
    kept = checkout(open_vault(workspace.vault_folder), view.artefacts["final_gguf"], tmp_path / "kept")
    (stored,) = kept.iterdir()
    (exported,) = (view.folder / "exports").iterdir()
    assert stored.read_bytes() == exported.read_bytes()
    size = view.figure("size", view.artefacts["final_gguf"])
    assert size is not None
    assert size.value == exported.stat().st_size


def test_the_zeros_of_the_file_are_counted_from_what_a_reader_of_it_gets(
    reference: tuple[Workspace, RunView], tmp_path: Path
) -> None:
    workspace, view = reference
    (path,) = checkout(open_vault(workspace.vault_folder), view.artefacts["final_gguf"], tmp_path / "kept").iterdir()
    tensors = gguf.GGUFReader(path).tensors
    linears = [tensor for tensor in tensors if tensor.name.startswith("blk.") and "norm" not in tensor.name]
    weights = [gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in linears]
    row = view.figure("stored_zeros", view.artefacts["final_gguf"])
    assert row is not None
    assert row.sample_size == sum(weight.size for weight in weights)
    assert row.value == pytest.approx(sum(int((weight == 0).sum()) for weight in weights) / row.sample_size)
    assert 0.05 < row.value < 0.5


def assert_every_figure_has_its_artefact(workspace: Workspace, view: RunView) -> None:
    vault = open_vault(workspace.vault_folder)
    assert view.measurements
    for row in view.measurements:
        assert read_manifest(vault, row.artefact).files
        assert row.run_id == view.run.id
        assert row.step in {step.label for step in view.steps}


def test_no_figure_is_of_an_artefact_that_the_vault_lacks(reference: tuple[Workspace, RunView]) -> None:
    assert_every_figure_has_its_artefact(*reference)


@pytest.fixture(scope="module")
def refused(make_recipe: MakeRecipe, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, RunView]:
    workspace = make_workspace(tmp_path_factory.mktemp("refused"))[0]
    return workspace, run_here(workspace, make_recipe(IMPOSSIBLE, *QUICK))


def test_a_gate_that_nothing_passes_tries_every_good_state_then_more_bits_and_exports_the_last_in_f16(
    refused: tuple[Workspace, RunView], tmp_path: Path
) -> None:
    workspace, view = refused
    results = {step.label: step.result for step in view.steps if step.result}
    good = results["wave-2"]["notes"]["good_states"]
    tries = ["", "-try2", "-try3", "-try4"]
    quantized, judged = ([results[f"{kind}{which}"] for which in tries] for kind in ("quantize", "judge"))
    assert [label for label in results if label.startswith("judge")] == [f"judge{which}" for which in tries]
    assert [result["notes"]["wave"] for result in quantized] == [2, 1, 0, 2]
    assert [result["notes"]["type"].lower() for result in quantized] == ["q4_0", "q4_0", "q4_0", "q8_0"]
    assert [result["artefacts"]["candidate"] for result in quantized] == [
        good[1]["state"],
        good[0]["state"],
        view.artefacts["dense"],
        good[1]["state"],
    ]
    assert [result["notes"]["verdict"]["outcome"] for result in judged] == ["fail"] * 4
    assert [result["go_back_to"] for result in judged] == ["quantize"] * 3 + [None]

    assert judged[3]["notes"]["fell_back_to_wave"] == 2
    assert view.artefacts["final"] == good[1]["state"]
    (exported,) = (view.folder / "exports").iterdir()
    assert exported.name == "tiny-f16.gguf"
    kept = checkout(open_vault(workspace.vault_folder), view.artefacts["final_gguf"], tmp_path / "kept")
    assert next(kept.iterdir()).read_bytes() == exported.read_bytes()
    assert_every_figure_has_its_artefact(workspace, view)


def test_the_masks_of_a_run_are_those_of_the_model_that_it_exports(refused: tuple[Workspace, RunView]) -> None:
    view = refused[1]
    wave = next(step.result for step in view.steps if step.label == "wave-2")
    assert wave is not None
    assert view.artefacts["final"] == wave["artefacts"]["state"]
    assert view.artefacts["masks"] == wave["artefacts"]["masks"]


def test_the_exported_fall_back_was_measured_in_llama_cpp_as_well(
    refused: tuple[Workspace, RunView],
) -> None:
    view = refused[1]
    assert view.figure("perplexity_gguf", view.artefacts["final_gguf"]) is not None


def test_an_accepted_file_is_named_for_what_it_holds(workspace: Workspace, make_recipe: MakeRecipe) -> None:
    changes = (*QUICK, "waves.max_waves=1", "quantize.format={linears: q8_0, embedding: q8_0}")
    view = run_here(workspace, make_recipe(*changes, until="judge"))
    (exported,) = (view.folder / "exports").iterdir()
    assert exported.name.lower() == "tiny-q8_0.gguf"


def test_no_time_goes_into_the_speed_of_a_refused_candidate_nor_into_mending_eight_bits(
    refused: tuple[Workspace, RunView],
) -> None:
    view = refused[1]
    results = {step.label: step.result for step in view.steps if step.result}
    rejected = [results[f"export{which}"]["artefacts"]["gguf"] for which in ("", "-try2", "-try3")]
    assert all(view.figure("perplexity_ratio", artefact) is not None for artefact in rejected)
    assert all(view.figure("decode_rate", artefact) is None for artefact in rejected)
    assert view.figure("decode_rate", view.artefacts["final_gguf"]) is not None
    assert results["low_rank-try4"]["notes"] == {"is_left_out": True}
    assert results["low_rank"]["notes"]["num_blocks"] > 0
