"""Config, tokenizer, chat template and card are compared in their own terms, and nothing in a file breaks a diff."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.vault import put_folder, read_manifest
from birdbone.vault.diff import FileDiff, diff_files, diff_tokenizers, diff_values
from birdbone.vault.diff.files import diff_texts

leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=4)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
vocabularies = st.lists(st.text(min_size=1, max_size=3), unique=True, max_size=12).map(
    lambda tokens: {token: index for index, token in enumerate(tokens)}
)


@pytest.fixture
def diff_of(vault, tmp_path):
    def diff_folders(before: dict[str, bytes], after: dict[str, bytes]) -> dict[str, FileDiff]:
        manifests = []
        for side, files in (("before", before), ("after", after)):
            (tmp_path / side).mkdir()
            for path, content in files.items():
                (tmp_path / side / path).write_bytes(content)
            manifests.append(read_manifest(vault, put_folder(vault, tmp_path / side, kind="model")))
        return {file.path: file for file in diff_files(vault, *manifests)}

    return diff_folders


@given(values, values)
def test_two_values_differ_by_nothing_exactly_if_they_are_the_same_json(old, new):
    is_same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    assert (diff_values(old, new) == ()) == is_same


@given(values, values)
def test_swapping_two_values_swaps_old_and_new(old, new):
    there, back = diff_values(old, new), diff_values(new, old)
    assert [(c.path, c.old, c.new) for c in there] == [(c.path, c.new, c.old) for c in back]


def test_a_nested_key_is_named_from_the_top():
    old = {"rope": {"factor": 8.0, "type": "linear"}, "heads": [1, 2], "a.b": 1, "none": None}
    new = {"rope": {"factor": 16.0}, "heads": [1, 2, 3], "a.b": 2}
    assert [(c.path, c.change, c.old, c.new) for c in diff_values(old, new)] == [
        ('["a.b"]', "changed", "1", "2"),
        ("heads[2]", "added", None, "3"),
        ("none", "removed", "null", None),
        ("rope.factor", "changed", "8.0", "16.0"),
        ("rope.type", "removed", '"linear"', None),
    ]


@given(vocabularies, vocabularies)
def test_the_tokens_of_one_side_and_the_diff_give_those_of_the_other(old, new):
    found = diff_tokenizers({"model": {"vocab": old}}, {"model": {"vocab": new}})
    assert found is not None
    words, settings = found
    rebuilt = {token: index for token, index in old.items() if (token, index) not in words.removed}
    rebuilt |= dict(words.added) | {move.token: move.id_after for move in words.moved}
    assert (rebuilt, settings) == (new, ())
    assert all(old[move.token] == move.id_before for move in words.moved)


def test_a_tokenizer_tells_tokens_merges_and_settings_apart():
    def tokenizer(vocabulary: object, merges: list[Any], *, is_special: bool) -> dict[str, Any]:
        added = [{"id": 9, "content": "<s>", "special": is_special}]
        return {"model": {"type": "BPE", "vocab": vocabulary, "merges": merges}, "added_tokens": added}

    found = diff_tokenizers(
        tokenizer({"a": 0, "b": 1}, ["a b", "b a", "a a"], is_special=True),
        tokenizer({"a": 1, "c": 0}, [["b", "a"], ["a", "b"], ["c", "c"]], is_special=False),
    )
    assert found is not None
    words, settings = found
    assert (words.num_tokens_before, words.added, words.removed) == (3, (("c", 0),), (("b", 1),))
    assert [(move.token, move.id_before, move.id_after) for move in words.moved] == [("a", 0, 1)]
    assert (words.num_merges_added, words.num_merges_removed, words.is_merge_order_changed) == (1, 1, True)
    assert [change.path for change in settings] == ['added_tokens["<s>"].special']


def test_a_unigram_vocabulary_is_a_list():
    found = diff_tokenizers({"model": {"vocab": [["a", -1.0], ["b", -2.0]]}}, {"model": {"vocab": [["b", -2.0]]}})
    assert found is not None
    assert found[0].removed == (("a", 0),)
    assert [(move.token, move.id_after) for move in found[0].moved] == [("b", 0)]


@given(st.lists(st.text(max_size=5)), st.lists(st.text(max_size=5)))
def test_a_text_diff_names_every_line_that_came_or_went(old, new):
    before, after = "\n".join(old), "\n".join(new)
    lines = diff_texts(before, after)
    assert (lines == ()) == (before == after)
    kept = len(before.split("\n")) - sum(line[:1] == "-" for line in lines)
    assert kept == len(after.split("\n")) - sum(line[:1] == "+" for line in lines)


def test_each_file_is_compared_in_its_own_terms(diff_of):
    before = {
        "config.json": b'{"layers": 2}',
        "README.md": b"# Model\nDense.\n",
        "tokenizer_config.json": json.dumps({"chat_template": "{% a %}\n{% b %}", "max": 8}).encode(),
        "vocab.json": b'{"a": 0}',
        "model.gguf": b"GGUF\0\1",
        "gone.txt": b"x",
    }
    after = {
        "config.json": b'{"layers": 3}',
        "README.md": b"# Model\nPruned.\n",
        "tokenizer_config.json": json.dumps({"chat_template": "{% a %}\n{% c %}", "max": 9}).encode(),
        "vocab.json": b'{"a": 0, "b": 1}',
        "model.gguf": b"GGUF\0\2",
        "come.txt": b"x",
    }
    found = diff_of(before, after)
    assert list(found) == [
        "config.json", "tokenizer_config.json", "vocab.json", "README.md", "come.txt", "gone.txt", "model.gguf"
    ]  # fmt: skip
    assert [(c.path, c.old, c.new) for c in found["config.json"].values] == [("layers", "2", "3")]
    assert found["README.md"].texts[0].lines[1:4] == (" # Model", "-Dense.", "+Pruned.")
    template = found["tokenizer_config.json"]
    assert [change.path for change in template.values] == ["max"]
    assert [(text.path, text.lines[-2:]) for text in template.texts] == [("chat_template", ("-{% b %}", "+{% c %}"))]
    assert found["vocab.json"].vocabulary is not None
    assert found["vocab.json"].vocabulary.added == (("b", 1),)
    assert found["model.gguf"].note == "binary, changed"
    assert (found["come.txt"].change, found["come.txt"].size_before, found["come.txt"].size_after) == ("added", None, 1)
    assert (found["gone.txt"].change, found["gone.txt"].size_after) == ("removed", None)


def test_json_that_is_only_written_otherwise_says_so(diff_of):
    found = diff_of({"config.json": b'{"a": 1, "b": 2}'}, {"config.json": b'{ "b": 2,\n "a": 1 }'})
    assert found["config.json"].note == "the same values, written otherwise"


@pytest.mark.parametrize(
    "content",
    [b"{", b"[" * 5000, b"\xff\xfe", b"", b'{"a": "\\ud800"}', b'{"model": {"vocab": 3}}', b"NaN", b"[[1], 2]"],
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "vocab.json", "README.md"])
def test_a_file_that_is_not_what_its_name_says_is_still_compared(diff_of, name, content):
    found = diff_of({name: content}, {name: b'{"a": 1}'})[name]
    assert found.values or found.texts or found.vocabulary or found.note
    json.dumps([c.new for c in found.values], ensure_ascii=False).encode()


def test_a_large_text_is_said_to_be_too_large(diff_of):
    found = diff_of({"data.txt": b"a" * (1 << 20)}, {"data.txt": b"a" * ((1 << 20) + 1)})
    assert found["data.txt"].note == "changed; larger than 1 MiB, so its content was not compared"
