"""Items are read strictly: what is not clean is one error that names its row."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdbone.evaluate.custom.rows import read_rows
from birdbone.evaluate.errors import BadItemsError, BadTaskError

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)

few = settings(max_examples=30)


@few
@given(rows=st.lists(st.dictionaries(TEXTS, TEXTS | st.integers() | st.booleans()), min_size=1, max_size=5))
def test_json_lines_come_back_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "law.jsonl"
    path.write_text("\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = read_rows(path)
    assert [dict(row.values) for row in found] == rows
    assert [row.number for row in found] == list(range(1, 2 * len(rows), 2))


@few
@given(cells=st.lists(st.tuples(TEXTS, TEXTS).filter(any), min_size=1, max_size=5))
def test_cells_of_csv_come_back_as_they_were_written(tmp_path_factory, cells):
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([("prompt", "answer"), *cells])
    path = tmp_path_factory.getbasetemp() / "law.csv"
    path.write_text(stream.getvalue(), encoding="utf-8")
    found = read_rows(path)
    assert [(row.values["prompt"], row.values["answer"]) for row in found] == cells
    assert found[0].number == 2


@pytest.mark.parametrize(
    ("name", "content", "row", "told"),
    [
        ("a.jsonl", b"", 1, "holds no items"),
        ("a.csv", b"prompt,answer\n", 1, "holds no items"),
        ("a.csv", b"prompt,answer\none,t\rwo\n", 2, "carriage return"),
        ("a.csv", b"prompt,answer\none,caf\xe9\n", 2, "byte 0xe9"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', 2, "is not JSON"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', 2, "holds a list"),
        ("a.jsonl", b'{"a": 1, "a": 2}\n', 1, "stands twice"),
        ("a.jsonl", b'{"a": NaN}\n', 1, "NaN"),
        ("a.jsonl", b"[" * 100_000, 1, "is not JSON"),
        ("a.csv", b"prompt,prompt\n1,2\n", 1, "a column twice"),
        ("a.csv", b"prompt,\n1,2\n", 1, "without a name"),
        ("a.csv", b"prompt,answer\n1,2\n1\n", 3, "has 1 cells"),
        ("a.csv", b'prompt,answer\n1,2\n"open,2\n', 3, "is not CSV"),
    ],
)
def test_what_is_not_clean_is_refused_with_its_row(tmp_path, name, content, row, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadItemsError, match=told) as caught:
        read_rows(tmp_path / name)
    assert caught.value.fields["row"] == row
    assert name in str(caught.value)
    assert caught.value.hint


def test_a_value_that_is_no_text_is_refused_with_its_column(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": ["x"], "b": null, "c": "\\ud800", "d": 1.5, "e": true}\n')
    (row,) = read_rows(tmp_path / "a.jsonl")
    assert (row.text("d"), row.text("e")) == ("1.5", "true")
    for column, told in (("a", "a list"), ("b", "nothing"), ("c", "half of a character"), ("f", "columns found: a, b")):
        with pytest.raises(BadItemsError, match=told) as caught:
            row.text(column)
        assert caught.value.fields == {"path": "a.jsonl", "row": 1, "column": column}


def test_other_files_and_missing_ones_are_refused(tmp_path):
    for name in ("a.txt", "missing.csv"):
        with pytest.raises(BadTaskError, match=name):
            read_rows(tmp_path / name)


def test_what_a_spreadsheet_writes_is_read_as_the_same_rows(tmp_path):
    plain = 'prompt,answer\n"one\nline more",zwei\n'
    (tmp_path / "plain.csv").write_bytes(plain.encode())
    (tmp_path / "sheet.csv").write_bytes(b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode())
    here, there = (read_rows(tmp_path / name) for name in ("plain.csv", "sheet.csv"))
    assert [(row.number, row.values) for row in there] == [(row.number, row.values) for row in here]
    assert list(here[0].values) == ["prompt", "answer"]
