"""The figures of a diff are those that the definitions give, and two people get the same bundle."""

import datetime as dt
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from birdbone.vault import UnknownNameError, commit, open_vault, put_folder, read_manifest
from birdbone.vault.diff import diff_manifests, diff_tensors
from birdbone.vault.diff.bundle import group_by_layer, layer_of, write_diff_bundle
from birdbone.vault.formats.elements import as_float64

from ..checkpoints import Tensor, content_of, float32, write_model

PRUNED = np.array([0.0, 0.0, 0.5, -1.5, 2.0, 0.0, -0.0, 3.0], np.float32)


def tensor_of(values: np.ndarray, dtype: str = "F32") -> Tensor:
    return dtype, values.shape, values.tobytes()


@pytest.fixture
def put(vault, tmp_path):
    def put_tensors(name: str, *, config: str = "{}", **tensors: Tensor) -> str:
        return put_folder(vault, write_model(tmp_path / name, config=config, **tensors), kind="model")

    return put_tensors


def test_the_manifest_diff_names_what_came_went_changed_and_stayed(vault, put):
    before = put("one", a=float32(1.0), b=float32(2.0), c=float32(3.0))
    after = put("two", config="[]", b=float32(2.0), c=float32(4.0), d=float32(5.0))
    diff = diff_manifests(read_manifest(vault, before), read_manifest(vault, after))
    assert (diff.tensors.added, diff.tensors.removed, diff.tensors.changed, diff.tensors.same) == (
        ("d",),
        ("a",),
        ("c",),
        ("b",),
    )
    assert diff.files.changed == ("config.json",)
    assert diff.metadata.same == ("model.safetensors::format",)


def test_a_tensor_that_moved_to_another_shard_is_the_same_tensor(vault, put, tmp_path):
    before = put("one", a=float32(1.0), b=float32(2.0))
    folder = write_model(tmp_path / "two", a=float32(1.0))
    (write_model(tmp_path / "three", b=float32(2.0)) / "model.safetensors").rename(folder / "more.safetensors")
    diff = diff_manifests(read_manifest(vault, before), read_manifest(vault, put_folder(vault, folder, kind="model")))
    assert diff.tensors.same == ("a", "b")


def test_one_name_in_two_files_is_told_apart_by_the_file(vault, tmp_path):
    folder = write_model(tmp_path / "one", a=float32(1.0))
    (write_model(tmp_path / "two", a=float32(2.0)) / "model.safetensors").rename(folder / "other.safetensors")
    manifest = read_manifest(vault, put_folder(vault, folder, kind="model"))
    assert set(manifest.tensors()) == {"model.safetensors::a", "other.safetensors::a"}


@settings(max_examples=30, deadline=None)
@given(st.data(), st.sampled_from([np.float16, np.float32, np.float64]))
def test_the_figures_are_what_numpy_says(data, dtype):
    values = st.sampled_from([0.0, -0.0, 1.0]) | st.floats(-100, 100, width=16)
    before, after = (data.draw(hnp.arrays(dtype, (3, 5), elements=values)) for _ in range(2))
    name = {2: "F16", 4: "F32", 8: "F64"}[before.itemsize]
    with tempfile.TemporaryDirectory() as folder:
        vault = open_vault(Path(folder, "store"))
        old, new = (
            put_folder(vault, write_model(Path(folder, side), w=tensor_of(array, name)), kind="model")
            for side, array in (("one", before), ("two", after))
        )
        diffs = diff_tensors(vault, old, new)
    if before.tobytes() == after.tobytes():
        assert diffs == []
        return
    (diff,) = diffs
    x, y = before.astype(np.float64).ravel(), after.astype(np.float64).ravel()
    bits = f"u{before.itemsize}"
    assert diff.num_changed == np.count_nonzero(before.view(bits) != after.view(bits))
    assert diff.num_zeroed == np.count_nonzero((x != 0) & (y == 0))
    assert diff.num_regrown == np.count_nonzero((x == 0) & (y != 0))
    assert diff.sparsity_before == np.mean(x == 0)
    assert diff.sparsity_after == np.mean(y == 0)
    assert diff.l2 == pytest.approx(np.linalg.norm(y - x), rel=1e-8)
    either = np.count_nonzero((x != 0) | (y != 0))
    assert diff.mask_jaccard == (pytest.approx(np.count_nonzero((x != 0) & (y != 0)) / either) if either else None)
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    assert diff.cosine is None if norms == 0 else diff.cosine == pytest.approx(x @ y / norms, rel=1e-8, abs=1e-12)


