"""Files of items become what lm-eval's tasks read; a damaged file is one clear error."""

import pytest
from tests.evaluate.benchmarks.texts import write_all_items, write_lines

from birdbone.evaluate.benchmarks.catalogue import BENCHMARKS, POOLED_BLIMP
from birdbone.evaluate.benchmarks.local_items import FILES, items_digest, read_items
from birdbone.evaluate.errors import BadBenchmarkError, MissingBenchmarkError


@pytest.fixture
def folder(tmp_path):
    write_all_items(tmp_path)
    return tmp_path


def test_every_benchmark_has_its_files_and_a_reader(folder):
    assert FILES.keys() == BENCHMARKS.keys()
    for name, benchmark in BENCHMARKS.items():
        tasks = read_items(folder, name)
        assert tasks.keys() <= set(benchmark.tasks)
        assert all(rows for splits in tasks.values() for rows in splits.values())


def test_a_sentence_of_winogrande_is_put_together_again(folder):
    (item,) = read_items(folder, "winogrande")["winogrande"]["validation"]
    assert item == {
        "sentence": "The bird saw the cat so the _ flew away.",
        "option1": "bird",
        "option2": "cat",
        "answer": "1",
    }


def test_truthfulqa_puts_the_best_answer_first_and_says_nothing_twice(folder):
    (item,) = read_items(folder, "truthfulqa_mc2")["truthfulqa_mc2"]["validation"]
    assert item["mc1_targets"] == {"choices": ["Yes", "No", "Never"], "labels": [1, 0, 0]}
    assert item["mc2_targets"] == {"choices": ["Yes", "A little", "No", "Never"], "labels": [1, 1, 0, 0]}


def test_blimp_takes_its_paradigms_in_turn(folder):
    rows = read_items(folder, "blimp")[POOLED_BLIMP]["validation"]
    assert [row["UID"] for row in rows] == ["one", "two", "one", "two"]


def test_lambada_and_arc_are_as_on_the_hub(folder):
    assert read_items(folder, "lambada")["lambada_openai"]["test"] == [{"text": "a bird has wings"}]
    first = read_items(folder, "arc_easy")["arc_easy"]["test"][0]
    assert (first["question"], first["answerKey"]) == ("Which is light?", "A")
    assert first["choices"] == {"text": ["a bone", "a stone", "lead"], "label": ["A", "B", "C"]}


def test_the_digest_follows_the_bytes(folder):
    before = items_digest(folder, "piqa")
    write_lines(folder / "llmfoundry" / "piqa.jsonl", [{"query": "Question: x\n", "choices": ["a", "b"], "gold": 1}])
    assert items_digest(folder, "piqa") != before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"query": "Question: x", "gold": 0}\n', "no column 'choices'"),
        (b"[1]\n", "line 1 is not a JSON object"),
        (b"{nonsense\n", "cannot be read"),
        (b"\xff\xfe\n", "cannot be read"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(folder, content, words):
    (folder / "llmfoundry" / "piqa.jsonl").write_bytes(content)
    with pytest.raises(BadBenchmarkError, match=words):
        read_items(folder, "piqa")


def test_a_missing_file_is_named(folder):
    (folder / "BLiMP.zip").unlink()
    with pytest.raises(MissingBenchmarkError, match=r"blimp needs BLiMP.zip"):
        read_items(folder, "blimp")
