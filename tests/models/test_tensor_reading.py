"""Tensors read one by one are what the library reads; what is cut short or unknown is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from birdbone.models.errors import CorruptCheckpointError
from birdbone.models.tensor_reading import copy_tensors, find_tensors

law = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


@law
@given(
    parts=st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 5), max_size=3)), min_size=1, max_size=5)
)
def test_what_is_read_is_what_the_library_reads(parts: list, tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    tensors = {f"t{place}": torch.ones(shape).mul(place).to(dtype) for place, (dtype, shape) in enumerate(parts)}
    save_file(tensors, path, {"format": "pt"})
    expected = load_file(path)
    found = {name: place.read() for name, place in find_tensors(path).items()}
    assert set(found) == set(expected)
    for name, tensor in found.items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name])
    copy_tensors(find_tensors(path), tmp_path / "copied.safetensors")
    copied = load_file(tmp_path / "copied.safetensors")
    assert all(torch.equal(copied[name], tensor) for name, tensor in expected.items())


def test_a_file_cut_short_is_told_before_and_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    save_file({"a": torch.ones(64)}, path)
    places = find_tensors(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CorruptCheckpointError, match="ends in the middle"):
        places["a"].read()
    with pytest.raises(CorruptCheckpointError, match="ends in the middle"):
        copy_tensors(places, tmp_path / "copied.safetensors")
    with pytest.raises(CorruptCheckpointError, match="cannot be read"):
        find_tensors(path)