def test_swapping_the_sides_swaps_zeroed_and_regrown(vault, put):
    one, two = put("one", w=tensor_of(PRUNED)), put("two", w=tensor_of(PRUNED[::-1].copy()))
    (there,), (back,) = diff_tensors(vault, one, two), diff_tensors(vault, two, one)
    assert (there.num_zeroed, there.num_regrown) == (back.num_regrown, back.num_zeroed)
    assert (there.l2, there.cosine, there.num_changed) == (back.l2, back.cosine, back.num_changed)


def test_a_large_tensor_is_summed_over_all_its_pieces(vault, put):
    before = np.ones(200_000, np.float32)
    after = before.copy()
    after[::10] = 0
    (diff,) = diff_tensors(vault, put("one", w=tensor_of(before)), put("two", w=tensor_of(after)))
    assert (diff.num_changed, diff.num_zeroed, diff.sparsity_after) == (20_000, 20_000, 0.1)
    assert diff.l2 == pytest.approx(math.sqrt(20_000))


def test_figures_that_nan_makes_undefined_are_absent(vault, put):
    before, after = np.array([1.0, np.nan], np.float32), np.array([2.0, np.nan], np.float32)
    (diff,) = diff_tensors(vault, put("one", w=tensor_of(before)), put("two", w=tensor_of(after)))
    assert (diff.num_changed, diff.l2, diff.cosine) == (1, None, None)


def test_a_changed_dtype_is_compared_by_value(vault, put):
    before, after = PRUNED, PRUNED.astype(np.float16)
    (diff,) = diff_tensors(vault, put("one", w=tensor_of(before)), put("two", w=tensor_of(after, "F16")))
    assert (diff.dtype_before, diff.dtype_after, diff.num_changed, diff.l2) == ("F32", "F16", 0, 0.0)


@pytest.mark.parametrize(
    ("before", "after"),
    [(float32(1.0), float32(1.0, 2.0)), (("F4", (2,), b"\1"), ("F4", (2,), b"\2")), (float32(), float32(1.0))],
)
def test_what_cannot_be_compared_has_no_figures(vault, put, before, after):
    (diff,) = diff_tensors(vault, put("one", w=before), put("two", w=after))
    assert (diff.num_changed, diff.l2, diff.cosine, diff.sparsity_before) == (None, None, None, None)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (2, 0, 3)])
def test_a_tensor_of_no_or_one_element_has_a_diff(vault, put, shape):
    before, after = np.ones(shape, np.float32), np.full(shape, 2, np.float16)
    (diff,) = diff_tensors(vault, put("one", w=tensor_of(before)), put("two", w=tensor_of(after, "F16")))
    assert (diff.num_elements, diff.num_changed, diff.rank_before) == (before.size, before.size, None)


def test_every_bfloat16_is_the_float32_with_the_same_upper_half():
    codes = np.arange(1 << 16, dtype="<u2")
    expected = np.frombuffer(b"".join(b"\0\0" + code.tobytes() for code in codes), "<f4")
    with np.errstate(invalid="ignore"):
        expected = expected.astype(np.float64)
    assert np.array_equal(as_float64(memoryview(codes.tobytes()), "BF16"), expected, equal_nan=True)


def test_float8_has_the_values_of_its_standard():
    codes = memoryview(bytes(range(256)))
    e4m3, e5m2 = as_float64(codes, "F8_E4M3"), as_float64(codes, "F8_E5M2")
    assert (e4m3[0x7E], e4m3[0x08], e4m3[0x01], e4m3[0x38], e4m3[0xB8]) == (448.0, 2**-6, 2**-9, 1.0, -1.0)
    assert (e5m2[0x7B], e5m2[0x04], e5m2[0x01], e5m2[0x3C], e5m2[0x7C]) == (57344.0, 2**-14, 2**-16, 1.0, math.inf)
    assert np.count_nonzero(np.isnan(e4m3)) == 2
    assert np.count_nonzero(np.isnan(e5m2)) == 6


