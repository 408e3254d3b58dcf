"""A child answers line by line, whatever its libraries print, and its end is told with its last words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from birdbone.core.children import Child, ChildEndedError, open_child

ECHO = """
import json, os, sys
from birdbone.core.children import own_output
answers = own_output()
print("a library's words")
for line in sys.stdin:
    question = json.loads(line)
    if question == "end":
        sys.exit("no more paper")
    if question == "die":
        os.kill(os.getpid(), 9)
    answers.write(json.dumps([sys.argv[1], question, os.environ.get("OMP_WAIT_POLICY"), os.getsid(0)]) + "\\n")
    answers.flush()
"""


@contextmanager
def echo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    (folder / "echoing_child.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    with open_child("echoing_child", "an order") as child:
        yield child


def test_questions_are_answered_in_turn_in_a_session_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with echo(tmp_path, monkeypatch) as child:
        answers = [child.ask(question) for question in ({"a": 1}, "zwei")]
        assert answers == [["an order", question, None, child.process.pid] for question in ({"a": 1}, "zwei")]
    assert child.process.returncode is not None


@pytest.mark.parametrize(("question", "status", "told"), [("end", 1, "no more paper"), ("die", -9, "signal 9")])
def test_an_end_is_told_with_its_status_and_the_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, question: str, status: int, told: str
) -> None:
    with echo(tmp_path, monkeypatch) as child:
        with pytest.raises(ChildEndedError, match=told) as caught:
            child.ask(question)
        assert caught.value.status == status
        assert caught.value.log[0] == "a library's words"
        with pytest.raises(ChildEndedError, match=told):
            child.ask("still there?")
