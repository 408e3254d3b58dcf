"""A revert brings back exactly what is named, keeps what came later, and never picks a side unasked."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.core import Measurement
from birdbone.vault import (
    checkout,
    commit,
    log,
    open_vault,
    put_folder,
    read_manifest,
    read_ref,
    read_version,
    refs,
    verify,
)
from birdbone.vault.errors import BadRevertError, NothingToRevertError, RevertConflictError, UnknownNameError
from birdbone.vault.formats.elements import as_float64
from birdbone.vault.reverting import Selection, plan_revert, preview_revert, revert
from birdbone.vault.store.objects import read_object

from ..checkpoints import content_of, float32, object_files, safetensors_bytes
from .lines import put_tensors, row

NAMES = ("embed", "layers.0.a", "layers.0.mlp.experts.1.w", "layers.1.a", "layers.1.mlp.experts.1.w", "layers.12.a")


def put(vault, ref: str, *values: float, config: str = "{}", rows=()) -> str:
    artefact = put_tensors(vault, dict(zip(NAMES, ([v] for v in values), strict=False)), config=config)
    return commit(vault, artefact, ref=ref, message=f"{values}", measurements=rows).id


def values_of(vault, name: str) -> dict[str, tuple[float, ...]]:
    entries = read_manifest(vault, name).tensors()
    read = {key: read_object(vault, "blobs", entry.digest) for key, entry in entries.items()}
    return {key: tuple(as_float64(memoryview(raw), entries[key].dtype)) for key, raw in read.items()}


def firsts(vault, name: str) -> list[float]:
    found = values_of(vault, name)
    return [found[key][0] for key in NAMES if key in found]


def test_going_back_gives_the_same_bytes_and_loses_no_history(vault, tmp_path):
    first = put(vault, "main", 1, 1, 1)
    put(vault, "main", 2, 1, 1, config="[1]")
    last = put(vault, "main", 2, 3, 1)
    made = revert(vault, "main", to=first)
    assert (made.artefact, made.parents) == (read_version(vault, first).artefact, (last,))
    assert read_ref(vault, "main") == made.id
    assert len(log(vault, "main")) == 4
    before, after = (content_of(checkout(vault, name, tmp_path / name[3:9])) for name in (first, made.id))
    assert before == after


def test_undoing_the_newest_is_going_back_to_its_parent(vault):
    first = put(vault, "main", 1, 1)
    second = put(vault, "main", 2, 1, config="[]")
    assert revert(vault, "main", undo=second).artefact == read_version(vault, first).artefact


def test_undoing_an_undoing_gives_the_same_artefact(vault):
    put(vault, "main", 1, 1)
    second = put(vault, "main", 2, 1)
    undone = revert(vault, "main", undo=second)
    assert revert(vault, "main", undo=undone.id).artefact == read_version(vault, second).artefact


def test_undoing_an_older_version_keeps_what_came_later(vault):
    put(vault, "main", 1, 1, 1, config="0")
    second = put(vault, "main", 2, 1, 1, config="1")
    put(vault, "main", 2, 3, 1, config="1")
    made = revert(vault, "main", undo=second, message="It hurt")
    assert firsts(vault, made.id) == [1, 3, 1]
    assert content_of_config(vault, made.id) == b"0"
    assert made.message.startswith("It hurt\n\nUndo ")
    assert "embed" in made.message
    assert verify(vault).is_sound


def test_a_range_is_undone_as_one(vault):
    first = put(vault, "main", 1, 1, 1)
    put(vault, "main", 2, 1, 1)
    third = put(vault, "main", 2, 2, 1)
    put(vault, "main", 2, 2, 5)
    plan = plan_revert(vault, "main", undo=f"{first}..{third}")
    assert len(plan.undone) == 2
    assert firsts(vault, revert(vault, "main", undo=f"{first}..{third}").id) == [1, 1, 5]


def test_what_was_changed_again_later_is_named_and_nothing_moves(vault):
    put(vault, "main", 1, 1, 1)
    second = put(vault, "main", 2, 2, 1, config="[1]")
    last = put(vault, "main", 3, 2, 1, config="[2]")
    before = len(object_files(vault))
    with pytest.raises(RevertConflictError) as caught:
        revert(vault, "main", undo=second)
    assert caught.value.fields["names"] == ["embed", "config.json"]
    assert (read_ref(vault, "main"), len(object_files(vault))) == (last, before)
    kept = revert(vault, "main", undo=second, on_conflict="keep")
    assert firsts(vault, kept.id) == [3, 1, 1]
    assert "kept as the later version has them: embed, config.json" in kept.message
    revert(vault, "main", to=last)
    assert firsts(vault, revert(vault, "main", undo=second, on_conflict="take").id) == [1, 1, 1]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"tensors": ["layers.0.*"]}, [2, 1, 1, 2, 2, 2]),
        ({"layers": [0, "12"]}, [2, 1, 1, 2, 2, 1]),
        ({"layers": ["0-1"]}, [2, 1, 1, 1, 1, 2]),
        ({"layers": [range(1, 13)]}, [2, 2, 2, 1, 1, 1]),
        ({"experts": [1]}, [2, 2, 1, 2, 1, 2]),
        ({"experts": ["experts.1."], "layers": [1]}, [2, 2, 2, 2, 1, 2]),
        ({"tensors": ["embed", "*.1.a"]}, [1, 2, 2, 1, 2, 2]),
    ],
)
def test_a_part_comes_back_and_the_rest_stays(vault, choice, expected):
    first = put(vault, "main", *[1] * 6, rows=[row("perplexity", 9.0)])
    put(vault, "main", *[2] * 6, config="[]", rows=[row("perplexity", 12.0)])
    made = revert(vault, "main", to=first, **choice)
    assert firsts(vault, made.id) == expected
    assert content_of_config(vault, made.id) == b"[]"
    assert made.measurements == ()


def test_a_file_alone_comes_back(vault):
    first = put(vault, "main", 1, config="[1]")
    put(vault, "main", 2, config="[2]")
    made = revert(vault, "main", to=first, files=["config.*"])
    assert (firsts(vault, made.id), content_of_config(vault, made.id)) == ([2], b"[1]")


def test_all_parts_together_are_the_whole_and_its_figures_come_along(vault):
    rows = [Measurement(name="perplexity", value=9.0, unit="1", method="m", artefact="x", run_id="r-1")]
    first = put(vault, "main", 1, 1, config="[1]", rows=rows)
    put(vault, "main", 2, 3, config="[2]")
    made = revert(vault, "main", to=first, tensors=["*"], files=["*"])
    assert made.artefact == read_version(vault, first).artefact
    assert made.measurements == read_version(vault, first).measurements


def test_tensors_that_came_or_went_are_taken_away_or_brought_back(vault):
    commit(vault, put_tensors(vault, {"a": [1], "b": [1], "c": [1]}), ref="main", message="")
    second = commit(vault, put_tensors(vault, {"a": [1], "c": [1], "d": [1]}), ref="main", message="").id
    commit(vault, put_tensors(vault, {"a": [1], "c": [2], "d": [1]}), ref="main", message="")
    made = revert(vault, "main", undo=second)
    assert values_of(vault, made.id) == {"a": (1,), "b": (1,), "c": (2,)}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=6))
def test_each_tensor_follows_the_three_way_law(states):
    names = [f"layers.{number}.w" for number in range(len(states))]
    with tempfile.TemporaryDirectory() as folder:
        vault = open_vault(Path(folder))
        olds, bases, tips = zip(*states, strict=True)
        made = [
            commit(vault, put_tensors(vault, {n: [v] for n, v in zip(names, part, strict=True)}), ref="x", message="")
            for part in (olds, bases, tips)
        ]
        clash = [n for n, (o, b, t) in zip(names, states, strict=True) if o != b and t not in (o, b)]
        expected = {n: (float(o if o != b and t == b else t),) for n, (o, b, t) in zip(names, states, strict=True)}
        message = undo_keeping(vault, made[1].id)
        assert values_of(vault, "x") == expected
        assert all(name in message for name in clash)


def undo_keeping(vault, version: str) -> str:
    try:
        return revert(vault, "x", undo=version, on_conflict="keep").message
    except NothingToRevertError as error:
        return " ".join(error.fields["conflicts"])


element = st.sampled_from([0.0, -0.0, 1.0, 2.0, float("nan"), float("inf")])
triples = st.lists(st.tuples(element, element, element), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(triples, st.sampled_from(["values", "zeros"]))
def test_a_mask_comes_back_position_by_position_and_nothing_else_changes(states, only):
    with tempfile.TemporaryDirectory() as folder:
        vault = open_vault(Path(folder))
        columns = [np.array(column, np.float32) for column in zip(*states, strict=True)]
        made = [
            commit(vault, put_tensors(vault, {"w": ("F32", c.shape, c.tobytes())}), ref="x", message="")
            for c in columns
        ]
        old, base = columns[:2]
        bits_old, bits_base, bits_tip = (c.view(np.uint32) for c in columns)
        meant = (old != 0) & (base == 0) if only == "values" else (old == 0) & (base != 0)
        expected = np.where(meant & (bits_tip == bits_base), bits_old, bits_tip)
        clash = bool(np.any(meant & (bits_tip != bits_base) & (bits_tip != bits_old)))
        try:
            revert(vault, "x", undo=made[1].id, only_mask=only, on_conflict="keep")
            is_changed = True
        except NothingToRevertError:
            is_changed = False
        entry = read_manifest(vault, "x").tensors()["w"]
        found = np.frombuffer(read_object(vault, "blobs", entry.digest), np.uint32)
        np.testing.assert_array_equal(found, expected)
        assert is_changed == bool(np.any(expected != bits_tip))
        if clash:
            revert_to = read_ref(vault, "x") if not is_changed else made[2].id
            assert plan_names(vault, made[1].id, only, tip=revert_to) == ("w",)


def plan_names(vault, undo: str, only: str, *, tip: str) -> tuple[str, ...]:
    if read_ref(vault, "x") != tip:
        revert(vault, "x", to=tip)
    with pytest.raises(RevertConflictError) as caught:
        plan_revert(vault, "x", undo=undo, only_mask=only)
    return tuple(caught.value.fields["names"])


def test_giving_values_back_and_pruning_again_are_told_apart(vault):
    dense = commit(vault, put_tensors(vault, {"w": [1, 2, 0, 4]}), ref="main", message="").id
    commit(vault, put_tensors(vault, {"w": [0, 5, 7, 4]}), ref="main", message="")
    assert values_of(vault, revert(vault, "main", to=dense, only_mask="values").id) == {"w": (1, 5, 7, 4)}
    assert values_of(vault, revert(vault, "main", to=dense, only_mask="zeros").id) == {"w": (1, 5, 0, 4)}


def test_a_mask_of_another_shape_is_refused(vault):
    first = commit(vault, put_tensors(vault, {"w": [1, 2]}), ref="main", message="").id
    commit(vault, put_tensors(vault, {"w": [1, 2, 3]}), ref="main", message="")
    with pytest.raises(BadRevertError, match="not alike"):
        revert(vault, "main", to=first, only_mask="values")


def test_the_preview_says_what_will_be_and_writes_nothing(vault):
    rows = [row("perplexity", 9.25), row("size", 10.0, basis="estimated")]
    first = put(vault, "main", 1, 1, 1, rows=rows)
    last = put(vault, "main", 2, 2, 1, config="[1]", rows=[row("perplexity", 12.0), row("speed", None)])
    commit(vault, read_version(vault, first).artefact, ref="other", message="")
    before = object_files(vault), refs(vault)
    preview = preview_revert(vault, plan_revert(vault, "main", to=first))
    assert (object_files(vault), refs(vault)) == before
    assert (preview.refs, preview.tip, preview.equals) == (("refs/heads/main",), last, first)
    assert (preview.tensors, preview.files) == (("embed", "layers.0.a"), ("config.json",))
    assert preview.size_bytes == 4 + 4 + len("{}")
    words = preview.in_words()
    assert "perplexity: 12 (measured on that very artefact by run run-perplexity) now, 9.25 (measured" in words
    assert "size: not measured now, 10 (estimated" in words
    assert "speed: no finite number" in words
    assert preview.to_dict()["expected"][2]["now"]["value"] is None
    part = preview_revert(vault, plan_revert(vault, "main", to=first, selection=Selection(tensors=("embed",))))
    assert (part.equals, part.tensors, part.size_bytes) == (None, ("embed",), 4)
    assert "perplexity: 12" in part.in_words()
    assert all(figure.then is None for figure in part.expected)


def test_a_revert_that_cannot_be_meant_is_refused(vault):
    first = put(vault, "main", 1, 1)
    last = put(vault, "main", 2, 1)
    stranger = put(vault, "other", 5, 5)
    for wrong, error in (
        ({}, BadRevertError),
        ({"undo": first, "to": first}, BadRevertError),
        ({"undo": first}, BadRevertError),
        ({"undo": stranger}, BadRevertError),
        ({"to": stranger}, BadRevertError),
        ({"undo": f"{last}..{first}"}, BadRevertError),
        ({"to": first, "tensors": ["embed", "embeb"]}, BadRevertError),
        ({"to": first, "layers": [7]}, BadRevertError),
        ({"to": first, "layers": ["one"]}, BadRevertError),
        ({"to": first, "layers": [0], "tensors": ["embed"]}, BadRevertError),
        ({"to": first, "files": ["*.txt"]}, BadRevertError),
        ({"to": last}, NothingToRevertError),
        ({"to": first, "layers": [0]}, NothingToRevertError),
        ({"to": "nobody"}, UnknownNameError),
    ):
        with pytest.raises(error):
            revert(vault, "main", **wrong)
    with pytest.raises(UnknownNameError):
        revert(vault, "nowhere", to=first)
    assert read_ref(vault, "main") == last


def content_of_config(vault, name: str) -> bytes:
    file = next(file for file in read_manifest(vault, name).files if file.path == "config.json")
    return read_object(vault, "blobs", file.digest)


def commit_files(vault, tmp_path, **shards):
    """A version of several checkpoint files; each is a mapping of tensors, with metadata under `__metadata__`."""
    folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    for name, tensors in shards.items():
        metadata = tensors.get("__metadata__")
        entries = {key: float32(*value) for key, value in tensors.items() if key != "__metadata__"}
        (folder / f"{name}.safetensors").write_bytes(safetensors_bytes(entries, metadata=metadata))
    return commit(vault, put_folder(vault, folder, kind="model"), ref="main", message="").id


def test_a_tensor_comes_back_to_the_file_that_it_was_in(vault, tmp_path):
    first = commit_files(vault, tmp_path, one={"a": [1]}, two={"b": [1], "c": [1]})
    commit_files(vault, tmp_path, one={"a": [2]}, two={"c": [2]})
    made = revert(vault, "main", to=first, tensors=["b"])
    files = {file.path: {entry.name for entry in file.tensors} for file in read_manifest(vault, made.id).files}
    assert files == {"one.safetensors": {"a"}, "two.safetensors": {"b", "c"}}
    assert values_of(vault, made.id) == {"a": (2,), "b": (1,), "c": (2,)}


def test_a_name_that_two_files_use_is_told_apart(vault, tmp_path):
    first = commit_files(vault, tmp_path, one={"w": [1]}, two={"w": [1]})
    commit_files(vault, tmp_path, one={"w": [2]}, two={"w": [2]})
    made = revert(vault, "main", to=first, tensors=["two.safetensors::*"])
    assert values_of(vault, made.id) == {"one.safetensors::w": (2,), "two.safetensors::w": (1,)}


def test_checkpoint_files_and_their_metadata_come_back_only_as_a_whole(vault, tmp_path):
    first = commit_files(vault, tmp_path, one={"a": [1], "b": [1]})
    second = commit_files(vault, tmp_path, one={"a": [1]}, two={"b": [2]})
    with pytest.raises(BadRevertError, match="checkpoint files"):
        revert(vault, "main", to=first, tensors=["b"])
    assert revert(vault, "main", undo=second).artefact == read_version(vault, first).artefact
    third = commit_files(vault, tmp_path, one={"a": [1], "b": [1], "__metadata__": {"format": "pt"}})
    commit_files(vault, tmp_path, one={"a": [2], "b": [1], "__metadata__": {"format": "pt"}})
    with pytest.raises(BadRevertError, match="metadata"):
        revert(vault, "main", undo=third)
