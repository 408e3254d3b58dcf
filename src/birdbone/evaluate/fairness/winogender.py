"""Winogender: one pronoun in three genders, whose right answer its gender does not change.

Source: Rudinger et al. 2018, arXiv:1804.09301, section 3. Differs: the paper's are coreference systems; how a causal
model is asked is told in `schemas`. The paper's "gotcha" sentences, and its correlation with the share of women in an
occupation, need figures of the labour market that the file does not hold: they are not measured.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from birdbone.evaluate.audits import TOO_LONG, AuditResult, AuditSheet
from birdbone.evaluate.benchmarks.judge import Judge, Progress
from birdbone.evaluate.errors import BadItemsError
from birdbone.evaluate.fairness.pairing import add_paired_difference
from birdbone.evaluate.fairness.schemas import (
    PRONOUNS,
    Gender,
    Schema,
    Wording,
    resolve_by_substitution,
    resolve_pronouns,
)
from birdbone.evaluate.item_files import ItemRow, read_table

_GENDERS: tuple[Gender, ...] = get_args(Gender)
_ID = re.compile(r"([^.]+)\.([^.]+)\.([01])\.(male|female|neutral)\.txt")
_METHOD = "the person's name that is likelier per byte after `He refers to`; see the figures' own methods"


def read_winogender(path: Path) -> list[Schema]:
    """Return the schemas of the file, each in three genders.

    Raises:
        MissingItemsError: there is no such file.
        BadItemsError: names file, row and column.
    """
    found: dict[tuple[str, str, str], dict[Gender, ItemRow]] = {}
    for row in read_table(path, ("sentid", "sentence"), delimiter="\t"):
        parts = _ID.fullmatch(row.text("sentid"))
        if parts is None:
            raise row.fault("sentid", "occupation.participant.answer.gender.txt was expected")
        gender = next(gender for gender in _GENDERS if gender == parts[4])
        found.setdefault((parts[1], parts[2], parts[3]), {})[gender] = row
    for key, rows in found.items():
        if len(rows) != len(_GENDERS):
            missing = next(gender for gender in _GENDERS if gender not in rows)
            raise BadItemsError(
                f"{path.name} has no row {'.'.join(key)}.{missing}.txt.", file=path.name, column="sentid"
            )
    return [_schema(occupation, other, int(answer), rows) for (occupation, other, answer), rows in found.items()]


def audit_winogender(
    judge: Judge, schemas: Sequence[Schema], *, artefact: str, progress: Progress | None = None
) -> AuditResult:
    """Return accuracy by gender, the paired differences of male and neutral to female, and the control without gender.

    Args:
        judge: the model.
        schemas: what is asked.
        artefact: digest of the model.
        progress: is told of requests answered, for each question anew.
    """
    asked = [(schema, gender) for schema in schemas for gender in _GENDERS]
    answers = iter(resolve_pronouns(judge, asked, progress=progress))
    of_schemas = [(schema, {gender: next(answers) for gender in _GENDERS}) for schema in schemas]
    told = [(schema, found) for schema, found in of_schemas if None not in found.values()]
    right = {gender: [bool(found[gender]) for _, found in told] for gender in _GENDERS}
    sheet = AuditSheet(audit="winogender", artefact=artefact, method=_METHOD)
    for gender, hits in right.items():
        sheet.add_share(f"accuracy.{gender}", sum(hits), len(hits), method="pronoun resolved rightly")
    add_paired_difference(sheet, "male_less_female", right["male"], right["female"])
    add_paired_difference(sheet, "neutral_less_female", right["neutral"], right["female"])
    blind = resolve_by_substitution(judge, [schema for schema, _ in told], progress=progress)
    hits = [one for one in blind if one is not None]
    method = "rest of the sentence likelier after the right person, without a pronoun: blind to gender, a guess has 0.5"
    sheet.add_share("accuracy.substitution", sum(hits), len(hits), method=method)
    sheet.leave_out("gotcha", "needs each occupation's share of women, which the file does not hold")
    return sheet.result(num_items=len(told), skipped={TOO_LONG: len(schemas) - len(told)})


def _schema(occupation: str, other: str, answer: int, rows: Mapping[Gender, ItemRow]) -> Schema:
    cut = {gender: _cut(row, gender) for gender, row in rows.items()}
    befores = {before for before, _ in cut.values()}
    if len(befores) != 1:
        raise rows["female"].fault("sentence", "the same words before the pronoun in each gender were expected")
    other = other if other == "someone" else f"the {other}"
    return Schema(
        before=befores.pop(),
        wordings={gender: wording for gender, (_, wording) in cut.items()},
        people=(f"the {occupation}", other),
        answer=answer,
    )


def _cut(row: ItemRow, gender: Gender) -> tuple[str, Wording]:
    sentence = row.text("sentence")
    found = re.search(rf"\b({'|'.join(PRONOUNS[gender])})\b", sentence, re.IGNORECASE)
    if found is None:
        raise row.fault("sentence", f"a {gender} pronoun was expected")
    return sentence[: found.start()], Wording(pronoun=found[1], rest=sentence[found.end() :])
