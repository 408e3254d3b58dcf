"""Two streams that move on block by block are two models run as a whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.conftest import Dense
from tests.compress.matrices import law, seeds

from birdbone.compress.streams import (
    FIRST_TOKEN_SHARE,
    Streams,
    advance,
    mean_relative_error,
    open_streams,
    relative_error,
)
from birdbone.models import LoadedModel, finish_blocks


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("batch_size", "num_batches", "num_used"), [(2, 3, 6), (3, 2, 6), (4, 1, 4), (9, 1, 7)])
def test_both_streams_end_in_the_logits_of_their_models(
    tiny_model: LoadedModel, dense: Dense, batch_size: int, num_batches: int, num_used: int
) -> None:
    student, teacher, architecture = tiny_model.model, dense.loaded.model, dense.loaded.architecture
    with torch.no_grad():
        student.get_parameter("model.layers.1.mlp.up_proj.weight").mul_(0.5)
        student.get_parameter("model.embed_tokens.weight").mul_(1.1)
    windows_NT = dense.healing_NT[:7]
    streams = open_streams(student, teacher, architecture, windows_NT, batch_size)
    assert len(streams.dense) == len(streams.student) == num_batches
    for index in range(architecture.num_layers):
        streams = Streams(
            dense=advance(teacher, architecture, index, streams.dense, streams.context),
            student=advance(student, architecture, index, streams.student, streams.context),
            context=streams.context,
        )
    for model, hidden in ((teacher, streams.dense), (student, streams.student)):
        with torch.no_grad():
            found = finish_blocks(model, architecture, torch.cat(hidden))
            expected = model(input_ids=windows_NT[:num_used]).logits
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@law
@given(seed=seeds, scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_the_error_is_relative_to_each_token_and_the_first_counts_more(seed: int, scale: float) -> None:
    target_BTD, output_BTD = draw(seed, 2, 5, 3) * scale, draw(seed + 1, 2, 5, 3) * scale
    loudness_BT1 = draw(seed + 2, 2, 5, 1).exp()
    error = float(relative_error(output_BTD, target_BTD))
    assert error == pytest.approx(float(relative_error(output_BTD * loudness_BT1, target_BTD * loudness_BT1)), rel=1e-3)
    each_BT = ((output_BTD - target_BTD).norm(dim=2) / target_BTD.norm(dim=2)).square()
    assert error == pytest.approx(float(each_BT.mean() + FIRST_TOKEN_SHARE * each_BT[:, 0].mean()), rel=1e-3)


def test_equal_streams_have_no_error_and_a_silent_one_counts_whole() -> None:
    target_BTD = draw(0, 2, 5, 3)
    assert mean_relative_error([target_BTD, target_BTD], [target_BTD, target_BTD]) == 0.0
    silent = [torch.zeros_like(target_BTD)]
    assert mean_relative_error(silent, [target_BTD]) == pytest.approx(1 + FIRST_TOKEN_SHARE)
