"""What is kept of the scores comes back from a file: the right places, and values as close as half precision is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.compress.matrices import law, seeds

from birdbone.compress.importance.sparse import ScoreEnd, keep_scores, sparse_from_tensors, sparse_to_tensors
from birdbone.models.tensors import read_tensors, write_tensors

ends = st.sampled_from(["top", "bottom"])


@law
@given(seed=seeds, share=st.floats(0.01, 1), end=ends, power=st.integers(-30, 30))
def test_the_kept_scores_are_the_extreme_ones_within_half_precision(
    seed: int, share: float, end: ScoreEnd, power: int
) -> None:
    scores_FD = 10.0**power * torch.rand(5, 9, generator=torch.Generator().manual_seed(seed))
    kept = keep_scores(scores_FD, share=share, end=end)
    count = max(1, int(share * 45))
    order = scores_FD.flatten().argsort(descending=end == "top")
    assert kept.indices_K.tolist() == sorted(order[:count].tolist())
    exact_K = scores_FD.flatten()[kept.indices_K.long()]
    assert kept.scale == float(exact_K.max())
    torch.testing.assert_close(kept.scores_K(), exact_K, rtol=2**-11 + 1e-6, atol=3.1e-8 * kept.scale)


@law
@given(seed=seeds, share=st.floats(0.01, 1), end=ends)
def test_tensors_bring_back_what_was_kept(seed: int, share: float, end: ScoreEnd) -> None:
    generator = torch.Generator().manual_seed(seed)
    kept = {
        name: keep_scores(torch.rand(*shape, generator=generator), share=share, end=end)
        for name, shape in {"a.wanda": (3, 7), "a.fisher": (3, 7), "b.wanda": (1, 2)}.items()
    }
    again = sparse_from_tensors(sparse_to_tensors(kept))
    assert again.keys() == kept.keys()
    for name, scores in kept.items():
        assert torch.equal(again[name].indices_K, scores.indices_K)
        assert torch.equal(again[name].values_K, scores.values_K)
        assert (again[name].scale, again[name].shape) == (scores.scale, scores.shape)


def test_a_file_brings_back_what_was_kept(tmp_path: Path) -> None:
    scores_FD = torch.tensor([[0.5, 1e-9, 3.0], [2.0, 0.0, 1.0]])
    kept = {"model.layers.0.mlp.up_proj.wanda": keep_scores(scores_FD, share=0.5)}
    write_tensors(tmp_path / "scores.safetensors", sparse_to_tensors(kept))
    (again,) = sparse_from_tensors(read_tensors(tmp_path / "scores.safetensors")).values()
    assert again.indices_K.tolist() == [2, 3, 5]
    assert again.indices_K.dtype == torch.int32
    assert again.values_K.dtype == torch.float16
    assert again.scores_K().tolist() == pytest.approx([3.0, 2.0, 1.0], rel=1e-3)
    assert (tmp_path / "scores.safetensors").stat().st_size < 500


def test_scores_of_zero_are_kept_as_zero() -> None:
    kept = keep_scores(torch.zeros(2, 2), share=0.5, end="bottom")
    assert kept.scores_K().tolist() == [0.0, 0.0]
    assert kept.scale == 1.0