def test_layers_are_summed_and_the_largest_change_comes_first(vault, put):
    before = {
        "model.layers.0.up": float32(1.0, 1.0),
        "model.layers.0.down": float32(1.0),
        "model.layers.1.up": float32(1.0),
    }
    after = {
        "model.layers.0.up": float32(0.0, 1.0),
        "model.layers.0.down": float32(1.5),
        "model.layers.1.up": float32(9.0),
    }
    layers = group_by_layer(diff_tensors(vault, put("one", **before), put("two", **after)))
    assert [layer.layer for layer in layers] == ["model.layers.1", "model.layers.0"]
    assert (layers[1].num_tensors, layers[1].num_changed, layers[1].num_zeroed) == (2, 2, 1)
    assert layers[1].l2 == pytest.approx(math.sqrt(1.25))
    assert layers[1].relative_l2 == pytest.approx(math.sqrt(1.25 / 3), rel=1e-8)
    assert layers[1].sparsity_after == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("model.layers.12.self_attn.q_proj.weight", "model.layers.12"),
        ("transformer.h.0.mlp.experts.3.up", "transformer.h.0"),
        ("model.embed_tokens.weight", "model.embed_tokens.weight"),
        ("model.safetensors::model.layers.1.up", "model.safetensors::model.layers.1"),
    ],
)
def test_a_layer_is_the_name_up_to_its_first_number(name, layer):
    assert layer_of(name) == layer


def test_a_bundle_is_the_same_bytes_for_everybody(vault, put, tmp_path):
    one, two = put("one", w=tensor_of(PRUNED)), put("two", w=float32(*range(8)), new=float32(1.0))
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    rows = [{"name": "perplexity", "value": 12.25, "unit": "1", "low": 12.0, "high": 12.5}]
    commit(vault, one, ref="main", message="first", author="Ada", time=moment)
    commit(vault, two, ref="main", message="second", author="Ada", time=moment, measurements=rows)
    bundles = [content_of(write_diff_bundle(vault, one, "main", tmp_path / name)) for name in ("a", "b")]
    assert bundles[0] == bundles[1]
    assert set(bundles[0]) == {"diff.html", "diff.json", "diff.md", "manifest-before.json", "manifest-after.json"}
    data = json.loads(bundles[0]["diff.json"])
    assert data["names"]["tensors"] == {"added": ["new"], "removed": [], "changed": ["w"], "same": []}
    assert (data["before"]["artefact"], data["after"]["message"]) == (one, "second")
    text = bundles[0]["diff.md"].decode()
    assert "| perplexity | not measured | 12.25 [12, 12.5] |" in text
    assert "- added tensor: `new`" in text


def test_a_bundle_of_equal_sides_says_that_nothing_changed(vault, put, tmp_path):
    one = put("one", w=float32(1.0))
    bundle = content_of(write_diff_bundle(vault, one, one, tmp_path / "bundle"))
    assert json.loads(bundle["diff.json"])["tensors"] == []
    assert b"| tensors | 0 | 0 | 0 | 1 |" in bundle["diff.md"]


def test_a_name_cannot_break_the_table_of_a_bundle(vault, put, tmp_path):
    one, two = put("one", **{"a|b\nc": float32(1.0)}), put("two", **{"a|b\nc": float32(2.0)})
    text = content_of(write_diff_bundle(vault, one, two, tmp_path / "bundle"))["diff.md"].decode()
    assert "| `a\\|b c` |" in text


def test_an_unknown_side_is_said(vault, put, tmp_path):
    with pytest.raises(UnknownNameError):
        write_diff_bundle(vault, put("one", w=float32(1.0)), "nobody", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_cosine_of_a_tensor_with_a_much_smaller_one_is_not_rounding(vault, tmp_path):
    before, after = np.full(15, 6e-8, np.float16), np.zeros(15, np.float16)
    after[0] = 6
    old, new = (
        put_folder(vault, write_model(tmp_path / side, w=tensor_of(array, "F16")), kind="model")
        for side, array in (("one", before), ("two", after))
    )
    (diff,) = diff_tensors(vault, old, new)
    assert diff.cosine == pytest.approx(1 / np.sqrt(15), rel=1e-9)
