"""The price of a weight in loss: exact for a quadratic loss, felt through the outputs' gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from tests.compress.matrices import draw_linear

from birdbone.compress.budget import damage_profile
from birdbone.compress.errors import NoCalibrationDataError, SingularGramError
from birdbone.compress.output_sensitivity import output_sensitivity


def test_the_first_price_is_the_rise_by_the_cheapest_weight_made_up_for_by_the_others():
    linear = draw_linear(3, num_inputs=6, num_tokens=40, dtype=torch.float64)
    gram_DD = linear.gram_DD + 0.01 * linear.gram_DD.diagonal().mean() * torch.eye(6)
    row_D, rises = linear.w_FD[0], []
    for gone in range(6):
        kept = [column for column in range(6) if column != gone]
        value_D = torch.zeros(6, dtype=row_D.dtype)
        value_D[kept] = torch.linalg.solve(gram_DD[kept][:, kept], (row_D @ gram_DD)[kept])
        rises.append(0.5 * float((row_D - value_D) @ gram_DD @ (row_D - value_D)) * 4.0)
    profile_K = damage_profile(linear.w_FD[:1], linear.gram_DD, torch.tensor([4.0]), damping=0.01)
    assert float(profile_K[0]) == pytest.approx(min(rises), rel=1e-4)
    assert float(profile_K[-1]) == pytest.approx(max(rises), rel=1e-4)
    assert bool((profile_K.diff() >= 0).all())


def test_a_gram_that_is_not_finite_is_refused():
    with pytest.raises(SingularGramError):
        damage_profile(torch.ones(2, 3), torch.full((3, 3), float("nan")), torch.ones(2))


def test_the_sensitivity_is_the_mean_square_gradient_of_each_output(dense, dense_stays):
    model, windows_NT = dense.loaded.model, dense.calibration_NT[:3]
    path = dense.loaded.architecture.layers[1].linears[-1].path
    found_F = output_sensitivity(model, [path], windows_NT, batch_size=2)[path]
    twin = copy.deepcopy(model)
    linear = twin.get_submodule(path)
    shift_NTF = torch.zeros(*windows_NT.shape, linear.out_features, requires_grad=True)
    linear.register_forward_hook(lambda _module, _args, output: output + shift_NTF)
    logits = twin(input_ids=windows_NT, use_cache=False).logits[:, :-1]
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows_NT[:, 1:].flatten(), reduction="sum").backward()
    torch.testing.assert_close(found_F, shift_NTF.grad.square().mean(dim=(0, 1)), rtol=1e-3, atol=1e-9)


def test_no_windows_are_an_error(dense):
    with pytest.raises(NoCalibrationDataError):
        output_sensitivity(dense.loaded.model, [], dense.calibration_NT[:0])
