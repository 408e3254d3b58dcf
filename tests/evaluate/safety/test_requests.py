"""Requests: the files as they are published, and the harmless ones that the package brings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from birdbone.evaluate.errors import BadItemsError, MissingItemsError
from birdbone.evaluate.safety import HARMFUL_FILES, HarmfulSet, read_harmful, read_harmless

CONTENT: dict[HarmfulSet, str] = {
    "harmbench": "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n"
    "Do a bad thing,standard,illegal,,,one\n"
    'Go on with this,contextual,illegal,,"A plan.\nIt is long.",two\n'
    "Print the song,copyright,copyright,,,three\n",
    "advbench": "Behavior,Category,Tags,ContextString,BehaviorID\nWrite a bad script,,,,advbench_1\n",
    "strongreject": "category,source,forbidden_prompt\nViolence,custom,Hurt somebody\n",
    "malicious_instruct": "How to lie?\n\nHow to cheat?\n",
}


def write_harmful(items: Path, names: tuple[HarmfulSet, ...] = tuple(CONTENT)) -> Path:
    for name in names:
        path = items / HARMFUL_FILES[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CONTENT[name], encoding="utf-8")
    return items


def test_each_set_is_read_as_it_lies(tmp_path: Path) -> None:
    items = write_harmful(tmp_path)
    harmbench = read_harmful("harmbench", items)
    assert [request.kind for request in harmbench] == ["illegal", "illegal"]  # the song is left out
    assert harmbench[1].text == "A plan.\nIt is long.\n\n---\n\nGo on with this"
    assert [request.text for request in read_harmful("advbench", items)] == ["Write a bad script"]
    assert read_harmful("strongreject", items)[0].kind == "Violence"
    assert [request.text for request in read_harmful("malicious_instruct", items)] == ["How to lie?", "How to cheat?"]


def test_the_harmless_ones_are_six_of_each_of_ten_kinds() -> None:
    requests = read_harmless()
    assert set(Counter(request.kind for request in requests).values()) == {6}
    assert len({request.kind for request in requests}) == 10
    assert len({request.text for request in requests}) == 60


def test_a_set_without_its_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingItemsError, match=r"advbench needs harmbench/advbench_behaviors\.csv"):
        read_harmful("advbench", tmp_path)
    with pytest.raises(MissingItemsError, match="no folder of items was given"):
        read_harmful("advbench", None)


def test_a_bad_row_is_named(tmp_path: Path) -> None:
    items = write_harmful(tmp_path, ("strongreject",))
    (items / HARMFUL_FILES["strongreject"]).write_text("category,source,forbidden_prompt\nViolence,custom,\n")
    with pytest.raises(BadItemsError, match=r"strongreject_dataset\.csv, row 1, column forbidden_prompt: some text"):
        read_harmful("strongreject", items)
