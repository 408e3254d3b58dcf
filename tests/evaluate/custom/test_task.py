"""A task is whole before a model is asked: settings, items, examples."""

from __future__ import annotations

import pytest
from tests.evaluate.custom.readers import task_of, write_items

from birdbone.core.errors import YamlError
from birdbone.evaluate.custom import read_task
from birdbone.evaluate.custom.prompts import messages, plain_text
from birdbone.evaluate.errors import BadItemsError, BadTaskError, EvaluateError

CAPITALS = [
    {"question": "France?", "answer": "Paris"},
    {"question": "Peru?", "answer": "Lima"},
    {"question": "Japan?", "answer": "Tokyo"},
]
EXACT = {"kind": "exact"}
CHOICE = {"kind": "multiple_choice"}


def test_columns_that_say_enough_make_a_task(tmp_path):
    (tmp_path / "My Items-2.csv").write_text("prompt,answer\nFrance?,Paris\n", encoding="utf-8")
    written = read_task(tmp_path / "My Items-2.csv")
    assert (written.name, written.settings.scoring.kind, len(written.items)) == ("my_items_2", "exact", 1)
    write_items(tmp_path / "7.jsonl", {"prompt": "Sky?", "choices": ["green", "blue"], "answer": "blue", "id": 3})
    chosen = read_task(tmp_path / "7.jsonl")
    assert (chosen.name, chosen.settings.scoring.kind) == ("task_7", "multiple_choice")
    assert (chosen.items[0].choices, chosen.items[0].right) == (("green", "blue"), 1)
    write_items(tmp_path / "bad.jsonl", {"question": "Sky?"})
    with pytest.raises(BadTaskError, match="has the columns question"):
        read_task(tmp_path / "bad.jsonl")


def test_a_prompt_holds_system_text_examples_and_the_item(tmp_path):
    task = task_of(tmp_path, CAPITALS, EXACT, prompt="Q: {question}\nA:", system="Be short.", fewshot={"count": 2})
    assert plain_text(task.settings, task.items[0]) == (
        "Be short.\n\nQ: Peru?\nA: Lima\n\nQ: Japan?\nA: Tokyo\n\nQ: France?\nA:"
    )
    assert [turn["role"] for turn in messages(task.settings, task.items[2])] == [
        "system", "user", "assistant", "user", "assistant", "user"
    ]  # fmt: skip
    assert messages(task.settings, task.items[2])[1]["content"] == "Q: France?\nA:"


def test_an_item_is_never_its_own_example(tmp_path):
    task = task_of(tmp_path, CAPITALS, EXACT, fewshot={"count": 2})
    for item in task.items:
        assert len(item.examples) == 2
        assert item.prompt not in {prompt for prompt, _ in item.examples}
    write_items(tmp_path / "shown.jsonl", CAPITALS[1], {"question": "Chile?", "answer": "Santiago"})
    task = task_of(tmp_path, CAPITALS, EXACT, fewshot={"count": 1, "source": "shown.jsonl"})
    assert [item.examples[0][0] for item in task.items] == ["Peru?", "Chile?", "Peru?"]
    with pytest.raises(BadTaskError, match=r"wants 3 examples .* 2 other rows"):
        task_of(tmp_path, CAPITALS, EXACT, fewshot={"count": 3})


def test_letters_are_asked_for_where_the_prompt_lists_the_choices(tmp_path):
    rows = [{"question": f"Sky {at}?", "choices": "green|blue", "answer": "B"} for at in range(2)]
    scoring = CHOICE | {"asks": "letter"}
    task = task_of(tmp_path, rows, scoring, prompt="{question}\n{choices}\nAnswer:", fewshot={"count": 1})
    assert plain_text(task.settings, task.items[0]) == (
        "Sky 1?\nA. green\nB. blue\nAnswer: B\n\nSky 0?\nA. green\nB. blue\nAnswer:"
    )
    assert task.items[0].choices == ("A", "B")


def test_the_version_is_that_of_settings_and_items_and_of_nothing_else(tmp_path):
    first = task_of(tmp_path, CAPITALS, EXACT)
    assert task_of(tmp_path, CAPITALS, EXACT, description="other words").version == first.version
    (tmp_path / "items.jsonl").rename(tmp_path / "moved.jsonl")
    (tmp_path / "own.yaml").write_text(
        "# a remark\nname: own\nitems: moved.jsonl\nprompt: '{question}'\nscoring: {kind: exact}\n", encoding="utf-8"
    )
    assert read_task(tmp_path / "own.yaml").version == first.version
    others = [
        task_of(tmp_path, CAPITALS[:2], EXACT),
        task_of(tmp_path, [*CAPITALS[:2], CAPITALS[2] | {"answer": "Kyoto"}], EXACT),
        task_of(tmp_path, CAPITALS, EXACT | {"ignores": []}),
        task_of(tmp_path, CAPITALS, EXACT, system="Be short."),
        task_of(tmp_path, CAPITALS, EXACT, fewshot={"count": 1}),
    ]
    assert len({first.version, *(other.version for other in others)}) == 6


