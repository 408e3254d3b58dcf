"""Every notebook runs in order and without an error, and is kept without outputs.

One kernel runs them all, its names wiped before each: torch is imported once, which costs more than the notebooks.
Jupyter's packages wait for the process that needs them: they take seconds, and every process of pytest reads this file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jupyter_client import KernelManager

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelManager]:
    from jupyter_client import KernelManager

    folder = tmp_path_factory.mktemp("notebooks")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
        "IPYTHONDIR": str(folder / "ipython"),
        "OMP_NUM_THREADS": "1",
    }
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=environment, cwd=str(folder))
    yield manager
    manager.shutdown_kernel(now=True)


def run(name: str, kernel: KernelManager) -> Any:
    """Return the notebook with what its cells gave."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    return NotebookClient(notebook, km=kernel, timeout=None).execute()


def outputs_of(notebook: Any) -> list[dict[str, Any]]:
    return [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]


def words_of(notebook: Any) -> str:
    """Return what its cells gave as text, without colours and line breaks, which depend on the width of a table."""
    text = " ".join(data.get("text/plain", "") for data in outputs_of(notebook))
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


def test_every_notebook_is_run_by_a_test() -> None:
    named = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_notebook*.py"))
    assert [path.name for path in NOTEBOOKS if f'run("{path.name}"' not in named] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs_and_begins_with_what_it_is_about(path: Path) -> None:
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.get("execution_count") for cell in code] == [None] * len(code)
    assert all(cell.outputs == [] for cell in code)
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")


def test_importance_is_scored_shown_and_judged(kernel: KernelManager) -> None:
    notebook = run("importance.ipynb", kernel)
    words = words_of(notebook)
    assert "Share dropped of each role by one threshold for half of the model" in words
    assert "Perplexity at 50 % (dense" in words
    assert sum("image/svg+xml" in data for data in outputs_of(notebook)) == 3


def test_resources_of_every_part_are_measured(kernel: KernelManager) -> None:
    words = words_of(run("resources.ipynb", kernel))
    for part in ("forward", "statistics", "gradients", "score by 7 metrics", "shed 10 % and refit", "quantize"):
        assert part in words


def test_healing_wins_back_in_four_ways_and_revives_nothing(kernel: KernelManager) -> None:
    words = words_of(run("healing.ipynb", kernel))
    assert "nats a token were lost" in words
    for way in ("blockwise", "distill", "lora, rank 4", "qlora on NF4"):
        assert way in words
    assert "75 % with it" in words
    assert "pruned weights are zero: True" in words
