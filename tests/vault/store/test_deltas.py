"""Versions as changes of others: small, followed link by link, and never other bytes than were put."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.vault import (
    MissingObjectError,
    checkout,
    collect_garbage,
    commit,
    log,
    open_vault,
    put_folder,
    read_manifest,
    verify,
)
from birdbone.vault.store.codec.low_rank import LowRankUpdate, add_low_rank
from birdbone.vault.store.objects import read_object
from birdbone.vault.store.packs import all_places, find, forget_index

from ..checkpoints import content_of, tensors, write_model

SHAPE = (96, 512)


def model_of(folder, weights, **others):
    return write_model(folder, weights=("F32", weights.shape, weights.tobytes()), **others)


def pruned(weights, share):
    limit = np.quantile(np.abs(weights[weights != 0]), share)
    return np.where(np.abs(weights) < limit, np.float32(0), weights)


def stored_bytes(vault):
    return sum(path.stat().st_size for path in vault.packs.iterdir())


@pytest.fixture
def dense():
    return np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


def put_waves(vault, tmp_path, dense, *, num_waves):
    """Commit the dense model and waves of pruning on it, each with the one before as its base."""
    weights, base, folders = dense, None, []
    for wave in range(num_waves + 1):
        weights = weights if wave == 0 else pruned(weights, 0.1)
        folders.append(model_of(tmp_path / f"wave-{wave}", weights))
        base = put_folder(vault, folders[-1], kind="model", base=base)
        commit(vault, base, ref="main", message=f"wave {wave}")
    return folders


def test_waves_are_kept_as_changes_and_every_one_comes_back(vault, tmp_path, dense):
    folders = put_waves(vault, tmp_path, dense, num_waves=5)
    assert stored_bytes(vault) < dense.nbytes * (1 + 5 * 0.03) + 20_000
    for folder, version in zip(folders, reversed(log(vault)), strict=True):
        assert content_of(checkout(vault, version.id, tmp_path / "out" / version.id)) == content_of(folder)
    depths = [find(vault, read_manifest(vault, version.id).tensors()["weights"].digest).depth for version in log(vault)]
    assert depths == [5, 4, 3, 2, 1, 0]
    assert verify(vault).is_sound


def test_a_chain_has_an_end(vault, tmp_path, dense):
    put_waves(vault, tmp_path, dense[:4, :64], num_waves=40)
    assert max(place.depth for place in all_places(vault)) == 15
    assert verify(vault).is_sound


def test_a_healed_tensor_costs_its_adapter_and_its_mask(vault, tmp_path, dense):
    rng = np.random.default_rng(1)
    update = LowRankUpdate(
        a=rng.standard_normal((4, SHAPE[1]), np.float32), b=rng.standard_normal((SHAPE[0], 4), np.float32), scale=1e-3
    )
    healed = pruned(add_low_rank(dense.view(np.uint32), update, dtype="F32").view(np.float32), 0.1)
    base = put_folder(vault, model_of(tmp_path / "dense", dense), kind="model")
    before = stored_bytes(vault)
    folder = model_of(tmp_path / "healed", healed)
    artefact = put_folder(vault, folder, kind="model", base=base, updates={"weights": update})
    factors = update.a.nbytes + update.b.nbytes
    assert stored_bytes(vault) - before < factors + 0.6 * dense.size / 8 + 3000
    assert content_of(checkout(vault, artefact, tmp_path / "out")) == content_of(folder)


def test_a_wrong_hint_costs_room_and_nothing_else(vault, tmp_path, dense):
    base = put_folder(vault, model_of(tmp_path / "dense", dense), kind="model")
    wrong = LowRankUpdate(a=np.full((1, SHAPE[1]), np.nan, np.float32), b=np.ones((SHAPE[0], 1), np.float32), scale=1.0)
    folder = model_of(tmp_path / "other", dense * 3)
    artefact = put_folder(vault, folder, kind="model", base=base, updates={"weights": wrong, "nobody": wrong})
    assert content_of(checkout(vault, artefact, tmp_path / "out")) == content_of(folder)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), tensors(), max_size=3), min_size=2, max_size=4))
def test_any_tensors_come_back_whatever_they_were_said_to_come_from(tmp_path_factory, states):
    tmp_path = tmp_path_factory.mktemp("any")
    vault, base = open_vault(tmp_path / "store"), None
    for number, state in enumerate(states):
        folder = write_model(tmp_path / str(number), **state)
        base = put_folder(vault, folder, kind="model", base=base)
        assert content_of(checkout(vault, base, tmp_path / f"out-{number}")) == content_of(folder)


def test_what_lies_below_is_never_garbage_and_becomes_small(vault, tmp_path, dense):
    folders = put_waves(vault, tmp_path, dense, num_waves=3)
    before = stored_bytes(vault)
    taken = collect_garbage(vault, dry_run=False, grace_seconds=-1)
    assert (taken.num_objects, taken.size_bytes) == (0, before - stored_bytes(vault))
    assert stored_bytes(vault) < 0.9 * before
    assert content_of(checkout(vault, "main", tmp_path / "out")) == content_of(folders[-1])
    assert verify(vault).is_sound


def test_a_damaged_blob_below_spoils_nothing_that_is_put_on_it(vault, tmp_path, dense):
    base = put_folder(vault, model_of(tmp_path / "dense", dense), kind="model")
    place = find(vault, read_manifest(vault, base).tensors()["weights"].digest)
    path = vault.packs / place.pack
    content = bytearray(path.read_bytes())
    content[place.offset + 1000] ^= 4
    path.write_bytes(content)
    folder = model_of(tmp_path / "wave", pruned(dense, 0.1))
    artefact = put_folder(vault, folder, kind="model", base=base)
    assert content_of(checkout(vault, artefact, tmp_path / "out")) == content_of(folder)
    assert find(vault, read_manifest(vault, artefact).tensors()["weights"].digest).below is None


def test_a_large_file_is_cut_so_that_a_later_one_costs_what_differs(vault, tmp_path):
    noise = np.random.default_rng(0).bytes(3 << 20)
    for name, content in (("one", noise), ("two", noise[:1_000_000] + b"inserted" + noise[1_000_000:])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.pt").write_bytes(content)
    first = put_folder(vault, tmp_path / "one", kind="model")
    before = stored_bytes(vault)
    second = put_folder(vault, tmp_path / "two", kind="model")
    assert stored_bytes(vault) - before < 400_000
    for name, artefact in (("one", first), ("two", second)):
        assert content_of(checkout(vault, artefact, tmp_path / f"out-{name}")) == content_of(tmp_path / name)
        (file,) = read_manifest(vault, artefact).files
        assert read_object(vault, "blobs", file.digest) == (tmp_path / name / "model.pt").read_bytes()


def test_what_somebody_is_about_to_commit_keeps_what_it_lies_on(vault, tmp_path, dense):
    base = put_folder(vault, model_of(tmp_path / "dense", dense), kind="model")
    for path in vault.packs.iterdir():
        os.utime(path, (0, 0))
    folder = model_of(tmp_path / "wave", pruned(dense, 0.1))
    artefact = put_folder(vault, folder, kind="model", base=base)
    collect_garbage(vault, dry_run=False, grace_seconds=60)
    commit(vault, artefact, ref="main", message="in time")
    assert content_of(checkout(vault, "main", tmp_path / "out")) == content_of(folder)


def test_a_version_whose_blob_lies_on_nothing_is_not_committed(vault, tmp_path, dense):
    base = put_folder(vault, model_of(tmp_path / "dense", dense), kind="model")
    first = {path.name for path in vault.packs.iterdir()}
    artefact = put_folder(vault, model_of(tmp_path / "wave", pruned(dense, 0.1)), kind="model", base=base)
    (vault.packs / first.pop()).rename(tmp_path / "gone")
    with pytest.raises(MissingObjectError):
        commit(vault, artefact, ref="main", message="without its base")


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.float32])
def test_factors_of_any_dtype_are_taken_as_they_are_stored(vault, tmp_path, dense, dtype):
    rng = np.random.default_rng(1)
    update = LowRankUpdate(a=rng.standard_normal((2, SHAPE[1])).astype(dtype), b=np.ones((SHAPE[0], 2), dtype), scale=1)
    healed = add_low_rank(dense.view(np.uint32), update, dtype="F32").view(np.float32)
    base = put_folder(vault, model_of(tmp_path / "dense", dense), kind="model")
    folder = model_of(tmp_path / "healed", healed)
    artefact = put_folder(vault, folder, kind="model", base=base, updates={"weights": update})
    assert find(vault, read_manifest(vault, artefact).tensors()["weights"].digest).below is not None
    assert content_of(checkout(vault, artefact, tmp_path / "out")) == content_of(folder)


def test_a_base_that_cannot_be_read_is_done_without(vault, tmp_path, dense):
    base = put_folder(vault, model_of(tmp_path / "dense", dense), kind="model")
    place = find(vault, read_manifest(vault, base).tensors()["weights"].digest)
    content = bytearray((vault.packs / place.pack).read_bytes())
    content[place.offset] = 77  # a form that there is not
    (vault.packs / place.pack).write_bytes(content)
    folder = model_of(tmp_path / "wave", pruned(dense, 0.1))
    artefact = put_folder(vault, folder, kind="model", base=base)
    assert content_of(checkout(vault, artefact, tmp_path / "out")) == content_of(folder)


def test_a_second_collection_of_garbage_has_nothing_left_to_write(vault, tmp_path, dense):
    put_waves(vault, tmp_path, dense, num_waves=3)
    collect_garbage(vault, dry_run=False, grace_seconds=-1)
    before = {path: path.stat().st_ino for path in vault.packs.iterdir()}
    assert collect_garbage(vault, dry_run=False, grace_seconds=-1).size_bytes == 0
    assert {path: path.stat().st_ino for path in vault.packs.iterdir()} == before


def test_of_two_forms_of_a_blob_the_whole_one_stays(vault, tmp_path, dense):
    model = model_of(tmp_path / "dense", dense)
    artefact = put_folder(vault, model, kind="model")
    commit(vault, artefact, ref="main", message="first")
    (pack,) = vault.packs.iterdir()
    aside = pack.rename(tmp_path / "aside")
    (model / "more").write_bytes(b"other index, other name")
    forget_index(vault)
    commit(vault, put_folder(vault, model, kind="model"), ref="main", message="again")
    aside.rename(pack)
    place = find(vault, read_manifest(vault, artefact).tensors()["weights"].digest, refresh=True)
    content = bytearray((vault.packs / place.pack).read_bytes())
    content[place.offset + 500] ^= 1
    (vault.packs / place.pack).write_bytes(content)
    collect_garbage(vault, dry_run=False, grace_seconds=-1)
    assert content_of(checkout(vault, artefact, tmp_path / "out"))["model.safetensors"]
    assert verify(vault).is_sound
