"""The loss of a whole model: its gradient written down is the recorded one; the dense model has nothing to learn."""

from __future__ import annotations

import math

import pytest
import torch
from tests.compress.conftest import Dense
from tests.compress.healing.pruned import thin_out
from torch.nn import functional

from birdbone.compress.healing.lessons import Lessons
from birdbone.evaluate.perplexity import token_nll
from birdbone.evaluate.readout import find_readout
from birdbone.models import LoadedModel

pytestmark = pytest.mark.usefixtures("dense_stays")


def lessons_of(dense: Dense, *, share: float, count: int = 4) -> Lessons:
    return Lessons(find_readout(dense.loaded.model), dense.healing_NT[:count], batch_size=2, distill_share=share)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_loss_and_gradient_are_those_of_plain_autograd(tiny_model: LoadedModel, dense: Dense, share: float) -> None:
    thin_out(tiny_model)
    ids_BT, weight = dense.healing_NT[:2], tiny_model.model.get_parameter("model.layers.1.mlp.up_proj.weight")
    loss = lessons_of(dense, share=share).loss(find_readout(tiny_model.model), 0)
    (ours,) = torch.autograd.grad(loss, weight)

    log_q = functional.log_softmax(tiny_model.model(input_ids=ids_BT[:, :-1]).logits, dim=-1).flatten(0, 1)
    with torch.no_grad():
        log_p = functional.log_softmax(dense.loaded.model(input_ids=ids_BT[:, :-1]).logits, dim=-1).flatten(0, 1)
    apart = functional.kl_div(log_q, log_p, log_target=True, reduction="batchmean")
    plain = share * apart + (1 - share) * functional.nll_loss(log_q, ids_BT[:, 1:].flatten())
    (theirs,) = torch.autograd.grad(plain, weight)
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-7)


def test_the_dense_model_has_nothing_to_learn_from_itself(dense: Dense) -> None:
    assert lessons_of(dense, share=1.0).mean_loss(find_readout(dense.loaded.model)) == pytest.approx(0, abs=1e-6)


def test_without_the_dense_model_the_loss_is_the_likelihood_of_the_text(dense: Dense) -> None:
    mean = lessons_of(dense, share=0.0).mean_loss(find_readout(dense.loaded.model))
    assert mean == pytest.approx(token_nll(dense.loaded.model, dense.healing_NT[:4].numpy(), batch_size=2).mean())


def test_whole_batches_are_used_and_fewer_windows_than_one_are_a_batch(dense: Dense) -> None:
    assert len(lessons_of(dense, share=0.0, count=5)) == 2
    single = lessons_of(dense, share=0.0, count=1)
    assert (len(single), single.num_tokens) == (1, 64)
    assert math.isfinite(single.mean_loss(find_readout(dense.loaded.model)))
