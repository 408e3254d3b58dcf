"""Packs under damage: what is read is right or refused, and one flipped bit costs one blob."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.vault import CorruptObjectError, MissingObjectError, Vault, checkout, commit, put_folder, verify
from birdbone.vault.store.codec.low_rank import LowRankUpdate
from birdbone.vault.store.objects import read_object
from birdbone.vault.store.packs import Packs, PackWriter, all_places, find, forget_index, read_index

from ..checkpoints import content_of, write_model

SHAPE = (32, 64)


@dataclass(frozen=True, repr=False)
class Packed:
    vault: Vault
    blobs: dict[str, bytes]
    packs: dict[Path, bytes]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A store with every form of entry, the bytes of each blob, and the packs as they were."""
    from birdbone.vault import open_vault

    folder = tmp_path_factory.mktemp("packed")
    vault, rng = open_vault(folder / "store"), np.random.default_rng(0)
    dense = rng.standard_normal(SHAPE).astype(np.float32)
    wave = np.where(np.abs(dense) < 0.3, np.float32(0), dense)
    update = LowRankUpdate(
        a=rng.standard_normal((2, 64), np.float32), b=rng.standard_normal((32, 2), np.float32), scale=0.5
    )
    base = None
    for number, weights in enumerate((dense, wave, wave + np.float32(0.5))):
        model = write_model(folder / str(number), weights=("F32", SHAPE, weights.astype(np.float32).tobytes()))
        (model / "tokenizer.bin").write_bytes(rng.bytes(400_000))
        base = put_folder(vault, model, kind="model", base=base, updates={"weights": update})
        commit(vault, base, ref="main", message=str(number))
    blobs = {place.digest: read_object(vault, "blobs", place.digest) for place in all_places(vault)}
    return Packed(vault, blobs, {path: path.read_bytes() for path in vault.packs.iterdir()})


@settings(max_examples=150)
@given(data=st.data())
def test_any_damage_to_a_pack_gives_the_right_bytes_or_an_error(packed, data):
    vault, blobs, packs = packed.vault, packed.blobs, packed.packs
    path = data.draw(st.sampled_from(sorted(packs)))
    content = bytearray(packs[path])
    from_end = data.draw(st.booleans())  # the index and the tail are short beside the entries
    for _ in range(data.draw(st.integers(1, 4))):
        near_end = st.integers(max(0, len(content) - 700), len(content) - 1)
        place = data.draw(near_end if from_end else st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.sampled_from([len(content), len(content), len(content) - 1, len(content) // 2]))]
    path.write_bytes(content)
    forget_index(vault)
    try:
        for digest, expected in blobs.items():
            try:
                assert read_object(vault, "blobs", digest) == expected
            except (CorruptObjectError, MissingObjectError):
                assert bytes(content) != packs[path]
        if bytes(content) != packs[path]:
            assert not verify(vault).is_sound
    finally:
        path.write_bytes(packs[path])
        forget_index(vault)


@given(st.binary(max_size=400))
def test_noise_is_no_pack(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "x.pack"
    path.write_bytes(b"BBPACK1\n" + noise)
    assert read_index(path)[1] is False


def test_a_flipped_bit_of_the_index_costs_one_blob_at_most(packed):
    vault, blobs, packs = packed.vault, packed.blobs, packed.packs
    path = max(packs, key=lambda path: len(read_index(path)[0]))
    places, _ = read_index(path)
    index_start = max(place.offset + place.stored_bytes for place in places)
    lost = []
    for place in range(index_start, len(packs[path]) - 48, 7):
        content = bytearray(packs[path])
        content[place] ^= 1
        path.write_bytes(content)
        forget_index(vault)
        readable = 0
        for digest in (entry.digest for entry in places):
            with contextlib.suppress(CorruptObjectError, MissingObjectError):
                readable += read_object(vault, "blobs", digest) == blobs[digest]
        lost.append(len(places) - readable)
    path.write_bytes(packs[path])
    forget_index(vault)
    chunked = max(place.stored_bytes for place in places)  # a file in chunks is lost with one of them
    assert chunked
    assert max(lost) <= 2


def test_a_pack_that_goes_away_beside_a_reader_is_looked_for_again(vault, tmp_path):
    put_folder(vault, write_model(tmp_path / "one", a=("U8", (3,), b"abc")), kind="model")
    places = all_places(vault)
    writer = PackWriter(vault)
    with Packs(vault) as packs:
        for place in places:  # what a garbage collection in another process does
            writer.begin()
            writer.write(packs.read(packs.find(place.digest), 0, place.stored_bytes))
            writer.end(place.digest, size_bytes=place.size_bytes, kind=place.kind, width=place.width)
        writer.begin()
        writer.write(b"x")
        writer.end("b3:" + "0" * 64, size_bytes=1, kind=places[0].kind)
        new = writer.finish()
    (vault.packs / places[0].pack).unlink()
    assert find(vault, places[0].digest).pack == places[0].pack  # as this process still believes
    digests = sorted(place.digest for place in places)
    assert b"abc" in [read_object(vault, "blobs", digest) for digest in digests]
    assert find(vault, places[0].digest).pack == new


def test_an_empty_batch_makes_no_pack(vault, tmp_path):
    model = write_model(tmp_path / "one", a=("U8", (3,), b"abc"))
    artefact = put_folder(vault, model, kind="model")
    before = sorted(vault.packs.iterdir())
    assert put_folder(vault, model, kind="model") == artefact
    assert sorted(vault.packs.iterdir()) == before
    assert not list(vault.staging.iterdir())
    assert content_of(checkout(vault, artefact, tmp_path / "out")) == content_of(model)
