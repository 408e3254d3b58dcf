"""Each tensor and file is traced to the version that made it what it is."""

import pytest

from birdbone.vault import UnknownNameError, commit, put_folder
from birdbone.vault.history.annotate import annotate

from ..checkpoints import float32, write_model


@pytest.fixture
def keep(vault, tmp_path):
    """Commit a model of the given tensors on top of the given parents, and return the version's id."""

    def keep_model(name: str, parents: list[str], *, config: str = "{}", **values: float) -> str:
        tensors = {tensor: float32(value) for tensor, value in values.items()}
        artefact = put_folder(vault, write_model(tmp_path / name, config=config, **tensors), kind="model")
        return commit(vault, artefact, ref=name, message=name, parents=parents).id

    return keep_model


def blame(vault, name):
    return {found.name: found.version.message for found in annotate(vault, name)}


def test_on_a_line_the_last_change_is_named(vault, keep):
    first = keep("first", [], a=1, b=1, c=1)
    second = keep("second", [first], a=1, b=2, c=1)
    third = keep("third", [second], a=1, b=2, c=1, d=4, config='{"x": 1}')
    assert blame(vault, third) == {
        "a": "first",
        "b": "second",
        "c": "first",
        "d": "third",
        "config.json": "third",
        "model.safetensors": "third",
    }
    assert [found.kind for found in annotate(vault, third)] == ["tensor"] * 4 + ["file"] * 2
    assert blame(vault, second)["config.json"] == "first"


def test_a_tensor_that_was_changed_and_changed_back_is_of_the_version_that_brought_it_back(vault, keep):
    first = keep("first", [], a=1)
    second = keep("second", [first], a=2)
    assert blame(vault, keep("back", [second], a=1))["a"] == "back"


def test_a_merge_passes_on_what_it_took_and_answers_for_what_it_made(vault, keep):
    base = keep("base", [], a=1, b=1, c=1, d=1)
    ours = keep("ours", [base], a=2, b=1, c=2, d=1)
    theirs = keep("theirs", [base], a=1, b=3, c=3, d=1)
    merge = keep("merge", [ours, theirs], a=2, b=3, c=2.5, d=1)
    found = blame(vault, keep("after", [merge], a=2, b=3, c=2.5, d=1, config='{"x": 1}'))
    assert found == {
        "a": "ours",
        "b": "theirs",
        "c": "merge",
        "d": "base",
        "config.json": "after",
        "model.safetensors": "merge",
    }


def test_what_both_sides_made_alike_is_of_the_first_parent(vault, keep):
    base = keep("base", [], a=1)
    ours, theirs = keep("ours", [base], a=2), keep("theirs", [base], a=2, config='{"x": 1}')
    assert blame(vault, keep("merge", [ours, theirs], a=2))["a"] == "ours"
    assert blame(vault, keep("other-way", [theirs, ours], a=2))["a"] == "theirs"


def test_a_new_shape_or_dtype_of_the_same_bytes_is_a_change(vault, tmp_path):
    dtype, shape, raw = float32(1.0, 2.0)
    versions = []
    for name, tensor in (
        ("flat", (dtype, shape, raw)),
        ("column", (dtype, (2, 1), raw)),
        ("ints", ("I32", (2, 1), raw)),
    ):
        artefact = put_folder(vault, write_model(tmp_path / name, a=tensor), kind="model")
        versions.append(commit(vault, artefact, ref="main", message=name))
        assert blame(vault, "main")["a"] == name
    assert blame(vault, "main~1")["a"] == "column"


def test_of_two_merges_crossed_each_tensor_is_traced_once(vault, keep):
    base = keep("base", [], a=1, b=1)
    left, right = keep("left", [base], a=2, b=1), keep("right", [base], a=1, b=2)
    one, two = keep("one", [left, right], a=2, b=2), keep("two", [right, left], a=2, b=2)
    found = annotate(vault, keep("end", [one, two], a=2, b=2))
    assert [part.name for part in found] == ["a", "b", "config.json", "model.safetensors"]
    assert {part.name: part.version.message for part in found}["a"] == "left"
    assert {part.name: part.version.message for part in found}["b"] == "right"


def test_a_name_that_means_nothing_is_said(vault):
    with pytest.raises(UnknownNameError):
        annotate(vault, "nobody")
