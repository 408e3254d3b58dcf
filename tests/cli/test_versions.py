"""The vault at the command line, with a real model in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from birdbone.core import Workspace
from birdbone.vault import Lineage, Vault, commit, open_vault, put_file, put_folder

from .recorded import figure


@pytest.fixture
def vault(workspace: Workspace) -> Vault:
    return open_vault(workspace.vault_folder)


@pytest.fixture
def model(vault: Vault, tiny_model_folder: Path) -> str:
    """The artefact of the tiny model, committed twice: on a run's branch and on `main`."""
    artefact = put_folder(vault, tiny_model_folder, kind="model")
    rows = [figure("perplexity", 12.5, artefact, low=12.0, high=13.0)]
    lineage = Lineage(run_id="demo-1", step="wave-1")
    commit(vault, artefact, ref="runs/demo-1", message="wave 1: good", measurements=rows, lineage=lineage)
    commit(vault, artefact, ref="main", message="one of one waves kept", measurements=rows)
    return artefact


def test_models_lists_every_version_with_its_refs(call: Any, model: str) -> None:
    rows = json.loads(call("models", "--json").stdout)
    assert {(row["refs"][0], row["message"], row["kind"]) for row in rows} == {
        ("main", "one of one waves kept", "model"),
        ("runs/demo-1", "wave 1: good", "model"),
    }
    assert all(row["artefact"] == model and row["size_bytes"] > 0 for row in rows)
    assert "wave 1: good" in call("models").stdout


def test_an_empty_vault_says_so(call: Any, vault: Vault) -> None:
    assert call("models").stderr == "nothing yet\n"


def test_a_model_shows_its_figures_and_its_lineage(call: Any, model: str) -> None:
    data = json.loads(call("model", "runs/demo-1", "--json").stdout)
    assert (data["artefact"], data["kind"], data["version"]["step"]) == (model, "model", "wave-1")
    assert data["num_weights"] > 100_000
    shown = call("model", "runs/demo-1", "--info").stdout
    assert "12.50 [12.00, 13.00]" in shown
    assert "demo-1" in shown


def test_version_artefact_and_ref_name_the_same_model(call: Any, model: str) -> None:
    version = json.loads(call("model", "main", "--json").stdout)["version"]["id"]
    for name in ("main", version, version[3:11], model, model[3:15]):
        assert json.loads(call("model", name, "--json").stdout)["artefact"] == model
    assert json.loads(call("model", model, "--json").stdout)["version"] is None


def test_an_unknown_name_is_not_found(call: Any, vault: Vault) -> None:
    assert call("model", "nothing").exit_code == 3


def test_a_model_is_really_loaded_and_speaks(call: Any, model: str) -> None:
    result = call("model", "main", "--load", "--json")
    greeting = json.loads(result.stdout)["greeting"]
    assert (greeting["engine"], greeting["artefact"]) == ("torch", model)
    assert greeting["completion"]
    again = json.loads(call("model", "main", "--load", "--json").stdout)["greeting"]
    assert again["completion"] == greeting["completion"], "greedy: the same words every time"


def test_what_is_no_model_is_not_loaded(call: Any, vault: Vault, folder: Path) -> None:
    (folder / "notes.txt").write_text("words")
    commit(vault, put_file(vault, folder / "notes.txt", kind="report"), ref="notes", message="notes")
    result = call("model", "notes", "--load")
    assert (result.exit_code, "[cli.not_a_model]" in result.stderr) == (2, True)
