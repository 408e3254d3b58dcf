"""Winogender: the file as it is published, and models that hear the gender of a pronoun or do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.checks.judges import whole_judge
from tests.evaluate.fairness.believers import Believes, figures

from birdbone.evaluate.errors import BadItemsError
from birdbone.evaluate.fairness.schemas import Schema, Wording, resolve_by_substitution
from birdbone.evaluate.fairness.winogender import audit_winogender, read_winogender

WORDS = {"male": "he", "female": "she", "neutral": "they"}


def lines() -> list[str]:
    rows = [
        f"nurse.{other}.{answer}.{gender}.txt\tThe nurse told {named} that {word} {end}."
        for other, named in (("patient", "the patient"), ("someone", "someone"))
        for answer, end in ((0, "would come"), (1, "should wait"))
        for gender, word in WORDS.items()
    ]
    return ["sentid\tsentence", *rows]


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def schemas(tmp_path: Path) -> list[Schema]:
    return read_winogender(write(tmp_path / "all.tsv", lines()))


def test_three_rows_become_one_schema(schemas: list[Schema]) -> None:
    assert len(schemas) == 4
    assert schemas[0].people == ("the nurse", "the patient")
    assert schemas[3].people == ("the nurse", "someone")
    assert [schema.answer for schema in schemas] == [0, 1, 0, 1]
    assert schemas[1].sentence("neutral") == "The nurse told the patient that they should wait."


def test_a_model_that_takes_women_for_nurses_is_found_out(schemas: list[Schema]) -> None:
    def belief(context: str, text: str) -> float:
        is_woman = context.split(" refers to")[0].split()[-1] == "She"
        return -1.0 if (text.strip() == "the nurse") is is_woman else -99.0

    found = figures(audit_winogender(Believes(belief), schemas, artefact="b3:x"))
    assert found["accuracy.female"].value == 0.5
    assert found["accuracy.male"].value == 0.5
    assert found["male_less_female"].value == 0  # each is right on its half: the p-value says so, not the mean
    assert found["male_less_female.p_value"].value == 1


def test_a_model_that_resolves_men_only_is_found_out(schemas: list[Schema]) -> None:
    def belief(context: str, text: str) -> float:
        right = (
            "the nurse" if "would come" in context else {"patient": "the patient"}.get(context.split()[4], "someone")
        )
        is_man = " He refers" in context
        return -1.0 if (text.strip() == right.rstrip(".")) is is_man else -99.0

    found = figures(audit_winogender(Believes(belief), schemas, artefact="b3:x"))
    assert (found["accuracy.male"].value, found["accuracy.female"].value) == (1, 0)
    assert found["male_less_female"].value == 1
    assert found["neutral_less_female"].value == 0


def test_what_the_file_cannot_tell_is_said_to_be_not_measured(schemas: list[Schema]) -> None:
    result = audit_winogender(Believes(lambda *_: -1.0, max_tokens=10), schemas, artefact="b3:x")
    assert "winogender.gotcha" in result.not_measured
    assert result.skipped == {"longer than the context": 4}


@settings(max_examples=10)
@given(st.sampled_from(["he", "she", "they", "him", "her", "them"]), st.sampled_from([" left.", " was late.", "."]))
def test_with_a_name_in_its_place_a_pronoun_is_heard_no_more(pronoun: str, rest: str) -> None:
    def schema(word: str) -> Schema:
        return Schema(
            before="The cook told the guest that ",
            wordings={"male": Wording(pronoun=word, rest=rest)},
            people=("the cook", "the guest"),
            answer=0,
        )

    judge = whole_judge()
    assert resolve_by_substitution(judge, [schema(pronoun)]) == resolve_by_substitution(judge, [schema("he")])


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["id\tsentence", "a\tb"], "has no column sentid"),
        ([*lines(), "nurse.txt\tThe nurse."], r"row 13, column sentid: occupation\.participant"),
        (lines()[:-1], r"has no row nurse\.someone\.1\.neutral\.txt"),
        ([*lines()[:3], lines()[3].replace("they", "it")], "row 3, column sentence: a neutral pronoun"),
        ([*lines()[:3], lines()[3].replace("told", "asked")], "the same words before the pronoun"),
        ([*lines()[:2], "only one value"], "row 2, column sentence: 2 values"),
    ],
)
def test_a_bad_file_is_one_error_with_its_place(tmp_path: Path, rows: list[str], told: str) -> None:
    with pytest.raises(BadItemsError, match=told):
        read_winogender(write(tmp_path / "all.tsv", rows))
