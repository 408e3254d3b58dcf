"""A flipped bit on a remote never lands; one in the store is mended from a remote that has the object intact."""

import random

import numpy as np
import pytest

from birdbone.vault import (
    CorruptObjectError,
    VaultError,
    checkout,
    commit,
    log,
    open_vault,
    put_folder,
    read_manifest,
    read_version,
    refs,
    resolve,
    verify,
)
from birdbone.vault.errors import NotHealedError
from birdbone.vault.remotes import add_remote, checkout_healing, clone, fetch, heal, push
from birdbone.vault.remotes.remote import open_remote
from birdbone.vault.store.objects import list_objects, path_of, read_object
from birdbone.vault.store.packs import all_places, find, forget_index

from ..checkpoints import content_of, object_files, write_model
from .stores import Failing, commit_wave, make_waves, memory_url, weights


def flip(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def make_small(vault, tmp_path, *, num_waves=3):
    """A dense model and waves on it; packs of a few kilobytes, so that each kind of byte in them is hit."""
    values, base = weights()[:8, :128], None
    for wave in range(num_waves + 1):
        values = np.where(np.abs(values) < 0.3 * wave, np.float32(0), values)
        folder = write_model(tmp_path / f"small-{wave}", weights=("F32", values.shape, values.tobytes()))
        base = put_folder(vault, folder, kind="model", base=base)
        commit(vault, base, ref="main", message=f"wave {wave}", author="Ada")


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_a_flipped_bit_on_a_remote_is_found_and_never_lands(vault, tmp_path, kind):
    url = str(tmp_path / "far") if kind == "folder" else memory_url()
    make_small(vault, tmp_path)
    push(vault, url)
    remote = open_remote(vault, url)
    paths = [path for folder in ("objects", "refs") for path in remote.transport.sizes(folder)]
    names = ("packs/", "artefacts/", "versions/", "refs/heads", "refs/journal")
    paths = sorted(path for path in paths if any(name in path for name in names))
    choice, num_found = random.Random(3), 0
    for turn in range(150):
        path = choice.choice([path for path in paths if "packs/" in path] if turn % 2 else paths)
        whole = remote.transport.read(path)
        remote.transport.write(path, flip(whole, choice.randrange(8 * len(whole))))
        other = open_vault(tmp_path / f"other-{turn}")
        add_remote(other, "far", url)
        try:
            fetch(other, "far")
        except VaultError as error:
            num_found += bool(error.hint)
        else:  # what was hit is not part of any object: a digest in an index that another copy makes good, say
            assert log(other, "far/main") == log(vault)
            assert read_object(other, "artefacts", read_version(other, "far/main").artefact)
            checkout(other, "far/main", tmp_path / f"out-{turn}")
        assert verify(other).is_sound
        for version in list_objects(other, "versions"):
            assert version in {known.id for known in log(vault)}
        remote.transport.write(path, whole)
    assert num_found >= 140
    assert log(clone(url, tmp_path / "copy")) == log(vault)


def test_a_fetch_keeps_what_is_good_beside_what_is_damaged(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=2)
    far = tmp_path / "far"
    push(vault, str(far))
    place = find(vault, read_manifest(vault, "main").tensors()["weights"].digest)
    remote = open_vault(far)
    bad = next(each for each in all_places(remote) if each.digest == place.digest)
    damage(remote.packs / bad.pack, bad.offset + bad.stored_bytes // 2)
    other = open_vault(tmp_path / "other")
    add_remote(other, "far", str(far))
    with pytest.raises(VaultError, match="damaged") as caught:
        fetch(other, "far")
    assert caught.value.fields["digest"] == place.digest
    assert {each.digest for each in all_places(other)} == {each.digest for each in all_places(remote)} - {place.digest}
    add_remote(other, "good", str(vault.folder))
    assert fetch(other, "good").num_blobs == 1
    assert verify(other).is_sound


def damage(path, offset, bit=0):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.chmod(0o644)
    path.write_bytes(bytes(content))


def test_any_flipped_bit_in_the_store_is_mended_from_a_second_remote(vault, tmp_path):
    make_small(vault, tmp_path)
    bad, good = str(tmp_path / "bad"), memory_url()
    add_remote(vault, "bad", bad)
    add_remote(vault, "good", good)
    push(vault, "good")
    files = {path: path.read_bytes() for path in object_files(vault)}
    history = [version.id for version in log(vault)]
    expected = {version: content_of(checkout(vault, version, tmp_path / version[3:])) for version in history}
    choice = random.Random(4)
    packs = [path for path in files if path.suffix == ".pack"]
    num_hurt = 0
    for turn in range(90):
        path = choice.choice(packs if turn % 2 else sorted(files))
        path.write_bytes(flip(files[path], choice.randrange(8 * len(files[path]))))
        forget_index(vault)
        num_hurt += not verify(vault).is_sound
        if turn % 3 == 0:
            for version in history:
                healed = checkout_healing(vault, version, tmp_path / f"{turn}" / version[3:])
                assert content_of(healed.path) == expected[version]
        report = heal(vault)
        assert report.is_whole, (path, report)
        assert set(report.failed_remotes) <= {
            "bad"
        }  # it is not even there; asked only where something is to be fetched
        found = verify(vault)
        assert found.is_sound, (path, report, found)
        assert content_of(checkout(vault, "main", tmp_path / f"out-{turn}")) == expected[history[0]]
        for each in object_files(vault):  # as it was, for the next turn
            each.unlink()
        for each, content in files.items():
            each.write_bytes(content)
        forget_index(vault)
    assert num_hurt >= 85  # a compressed frame has a few bits that its decoder passes over: the bytes are the same


def test_a_healed_blob_needs_no_other_and_what_lies_on_it_is_left_as_it_was(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=4)
    add_remote(vault, "far", str(tmp_path / "far"))
    push(vault, "far")
    first = log(vault)[-1].id
    dense = find(vault, read_manifest(vault, first).tensors()["weights"].digest)
    second = find(vault, read_manifest(vault, "main~3").tensors()["weights"].digest)
    for place in (dense, second):
        damage(vault.packs / place.pack, place.offset + place.stored_bytes // 2)
    forget_index(vault)
    assert len(verify(vault).corrupt) == 5  # both, and the three that lie on them
    report = heal(vault)
    assert report.healed == {dense.digest: "far", second.digest: "far"}
    assert find(vault, second.digest).below is None
    assert sorted(place.depth for place in all_places(vault) if place.width == 4) == [0, 0, 2, 3, 4]
    assert verify(vault).is_sound
    assert content_of(checkout(vault, "main", tmp_path / "out")) == content_of(tmp_path / "wave-4")


def test_what_is_missing_is_healed_whatever_it_is(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=2)
    add_remote(vault, "far", url)
    push(vault, "far")
    version = resolve(vault, "main~1")
    path_of(vault, "versions", version).unlink()
    path_of(vault, "artefacts", read_version(vault, "main").artefact).unlink()
    for pack in vault.packs.glob("*.pack"):
        pack.unlink()
    report = heal(vault)
    assert version in report.healed
    assert report.is_whole
    assert verify(vault).is_sound
    assert content_of(checkout(vault, "main", tmp_path / "out")) == content_of(tmp_path / "wave-2")


def test_a_pack_that_was_cut_short_is_mended(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=2)
    add_remote(vault, "far", str(tmp_path / "far"))
    push(vault, "far")
    for pack in list(vault.packs.glob("*.pack")):
        pack.write_bytes(pack.read_bytes()[: pack.stat().st_size // 2])
    assert heal(vault).is_whole
    assert verify(vault).is_sound
    assert len(log(vault)) == 3


def test_a_checkout_heals_what_it_needs_and_says_so(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=1)
    add_remote(vault, "far", str(tmp_path / "far"))
    push(vault, "far")
    place = find(vault, read_manifest(vault, "main").tensors()["weights"].digest)
    damage(vault.packs / place.pack, place.offset + 20)
    manifest = path_of(vault, "artefacts", read_version(vault, "main").artefact)
    damage(manifest, 30)
    forget_index(vault)
    with pytest.raises(CorruptObjectError):
        checkout(vault, "main", tmp_path / "out")
    done = checkout_healing(vault, "main", tmp_path / "out")
    assert content_of(done.path) == content_of(tmp_path / "wave-1")
    assert set(done.healed) == {place.digest, read_version(vault, "main").artefact}
    assert checkout_healing(vault, "main", tmp_path / "again").healed == {}


def test_what_no_remote_has_intact_is_said_and_nothing_is_written(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=1)
    far = open_vault(tmp_path / "far")
    add_remote(vault, "far", str(far.folder))
    push(vault, "far")
    digest = read_manifest(vault, "main").tensors()["weights"].digest
    for store in (vault, far):
        for place in all_places(store):
            if place.digest == digest:
                damage(store.packs / place.pack, place.offset + place.stored_bytes // 2)
        forget_index(store)
    with pytest.raises(NotHealedError) as caught:
        checkout_healing(vault, "main", tmp_path / "out")
    assert caught.value.fields["digests"] == [digest]
    assert not (tmp_path / "out").exists()
    assert heal(vault).not_healed == (digest,)
    assert content_of(checkout(vault, "main~1", tmp_path / "older")) == content_of(tmp_path / "wave-0")


def test_a_remote_that_fails_while_it_heals_is_named_and_the_next_one_asked(vault, tmp_path):
    make_waves(vault, tmp_path, num_waves=0)
    for name in ("one", "two"):
        add_remote(vault, name, str(tmp_path / name))
        push(vault, name)
    digest = read_manifest(vault, "main").tensors()["weights"].digest
    place = find(vault, digest)
    damage(vault.packs / place.pack, place.offset + 20)
    forget_index(vault)
    left = [4_000]

    def fail_first(inner):
        return Failing(inner, left if inner.folder.name == "one" else [10**9])

    report = heal(vault, [digest], wrap=fail_first)
    assert (report.healed, set(report.failed_remotes)) == ({digest: "two"}, {"one"})


def test_a_damaged_store_sends_nothing_that_is_damaged(vault, tmp_path, url):
    make_waves(vault, tmp_path, num_waves=0)
    push(vault, url)
    commit_wave(vault, tmp_path / "next", weights(1), base="main")
    place = find(vault, read_manifest(vault, "main").tensors()["weights"].digest)
    damage(vault.packs / place.pack, place.offset + 20)
    forget_index(vault)
    with pytest.raises(CorruptObjectError, match="not sent"):
        push(vault, url)
    assert log(clone(url, tmp_path / "copy")) == log(vault, "main~1")
    assert list(vault.staging.iterdir()) == []
    assert refs(vault)
