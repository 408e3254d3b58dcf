"""A branch of the workspace is watched: a damaged version of the tiny model is refused, the branch behind stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tests.evaluate.benchmarks.texts import write_all_items

from birdbone.core import Workspace
from birdbone.evaluate.history import open_history
from birdbone.vault import commit, open_vault, put_folder, read_ref

RULES = """\
format: birdbone.gates/1
environments:
  staging: {rules: [{kind: perplexity_ratio, at_most: 1.10, undecided: fail}]}
"""
WORDS = ("eval", "watch", "main", "--rules", "gates.yaml", "-e", "staging", "--once", "--until", "smoke")
ON = ("--window", "64", "--dtype", "float32", "--threads", "1", "--promote", "staging", "--json")


def test_a_damaged_version_is_refused_and_the_branch_behind_stays(
    call: Any, workspace: Workspace, folder: Path, tiny_model_folder: Path
) -> None:
    (folder / "gates.yaml").write_text(RULES)
    vault = open_vault(workspace.vault_folder)
    first = commit(vault, put_folder(vault, tiny_model_folder, kind="model"), ref="main", message="dense").id
    begun = call(*WORDS, *ON)
    assert begun.exit_code == 0, begun.stderr
    damaged = folder / "damaged"
    shutil.copytree(tiny_model_folder, damaged)
    tensors = load_file(damaged / "model.safetensors")
    name = next(name for name in tensors if name.endswith("down_proj.weight"))
    tensors[name] = torch.zeros_like(tensors[name]) + torch.randn(tensors[name].shape, generator=torch.manual_seed(0))
    save_file(tensors, damaged / "model.safetensors", metadata={"format": "pt"})
    second = commit(vault, put_folder(vault, damaged, kind="model"), ref="main", message="damaged").id
    found = call(*WORDS, *ON)
    assert found.exit_code == 1, found.stderr
    judged = json.loads(found.stdout)
    assert (judged["version"], judged["baseline"], judged["outcome"]) == (second, first, "fail")
    assert [rung["rung"] for rung in judged["rungs"]] == ["smoke"]
    assert read_ref(vault, "refs/heads/staging") == first
    assert call(*WORDS, *ON).stdout == ""
    assert not list(vault.folder.glob("judged-*"))


def test_what_is_asked_of_a_version_is_kept_under_the_branch_that_holds_it(
    call: Any, workspace: Workspace, folder: Path, tiny_model_folder: Path
) -> None:
    write_all_items(folder / "items")
    (folder / "gates.yaml").write_text(
        "format: birdbone.gates/1\nrules: [{kind: no_worse, benchmark: piqa, margin: 0.5}]\n"
    )
    vault = open_vault(workspace.vault_folder)
    ids = [
        commit(vault, put_folder(vault, tiny_model_folder, kind="model"), ref="main", message=message).id
        for message in ("one", "two")
    ]
    words = ("eval", "watch", "main", "--rules", "gates.yaml", "--once", "--items", "items", "--limit", "4", *ON[:6])
    assert call(*words, "--baseline", ids[0]).exit_code == 0
    subjects = [record.subject for record in open_history(workspace.folder).records()]
    assert {(subject.model, subject.version) for subject in subjects} == {("main", each) for each in ids}
    assert {subject.version: subject.ref for subject in subjects} == {ids[0]: None, ids[1]: "refs/heads/main"}


def test_what_cannot_be_watched_is_one_clear_error(call: Any, workspace: Workspace, folder: Path) -> None:
    (folder / "gates.yaml").write_text(RULES)
    for words, told in (
        (("nowhere", "--rules", "gates.yaml", "-e", "staging"), "nowhere"),
        (("main", "--rules", "none.yaml"), "cannot be read"),
        (("main", "--rules", "gates.yaml", "-e", "moon"), "No environment is called 'moon'"),
        (("main", "--rules", "gates.yaml", "-e", "staging", "--until", "roof"), "--until takes smoke, quick, full"),
    ):
        result = call("eval", "watch", *words, "--once")
        assert result.exit_code in (2, 3), result.stderr
        assert told in result.stderr
