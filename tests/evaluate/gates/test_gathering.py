"""What two models predict is read in one pass, and equals what each measure gives by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.evaluate.benchmarks.texts import character_tokenizer
from tests.evaluate.tiny import tiny_model

from birdbone.data import load_corpus, token_windows
from birdbone.evaluate.benchmarks.opening import find_candidate
from birdbone.evaluate.errors import UnpairedError
from birdbone.evaluate.gates.gathering import Extent, read_both, stored_size
from birdbone.evaluate.perplexity import perplexity_from_nll, token_nll
from birdbone.models import load_model, save_model

EXTENT = Extent(window=32, num_windows=8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two models of one shape with other weights."""
    made = [tmp_path_factory.mktemp(f"model-{seed}") for seed in (1, 2)]
    for seed, folder in enumerate(made, start=1):
        save_model(tiny_model(seed=seed), character_tokenizer(), folder)
    return [str(folder) for folder in made]


def test_both_perplexities_and_their_ratio_are_those_of_each_model_alone(folders: list[str]) -> None:
    texts = load_corpus().heldout
    ours, theirs = (find_candidate(folder, dtype="float32") for folder in folders)
    evidence = read_both(ours, theirs, texts, extent=EXTENT, num_threads=1)
    values = []
    for folder, rows in zip(folders, (evidence.candidate, evidence.baseline), strict=True):
        loaded = load_model(folder)
        windows_NT = token_windows(
            texts, lambda text, of=loaded: of.tokenizer(text, add_special_tokens=False)["input_ids"], window=32, count=8
        )
        nll_NP = token_nll(loaded.model, windows_NT, batch_size=8)
        values.append(perplexity_from_nll(nll_NP, generator=np.random.default_rng(0)).value)
        (row,) = (row for row in rows if row.name == "perplexity")
        assert row.value == pytest.approx(values[-1], rel=1e-5)
    assert evidence.ratio is not None
    assert evidence.ratio.value == pytest.approx(values[0] / values[1], rel=1e-5)


def test_a_model_beside_itself_has_not_moved(folders: list[str]) -> None:
    model = find_candidate(folders[0], dtype="float32")
    evidence = read_both(model, model, load_corpus().heldout, extent=EXTENT, num_threads=1)
    figures = {row.name: row.value for row in evidence.candidate}
    assert figures["kl_to_reference"] == pytest.approx(0, abs=1e-6)
    assert figures["same_top1"] == 1
    assert evidence.ratio is not None
    assert (evidence.ratio.low, evidence.ratio.value, evidence.ratio.high) == (1, 1, 1)


def test_models_with_other_tokens_are_not_compared(folders: list[str], tiny_model_folder: Path) -> None:
    models = [find_candidate(spec, dtype="float32") for spec in (folders[0], str(tiny_model_folder))]
    with pytest.raises(UnpairedError, match="split the text into other tokens"):
        read_both(*models, load_corpus().heldout, extent=EXTENT, num_threads=1)


def test_the_size_is_that_of_the_weights_on_the_disk(folders: list[str]) -> None:
    row = stored_size(find_candidate(folders[0], dtype="float32"))
    assert row.value == sum(path.stat().st_size for path in Path(folders[0]).glob("*.safetensors")) > 0
