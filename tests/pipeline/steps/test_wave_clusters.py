"""A wave that thins by clusters of neurons: as much goes as the recipe says, from some clusters more than others."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdbone.core import make_workspace
from birdbone.models.tensors import read_tensors
from birdbone.vault import checkout, open_vault

from ..conftest import MakeRecipe
from ..runs import run_here

BIOPHASE = (
    "waves.shed={fraction: 0.10, cluster: biophase}",
    "waves.refit.num_iterations=1",
    "waves.heal.num_steps=0",
    "waves.regrow.fraction=0",
    "waves.max_waves=1",
    "waves.damage.num_windows=0",
    "waves.stop_loss={max_rise: 1.0, max_total_rise: 1.0, patience: 1}",
)


def test_clusters_shed_unlike_shares_that_come_to_the_waves_fraction(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "here")[0]
    view = run_here(workspace, make_recipe(*BIOPHASE, until="waves"))
    (share,) = [row.value for row in view.measurements if row.name == "sparsity"]
    assert share == pytest.approx(0.10, abs=0.01)
    vault = open_vault(workspace.vault_folder)
    (path,) = checkout(vault, view.artefacts["masks"], tmp_path / "masks").iterdir()
    gates = [mask_FD for name, mask_FD in read_tensors(path).items() if "gate_proj" in name]
    assert gates
    for mask_FD in gates:
        rows_F = 1 - mask_FD.float().mean(dim=1)
        assert float(rows_F.max() - rows_F.min()) > 0.02
