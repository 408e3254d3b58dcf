"""Reading text from files, folders and a hub; and what is said when that fails."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from birdbone.core import BirdboneError
from birdbone.data import (
    BadRecordError,
    Corpus,
    DataNotFoundError,
    MissingFieldError,
    NotUtf8Error,
    TooLittleTextError,
    UnknownFormatError,
    load_corpus,
    load_texts,
    read_documents,
)

DOCUMENTS = [f"Document {number}: " + f"a sentence about thing {number}. " * 20 for number in range(60)]


def all_texts(corpus: Corpus) -> set[str]:
    return {*corpus.calibration, *corpus.healing, *corpus.heldout}


def write_jsonl(path: Path, records: list[object]) -> Path:
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n", encoding="utf-8")
    return path


def test_bundled_names_the_corpus_of_the_package() -> None:
    assert load_texts("bundled") == load_corpus()


def test_the_same_documents_give_the_same_corpus_from_jsonl_parquet_and_a_folder(tmp_path: Path) -> None:
    jsonl = write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in DOCUMENTS])
    parquet = tmp_path / "b.parquet"
    pq.write_table(pa.table({"id": range(60), "text": DOCUMENTS}), parquet)
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    for number, text in enumerate(DOCUMENTS):
        ((folder / "deep") if number % 2 else folder).joinpath(f"{number}.txt").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text("not read")
    digests = {load_texts(str(path)).digest for path in (jsonl, parquet, folder)}
    assert len(digests) == 1
    assert all_texts(load_texts(str(folder))) == set(DOCUMENTS)


def test_a_long_text_file_is_one_document_cut_in_three(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "\n\n".join(DOCUMENTS).encode())
    corpus = load_texts(str(path))
    parts = (*corpus.calibration, *corpus.healing, *corpus.heldout)
    assert "".join(parts) == "\n\n".join(DOCUMENTS)
    assert corpus.name == "book.txt"


def test_another_text_field_can_be_named(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"body": text, "text": 3} for text in DOCUMENTS])
    assert all_texts(load_texts(str(path), text_field="body")) == set(DOCUMENTS)


def test_reading_stops_at_the_limit_and_says_so(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in DOCUMENTS])
    whole, cut = load_texts(str(path)), load_texts(str(path), max_characters=20_000)
    assert not whole.is_truncated
    assert cut.is_truncated
    assert cut.num_characters == 20_000


def test_a_broken_json_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine"}\n\n{"text": "cut\n')
    with pytest.raises(BadRecordError, match=r"a\.jsonl, line 3 is not JSON"):
        list(read_documents(path))


def test_a_line_that_is_no_object_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecordError, match="line 1 holds a list"):
        list(read_documents(write_jsonl(tmp_path / "a.jsonl", [["text"]])))


def test_a_missing_field_names_the_fields_found(tmp_path: Path) -> None:
    jsonl = write_jsonl(tmp_path / "a.jsonl", [{"text": "fine"}, {"title": "x", "body": "y"}])
    with pytest.raises(MissingFieldError, match="line 2 has no field 'text'; fields found: body, title"):
        list(read_documents(jsonl))
    parquet = tmp_path / "b.parquet"
    pq.write_table(pa.table({"title": ["x"], "body": ["y"]}), parquet)
    with pytest.raises(MissingFieldError, match="no field 'text'; fields found: body, title"):
        list(read_documents(parquet))


def test_a_field_that_holds_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFieldError, match="line 1 holds no text in 'text'"):
        list(read_documents(write_jsonl(tmp_path / "a.jsonl", [{"text": 7}])))
    parquet = tmp_path / "b.parquet"
    pq.write_table(pa.table({"text": [1, 2]}), parquet)
    with pytest.raises(MissingFieldError, match="holds int64, not text"):
        list(read_documents(parquet))


def test_empty_records_and_nulls_are_left_out(tmp_path: Path) -> None:
    parquet = tmp_path / "b.parquet"
    pq.write_table(pa.table({"text": ["one", None, "  ", "two"]}), parquet)
    assert list(read_documents(parquet)) == ["one", "two"]


def test_a_broken_parquet_file_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    pq.write_table(pa.table({"text": DOCUMENTS}), path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(BadRecordError, match=r"b\.parquet cannot be read as Parquet"):
        load_texts(str(path))


def test_text_that_is_not_utf8_is_refused_and_the_byte_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(NotUtf8Error, match="byte 3"):
        load_texts(str(path))
    lines = tmp_path / "latin.jsonl"
    lines.write_bytes(b'{"text": "ok"}\n{"text": "caf\xe9"}\n')
    with pytest.raises(NotUtf8Error, match="line 2"):
        load_texts(str(lines))


@pytest.mark.parametrize("content", ["", "   \n", "a few words only"])
def test_too_little_text_says_how_much_there_is_and_is_needed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tiny.txt"
    path.write_text(content)
    with pytest.raises(TooLittleTextError, match=r"characters of text; at least 10,000") as caught:
        load_texts(str(path))
    assert caught.value.fields["num_characters"] in (0, 16)


def test_an_unknown_suffix_and_a_folder_without_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_text("x")
    for spec in (tmp_path / "a.docx", tmp_path):
        with pytest.raises(UnknownFormatError) as caught:
            load_texts(str(spec))
        assert ".jsonl" in caught.value.hint


@pytest.mark.parametrize("spec", ["./nowhere.txt", "no/such/file.jsonl", "word", "/nowhere/at/all"])
def test_what_is_not_there_is_not_found_and_no_hub_is_asked(spec: str) -> None:
    with pytest.raises(DataNotFoundError, match="no file or folder"):
        load_texts(spec, endpoint="http://127.0.0.1:9")


def test_every_error_carries_a_code_of_this_room_and_a_hint(tmp_path: Path) -> None:
    (tmp_path / "tiny.txt").write_text("x")
    with pytest.raises(BirdboneError) as caught:
        load_texts(str(tmp_path / "tiny.txt"))
    assert caught.value.to_dict()["code"] == "data.too_little_text"
    assert caught.value.hint
