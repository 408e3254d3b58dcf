"""Settings of text."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from birdbone.data import DataConfig, load_corpus


def test_the_defaults_fit_the_bundled_corpus() -> None:
    config = DataConfig()
    corpus = load_corpus()
    # English prose has at least 3 characters a token in every tokenizer of the supported families.
    for split, count in (
        (corpus.calibration, config.num_calibration_windows),
        (corpus.healing, config.num_healing_windows),
        (corpus.heldout, config.num_heldout_windows),
    ):
        assert sum(map(len, split)) > 3 * count * config.window


@pytest.mark.parametrize(
    "settings",
    [
        {"windows": 3},
        {"window": 1},
        {"num_heldout_windows": 0},
        {"source": ""},
        {"window": 4096, "max_characters": 10_000},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataConfig.model_validate(settings)