@pytest.mark.parametrize(
    ("rows", "scoring", "told"),
    [
        ([{"question": "x"}], EXACT, "items.jsonl, row 1 has no column 'answer'"),
        ([CAPITALS[0], {"answer": "x"}], EXACT, "items.jsonl, row 2 has no column 'question'"),
        ([{"question": "  ", "answer": "x"}], EXACT, "row 1 makes an empty prompt"),
        ([*CAPITALS, CAPITALS[1]], EXACT, "items.jsonl, row 4 asks the same as items.jsonl, row 2"),
        ([{"question": "x", "answer": "!!"}], EXACT, "of which nothing counts"),
        ([{"question": "x", "answer": []}], EXACT, "an empty answer"),
        ([{"question": "x", "answer": ["a", " "]}], EXACT, "an empty answer"),
        ([{"question": "x", "answer": "many"}], {"kind": "numeric"}, "one number was expected"),
        ([{"question": "x", "answer": "3 or 4"}], {"kind": "numeric"}, "one number was expected"),
        ([{"question": "x", "choices": "a|b", "answer": "c"}], CHOICE, "none of its 2 choices"),
    ],
)
def test_items_that_cannot_be_asked_are_refused(tmp_path, rows, scoring, told):
    with pytest.raises(BadItemsError, match=told) as caught:
        task_of(tmp_path, rows, scoring)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scoring": {"kind": "magic"}}, "scoring"),
        ({"scoring": {}}, "scoring"),
        ({"name": "Own!"}, "name"),
        ({"name": "piqa"}, "name of a benchmark"),
        ({"prompt": "no place"}, "no {column}"),
        ({"prompt": "{question"}, "prompt"),
        ({"colour": "blue"}, "colour"),
        ({"items": None}, "either `items` or `generate`"),
        ({"fewshot": {"count": 0}}, "fewshot.count"),
        ({"scoring": {"kind": "regex", "pattern": "("}}, "no regular expression"),
        ({"scoring": {"kind": "regex", "pattern": "yes"}}, "no group"),
        ({"scoring": {"kind": "numeric", "tolerance_absolute": -1}}, "tolerance_absolute"),
        ({"scoring": {"kind": "multiple_choice", "choices": ["one"]}}, "two or more different"),
        ({"scoring": {"kind": "judged", "judge": "x", "rubric": "Good?"}}, "lacks {response}"),
        ({"scoring": {"kind": "judged", "judge": "x", "reference": "answer", "rubric": "{first}"}}, "lacks {second}"),
        ({"scoring": {"kind": "judged", "judge": "x", "scale": ["1"]}}, "two or more different grades"),
        ({"items": "other.txt"}, "ends in '.txt'"),
        ({"items": "missing.csv"}, "missing.csv cannot be read"),
        ({"items": "zero\0.csv"}, "cannot be read"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, change, told):
    with pytest.raises(BadTaskError, match=told) as caught:
        task_of(tmp_path, CAPITALS, **({"scoring": EXACT} | change))
    assert caught.value.hint


@pytest.mark.parametrize("content", ["- 1\n", "", "just text\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, content):
    (tmp_path / "own.yaml").write_text(content)
    with pytest.raises(BadTaskError, match="no mapping"):
        read_task(tmp_path / "own.yaml")


def test_other_files_are_refused(tmp_path):
    for name, error in (("own.toml", BadTaskError), ("missing.yaml", BadTaskError)):
        with pytest.raises(error, match=name):
            read_task(tmp_path / name)
    (tmp_path / "own.yaml").write_text("name: [\n")
    with pytest.raises(YamlError, match=r"own\.yaml"):
        read_task(tmp_path / "own.yaml")
    (tmp_path / "own.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(EvaluateError, match="not UTF-8"):
        read_task(tmp_path / "own.yaml")


def test_items_may_be_made(tmp_path):
    grammar = {
        "kind": "grammar", "count": 6, "lists": {"bird": ["wren", "owl", "rook"]},
        "columns": {"question": "{bird1} or {bird2}?", "choices": ["{bird1}", "{bird2}"], "answer": "{bird2}"},
    }  # fmt: skip
    for balance in ("place", "none"):
        task = task_of(tmp_path, [], CHOICE, items=None, generate=grammar | {"balance": balance})
        assert len(task.items) == 6
        assert sum(item.right for item in task.items) == (3 if balance == "place" else 6)
    told = {"kind": "mutations", "items": "items.jsonl", "column": "question", "changes": ["case"], "keeps_given": True}
    task = task_of(tmp_path, CAPITALS, EXACT, items=None, generate=told)
    assert len(task.items) == 6
    assert task.items[3].where == "items.jsonl, case, row 1"
    with pytest.raises(BadTaskError, match="No change"):
        task_of(tmp_path, [{"question": "7", "answer": "7"}], EXACT, items=None, generate=told | {"keeps_given": False})


@pytest.mark.parametrize(
    ("scoring", "told"), [(EXACT, "needs multiple choice"), (CHOICE | {"answer_as": "index"}, "text")]
)
def test_a_balance_that_cannot_be_kept_is_refused(tmp_path, scoring, told):
    grammar = {"kind": "grammar", "count": 1, "columns": {"question": "x", "answer": "y"}, "balance": "place"}
    with pytest.raises(BadTaskError, match=told):
        task_of(tmp_path, [], scoring, items=None, generate=grammar)
