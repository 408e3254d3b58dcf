"""What speaks for which cause, on readings made for it."""

from __future__ import annotations

import numpy as np
import pytest

from birdbone.evaluate.damage import PairedReading
from birdbone.evaluate.damage.hints import hint_of_reading, share_of_half

IDS = np.random.default_rng(0).integers(0, 50, size=(16, 64))


def reading(kl_NP: np.ndarray) -> PairedReading:
    return PairedReading(kl_NP=kl_NP, jump_NP=kl_NP, same_NP=kl_NP < 1, ids_NP=IDS)


def kind_of(kl_NP: np.ndarray) -> str | None:
    hint = hint_of_reading(reading(kl_NP))
    return hint.kind if hint else None


def test_where_nothing_diverges_there_is_no_cause() -> None:
    assert kind_of(np.zeros(IDS.shape)) is None


def test_a_first_token_that_stays_as_it_was_speaks_for_positions() -> None:
    kl_NP = np.full(IDS.shape, 0.1)
    kl_NP[:, 0] = 0
    assert kind_of(kl_NP) == "positions"


def test_divergence_after_few_tokens_speaks_for_their_rows() -> None:
    assert kind_of(np.where(IDS < 2, 1.0, 0.001)) == "few_tokens"


def test_divergence_everywhere_speaks_for_a_layer() -> None:
    assert kind_of(np.full(IDS.shape, 0.1)) == "layer"


def test_half_of_an_even_divergence_takes_half_of_the_positions() -> None:
    ids_NP = np.tile(np.arange(4), (8, 3))
    assert share_of_half(np.ones(ids_NP.shape), ids_NP) == 0.5
    assert share_of_half(np.where(ids_NP == 2, 1.0, 0.0), ids_NP) == 0.25
    assert share_of_half(np.zeros(ids_NP.shape), ids_NP) == 1.0


@pytest.mark.parametrize("factor", [1e-6, 3.0])
def test_the_cause_does_not_depend_on_the_size(factor: float) -> None:
    kl_NP = np.random.default_rng(1).exponential(size=IDS.shape)
    assert kind_of(factor * kl_NP) == kind_of(kl_NP) == "layer"
