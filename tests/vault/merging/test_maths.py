"""The merge arithmetic is mergekit's, obeys its own laws, and does not know how many threads there are."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from birdbone.vault.errors import UnmergeableError
from birdbone.vault.merging.keeping import draw_bits
from birdbone.vault.merging.maths import (
    merge_dare,
    merge_della,
    merge_linear,
    merge_slerp,
    merge_task_arithmetic,
    merge_ties,
)

REFERENCE = np.load(Path(__file__).parent / "reference" / "mergekit-0.1.5.npz")
CASES = json.loads(str(REFERENCE["cases"]))
MANY = 150_003  # more than two blocks, the last one ragged

weights_t = st.floats(0, 1, width=32)
tensors_t = hnp.arrays(np.float32, (4, 6), elements=st.floats(-8, 8, width=32))


def per_model(value, num: int) -> list[float]:
    return list(value) if isinstance(value, list) else [value] * num


def merge_as_mergekit_calls_it(case: dict, inputs: list[np.ndarray]) -> np.ndarray:
    given_to_it, (base, *models) = dict(case["parameters"]), inputs
    method, num = case["method"], len(inputs) - 1
    if method == "linear":
        return merge_linear(inputs, weights=given_to_it.pop("weight"), **given_to_it)
    if method == "slerp":
        return merge_slerp(*inputs, **given_to_it)
    chosen = {"weights": given_to_it.pop("weight"), "scale": given_to_it.pop("lambda", 1.0)}
    if "density" in given_to_it:
        chosen["densities"] = per_model(given_to_it.pop("density"), num)
    if "rescale" in given_to_it:
        chosen["rescale"] = "l1" if given_to_it.pop("rescale") else "none"
    if "epsilon" in given_to_it:
        chosen["epsilons"] = per_model(given_to_it.pop("epsilon"), num)
    chosen |= given_to_it
    if method == "task_arithmetic":
        return merge_task_arithmetic(base, models, **chosen)
    if method.startswith("ties"):
        return merge_ties(base, models, consensus="count" if method.endswith("count") else "sum", **chosen)
    if method.endswith("_linear"):
        chosen |= {"consensus": None} | ({"normalize": False} if method == "della_linear" else {})
    merge = merge_della if method.startswith("della") else merge_dare
    return merge(base, models, generator=np.random.default_rng(case["seed"]), **chosen)


def as_float32(array: np.ndarray) -> np.ndarray:
    return (array.astype(np.uint32) << 16).view(np.float32) if array.dtype == np.uint16 else array.astype(np.float32)


def bfloat16(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def normal(seed: int, num: int = MANY) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(num, np.float32)


def random_methods(base, models, **more):
    shared = {"weights": [0.5] * len(models), **more}
    densities = [0.4] * len(models)
    yield merge_dare(base, models, generator=np.random.default_rng(3), densities=densities, **shared)
    yield merge_della(
        base, models, generator=np.random.default_rng(3), densities=densities, epsilons=[0.1] * len(models), **shared
    )


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_result_is_the_one_that_mergekit_gave(case):
    inputs = [REFERENCE[name] for name in case["inputs"]]
    ours, peer = merge_as_mergekit_calls_it(case, inputs), REFERENCE[f"{case['name']}/output"]
    assert (ours.dtype, ours.shape) == (peer.dtype, peer.shape)
    # one rounding of the dtype where two ways of adding meet its boundary from both sides
    tolerance = {"float32": 2e-7, "float16": 1e-3, "uint16": 8e-3}[ours.dtype.name]
    np.testing.assert_allclose(as_float32(ours), as_float32(peer), rtol=tolerance, atol=2e-7)


def test_the_reference_covers_every_method_and_dtype():
    assert len(CASES) == 69
    assert {case["method"] for case in CASES} == {
        "linear", "slerp", "task_arithmetic", "ties", "ties_by_count", "dare_ties", "dare_linear", "della",
        "della_linear",
    }  # fmt: skip
    assert {REFERENCE[case["inputs"][0]].dtype.name for case in CASES} == {"float32", "float16", "uint16"}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_at_its_ends_an_interpolation_is_its_parents_bit_for_bit(dtype):
    one, two = normal(1), -0.0 * normal(2)
    one, two = (bfloat16(side) if dtype == "bfloat16" else side.astype(dtype) for side in (one, two))
    for ends in (
        [merge_slerp(one, two, t=0), merge_slerp(one, two, t=1)],
        [merge_linear([one, two], weights=[1, 0]), merge_linear([one, two], weights=[0, 1])],
    ):
        assert [end.tobytes() for end in ends] == [one.tobytes(), two.tobytes()]


@example(np.full((4, 6), 1e-9, np.float32), 0.5)
@given(tensors_t, weights_t)
def test_merging_a_model_with_itself_gives_it_back(model, t):
    np.testing.assert_allclose(merge_slerp(model, model, t=t), model, rtol=3e-7, atol=1e-37)
    np.testing.assert_allclose(merge_linear([model, model], weights=[t + 0.1, 0.9]), model, rtol=3e-7, atol=1e-37)
    base = np.zeros_like(model)
    merged = merge_ties(base, [model, model], weights=[0.5, 0.5], densities=[1, 1])
    np.testing.assert_allclose(merged, model, rtol=3e-7, atol=1e-37)


@given(tensors_t, tensors_t)
def test_ties_with_all_of_one_delta_is_that_model(base, model):
    merged = merge_ties(base, [model], weights=[1.0], densities=[1.0])
    np.testing.assert_allclose(merged, model, atol=2e-6)


@given(tensors_t, tensors_t, weights_t)
def test_slerp_read_from_the_other_end_is_the_same(one, two, t):
    t = round(t * 64) / 64  # so that 1 - t is exact
    np.testing.assert_allclose(merge_slerp(one, two, t=t), merge_slerp(two, one, t=1 - t), rtol=1e-5, atol=1e-5)


def test_slerp_keeps_the_length_of_vectors_of_one_length():
    one, two = (side / np.linalg.norm(side.astype(np.float64)) for side in (normal(1), normal(2)))
    merged = merge_slerp(one.astype(np.float32), two.astype(np.float32), t=0.3)
    assert np.linalg.norm(merged.astype(np.float64)) == pytest.approx(1, rel=1e-5)


def test_slerp_of_nearly_parallel_vectors_is_linear():
    one = normal(1)
    two = one + np.float32(0.01) * normal(2)
    merged = merge_slerp(one, two, t=0.25)
    np.testing.assert_array_equal(merged, np.float32(0.75) * one + np.float32(0.25) * two)


@given(tensors_t, tensors_t, tensors_t, st.permutations([0, 1]))
def test_two_models_may_come_in_any_order(base, one, two, order):
    def merged(places):
        models, weights, densities = [one, two], [0.25, 0.5], [0.5, 0.75]
        chosen = [[values[place] for place in places] for values in (weights, densities)]
        return merge_ties(base, [models[place] for place in places], weights=chosen[0], densities=chosen[1])

    np.testing.assert_array_equal(merged([0, 1]), merged(order))


@settings(max_examples=60)
@given(
    hnp.arrays(np.float32, st.integers(1, 40), elements=st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0])),
    st.floats(0.01, 0.99),
)
def test_exactly_the_largest_stay_and_among_equals_the_first(delta, density):
    merged = merge_ties(np.zeros_like(delta), [delta], weights=[1.0], densities=[density])
    num = max(1, int(density * len(delta)))
    order = np.argsort(-np.abs(delta), kind="stable")[:num]
    expected = np.zeros_like(delta)
    expected[order] = delta[order]
    np.testing.assert_array_equal(merged, expected)


@pytest.mark.parametrize("density", [0.0001, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("shape_of_values", ["smooth", "coarse", "mostly zero", "sorted", "periodic"])
def test_the_threshold_of_a_large_tensor_is_exact(shape_of_values, density):
    values = normal(5, 1 << 17)
    delta = {
        "smooth": values,
        "coarse": np.round(values * 4) / 4,
        "mostly zero": values * (values > 2.5),
        "sorted": np.sort(values),
        "periodic": np.where(np.arange(len(values)) % 8 == 0, np.float32(1e-3), values),  # the sample sees one value
    }[shape_of_values].astype(np.float32)
    merged = merge_ties(np.zeros_like(delta), [delta], weights=[1.0], densities=[density])
    order = np.argsort(-np.abs(delta), kind="stable")[: int(density * len(delta))]
    expected = np.zeros_like(delta)
    expected[order] = delta[order]
    np.testing.assert_array_equal(merged, expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_threads_do_not_change_one_bit(dtype):
    tensors = [normal(seed).reshape(3, -1) for seed in range(3)]
    base, one, two = (bfloat16(tensor) if dtype == "bfloat16" else tensor for tensor in tensors)

    def results(pool):
        shared = {"weights": [0.5, 0.25], "densities": [0.3, 0.6], "pool": pool}
        yield merge_slerp(one, two, t=0.4, pool=pool)
        yield merge_linear([one, two], weights=[0.3, 0.7], pool=pool)
        yield merge_ties(base, [one, two], rescale="l1", **shared)
        yield merge_dare(base, [one, two], generator=np.random.default_rng(1), **shared)
        yield merge_della(base, [one, two], generator=np.random.default_rng(1), epsilons=[0.1, 0.1], **shared)

    alone = [result.tobytes() for result in results(None)]
    for num_threads in (1, 3):
        with ThreadPoolExecutor(num_threads) as pool:
            assert [result.tobytes() for result in results(pool)] == alone


def test_one_generator_gives_one_result_and_another_gives_another():
    base, one, two = normal(1), normal(2), normal(3)
    assert all(
        np.array_equal(first, again)
        for first, again in zip(random_methods(base, [one, two]), random_methods(base, [one, two]), strict=True)
    )
    merged = [
        merge_dare(base, [one], generator=np.random.default_rng(seed), weights=[1], densities=[0.5]) for seed in (1, 2)
    ]
    assert np.any(merged[0] != merged[1])


def test_dare_keeps_its_share_and_by_density_the_mean():
    delta = np.ones(MANY, np.float32)
    base = np.zeros_like(delta)
    merged = merge_dare(
        base, [delta], generator=np.random.default_rng(7), weights=[1], densities=[0.3], rescale="density",
        consensus=None,
    )  # fmt: skip
    assert set(np.unique(merged)) == {np.float32(0), np.float32(1 / 0.3)}
    share = np.count_nonzero(merged) / MANY
    assert abs(share - 0.3) < 5 * math.sqrt(0.3 * 0.7 / MANY)
    assert abs(merged.mean() - 1) < 5 * math.sqrt(0.7 / 0.3 / MANY)


def test_dare_keeps_those_whose_bits_are_low():
    delta = 1 + np.abs(normal(1))
    merged = merge_dare(
        np.zeros_like(delta), [delta], generator=np.random.default_rng(4), weights=[1], densities=[0.25], rescale="none"
    )
    bits = draw_bits(np.random.default_rng(4), MANY)
    np.testing.assert_array_equal(merged, delta * (bits < (1 << 30)))


def test_l1_brings_a_delta_back_to_its_norm():
    base, model = np.zeros(MANY, np.float32), normal(2)
    for merged in random_methods(base, [model, model], consensus=None, normalize=False):
        assert np.abs(merged).sum(dtype=np.float64) == pytest.approx(np.abs(model).sum(dtype=np.float64), rel=0.01)
    one = merge_dare(base, [model], generator=np.random.default_rng(1), weights=[1], densities=[0.4], consensus=None)
    assert np.abs(one).sum(dtype=np.float64) == pytest.approx(np.abs(model).sum(dtype=np.float64), rel=1e-6)


def test_della_keeps_the_larger_the_likelier():
    row = np.arange(1, 1001, dtype=np.float32)
    delta = np.tile(row, (200, 1))
    merged = merge_della(
        np.zeros_like(delta), [delta], generator=np.random.default_rng(9), weights=[1], densities=[0.5],
        epsilons=[0.4], rescale="none",
    )  # fmt: skip
    share = np.count_nonzero(merged, axis=0) / 200
    tenths = share.reshape(10, 100).mean(axis=1)
    expected = 0.1 + 0.8 * np.arange(1000).reshape(10, 100).mean(axis=1) / 999
    assert np.all(np.abs(tenths - expected) < 5 * math.sqrt(0.25 / 20_000))


def test_an_elected_sign_is_that_of_the_larger_sum_and_a_draw_is_plus():
    base = np.zeros(4, np.float32)
    one, two = np.float32([3, -1, 2, 0]), np.float32([-1, -3, -2, 5])
    merged = merge_ties(base, [one, two], weights=[1, 1], densities=[1, 1])
    np.testing.assert_array_equal(merged, [3, -2, 2, 5])


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (1, 1)])
def test_shapes_without_a_row_are_merged_too(shape):
    base, one, two = (np.full(shape, value, np.float32) for value in (0, 1, 3))
    for merged in (
        merge_slerp(one, two, t=0.5),
        merge_linear([one, two], weights=[0.5, 0.5]),
        merge_ties(base, [one, two], weights=[0.5, 0.5], densities=[0.5, 0.5]),
    ):
        np.testing.assert_array_equal(merged, np.full(shape, 2, np.float32))
    for merged in random_methods(base, [one, two]):
        assert (merged.shape, merged.dtype) == (shape, np.float32)


def test_a_result_is_rounded_to_the_nearest_and_ties_to_even():
    codes = np.arange(0x3F80, 0x3F90, dtype=np.uint16)
    halves = merge_linear([codes, codes + np.uint16(1)], weights=[0.5, 0.5])
    np.testing.assert_array_equal(halves, codes + codes % 2)
    assert merge_linear([np.float16([1.0]), np.float16([1.0009766])], weights=[0.5, 0.5]) == np.float16(1.0)


def test_the_inputs_are_left_as_they_were():
    tensors = [normal(seed) for seed in range(3)]
    before = [tensor.tobytes() for tensor in tensors]
    merge_slerp(*tensors[1:], t=0.5)
    merge_ties(tensors[0], tensors[1:], weights=[0.5, 0.5], densities=[0.5, 0.5])
    list(random_methods(tensors[0], tensors[1:]))
    assert [tensor.tobytes() for tensor in tensors] == before


GOOD = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: merge_linear([], weights=[]), "nothing to merge"),
        (lambda: merge_linear([GOOD, GOOD[:2]], weights=[1, 1]), "alike"),
        (lambda: merge_linear([GOOD, GOOD.astype(np.float16)], weights=[1, 1]), "alike"),
        (lambda: merge_linear([GOOD.astype(np.float64)], weights=[1]), "float64"),
        (lambda: merge_linear([GOOD, GOOD], weights=[1]), "1 weights"),
        (lambda: merge_linear([GOOD, GOOD], weights=[1, -1]), "sum to 0"),
        (lambda: merge_linear([GOOD, GOOD], weights=[1, math.nan]), "finite"),
        (lambda: merge_slerp(GOOD, GOOD * math.nan, t=0.5), "not finite"),
        (lambda: merge_slerp(GOOD, GOOD * math.inf, t=0.5), "not finite"),
        (lambda: merge_ties(GOOD, [GOOD * math.nan], weights=[1], densities=[0.5]), "not finite"),
        (lambda: merge_ties(GOOD, [GOOD], weights=[1], densities=[0.5, 0.5]), "2 densities"),
        (lambda: merge_linear([GOOD * np.float32(3e38)], weights=[2], normalize=False), "beyond the range"),
        (lambda: merge_linear([np.float16([6e4])], weights=[2], normalize=False), "beyond the range"),
        (lambda: merge_linear([np.uint16([0x7F7F])], weights=[2], normalize=False), "beyond the range"),
        (
            lambda: merge_della(
                GOOD, [GOOD], generator=np.random.default_rng(), weights=[1], densities=[0.1], epsilons=[0.2]
            ),
            "epsilon",
        ),
    ],
)
def test_what_cannot_be_merged_is_said(call, words):
    with pytest.raises(UnmergeableError, match=words), np.errstate(over="ignore"):
        call()
