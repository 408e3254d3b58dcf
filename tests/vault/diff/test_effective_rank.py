"""The effective rank follows its definition where it is exact, and its own error where it is estimated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.vault import put_folder
from birdbone.vault.diff import diff_tensors
from birdbone.vault.diff.effective_rank import RankChange, SpectralSums, compare_ranks, spectral_sums

from ..checkpoints import Tensor, write_model


def tensor_of(values: np.ndarray, dtype: str = "F32") -> Tensor:
    return dtype, values.shape, values.tobytes()


def by_definition(matrix: np.ndarray) -> float:
    singular = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    shares = singular[singular > 1e-9 * singular[0]] / singular.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def sums_of(matrix: np.ndarray, **options: int) -> SpectralSums:
    sums = spectral_sums(np.ascontiguousarray(matrix, np.float32), **options)
    assert sums is not None
    return sums


def rank_of(matrix: np.ndarray, **options: int) -> RankChange:
    sums = sums_of(matrix, **options)
    return compare_ranks(sums, sums)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 90), st.integers(2, 90), st.integers(0, 1000), st.sampled_from([1e-20, 1.0, 1e20]))
def test_a_small_matrix_has_the_rank_of_the_definition(rows, columns, seed, scale):
    generator = np.random.default_rng(seed)
    matrix = (scale * generator.standard_normal((rows, columns))).astype(np.float32)
    found = rank_of(matrix)
    assert (found.basis, found.error_before) == ("measured", None)
    assert found.before == pytest.approx(by_definition(matrix), rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(0, 60))
def test_equal_directions_count_each_and_copies_count_nothing(side, more):
    assert rank_of(np.eye(side + more, side)).before == pytest.approx(side, rel=1e-5)
    assert rank_of(np.ones((side + more, side))).before == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize(
    ("shape", "decay"),
    [((400, 250), 0.0), ((250, 400), 0.0), ((250, 250), 0.0), ((300, 250), 0.02), ((2000, 250), 0.0)],
)
def test_an_estimate_lies_within_its_error(shape, decay):
    generator = np.random.default_rng(5)
    matrix = generator.standard_normal(shape) * np.exp(-decay * np.arange(shape[1]))
    found = rank_of(matrix)
    assert found.basis == "estimated"
    assert found.error_before is not None
    assert abs(found.before - by_definition(matrix.astype(np.float32))) <= 4 * found.error_before


def test_an_estimate_is_the_same_whatever_the_orientation():
    matrix = np.random.default_rng(6).standard_normal((300, 220))
    assert rank_of(matrix).before == pytest.approx(rank_of(matrix.T).before, rel=1e-3)


def test_one_outlier_does_not_spoil_the_estimate():
    generator = np.random.default_rng(7)
    matrix = generator.standard_normal((600, 220)) + 5 * np.outer(np.ones(600), np.ones(220))
    found = rank_of(matrix)
    assert found.error_before is not None
    assert abs(found.before - by_definition(matrix)) <= 4 * found.error_before


def test_a_matrix_of_few_directions_is_seen_as_one():
    generator = np.random.default_rng(8)
    matrix = generator.standard_normal((400, 3)) @ generator.standard_normal((3, 300))
    assert rank_of(matrix).before == pytest.approx(by_definition(matrix), rel=1e-3)


def test_no_change_is_a_change_of_zero_without_error():
    found = rank_of(np.random.default_rng(9).standard_normal((300, 250)))
    assert (found.change, found.error_change) == (0.0, 0.0)


def test_a_collapse_stands_far_out_of_the_noise():
    generator = np.random.default_rng(10)
    before = generator.standard_normal((300, 250)).astype(np.float32)
    left, singular, right = np.linalg.svd(before, full_matrices=False)
    after = (left[:, :100] * singular[:100]) @ right[:100]
    found = compare_ranks(sums_of(before), sums_of(after))
    assert found.error_change is not None
    assert found.change < -100
    assert abs(found.change - (by_definition(after) - by_definition(before))) <= 4 * found.error_change


@pytest.mark.parametrize("side", [40, 250])
def test_what_has_no_rank_has_none(side):
    poisoned = np.ones((side, side), np.float32)
    poisoned[-1, -1] = np.nan
    assert spectral_sums(poisoned) is None
    assert spectral_sums(np.zeros((side, side), np.float32)) is None
    assert spectral_sums(np.ones((1, side), np.float32)) is None
    assert spectral_sums(np.ones((0, side), np.float32)) is None


@pytest.fixture
def wide_pair(vault, tmp_path):
    generator = np.random.default_rng(11)
    before = {
        f"model.layers.{i}.mlp.up": generator.standard_normal((260, 210 + i)).astype(np.float32) for i in range(5)
    }
    after = {name: np.where(np.abs(values) < 0.2, np.float32(0), values) for name, values in before.items()}
    return [
        put_folder(vault, write_model(tmp_path / side, **{k: tensor_of(v) for k, v in tensors.items()}), kind="model")
        for side, tensors in (("one", before), ("two", after))
    ]


def test_no_figure_depends_on_the_number_of_threads(vault, wide_pair):
    found = [diff_tensors(vault, *wide_pair, num_threads=number) for number in (1, 2, 5)]
    assert found[0] == found[1] == found[2]
    assert {tensor.rank_basis for tensor in found[0]} == {"estimated"}


def test_ranks_can_be_left_out_or_made_exact(vault, wide_pair):
    without = diff_tensors(vault, *wide_pair, has_ranks=False)
    exact = diff_tensors(vault, *wide_pair, max_exact_side=300)
    assert {tensor.rank_before for tensor in without} == {None}
    assert {(tensor.rank_basis, tensor.rank_error_change) for tensor in exact} == {("measured", None)}


def test_a_tensor_of_integers_or_of_one_dimension_has_no_rank(vault, tmp_path):
    sides = [
        {"codes": tensor_of(np.full((8, 8), value, np.int8), "I8"), "norm": tensor_of(np.full(8, value, np.float32))}
        for value in (1, 2)
    ]
    one, two = (
        put_folder(vault, write_model(tmp_path / str(index), **side), kind="model") for index, side in enumerate(sides)
    )
    assert [tensor.rank_before for tensor in diff_tensors(vault, one, two)] == [None, None]


@pytest.mark.parametrize(("values", "levels"), [([-0.5, 0.0, 0.5], 3), ([-0.5, 0.0, -0.0, 0.5], 3)])
def test_ternary_weights_show_three_levels(vault, tmp_path, values, levels):
    generator = np.random.default_rng(12)
    before = generator.standard_normal((64, 64)).astype(np.float32)
    after = generator.choice(np.array(values, np.float32), (64, 64))
    one, two = (
        put_folder(vault, write_model(tmp_path / side, w=tensor_of(array)), kind="model")
        for side, array in (("one", before), ("two", after))
    )
    (diff,) = diff_tensors(vault, one, two)
    assert (diff.levels_before, diff.levels_after, diff.is_requantized) == (None, levels, True)


def test_a_grid_of_its_own_in_each_row_shows_its_levels_by_row(vault, tmp_path):
    generator = np.random.default_rng(13)
    before = generator.standard_normal((64, 512)).astype(np.float32)
    step = np.abs(before).max(axis=1, keepdims=True) / 7
    after = (np.round(before / step) * step).astype(np.float32)
    one, two = (
        put_folder(vault, write_model(tmp_path / side, w=tensor_of(array)), kind="model")
        for side, array in (("one", before), ("two", after))
    )
    (diff,) = diff_tensors(vault, one, two)
    assert (diff.levels_after, diff.row_levels_before) == (None, None)
    assert diff.row_levels_after == max(len(np.unique(row)) for row in after)
