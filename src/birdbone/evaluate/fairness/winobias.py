"""WinoBias: pronouns that keep to an occupation's stereotype of gender, and the same sentences against it.

Source: Zhao et al. 2018, arXiv:1804.06876, section 2. Type 1 needs knowledge of the world; in type 2 the syntax tells.
The measure is the paper's: accuracy on sentences that keep to the stereotype less that on those against it. Differs:
the paper's are coreference systems; how a causal model is asked is told in `schemas`.

The files mark the right person and the pronoun alone. The other person is found as the other occupation, of all that
the files mark, that stands before the pronoun. Some lines of the two files differ by more than the pronoun, or hold
other than two people; they are no clean pair, and are left out and counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from birdbone.evaluate.audits import TOO_LONG, AuditResult, AuditSheet
from birdbone.evaluate.benchmarks.judge import Judge, Progress
from birdbone.evaluate.errors import BadItemsError, MissingItemsError
from birdbone.evaluate.fairness.pairing import add_paired_difference
from birdbone.evaluate.fairness.schemas import (
    PRONOUNS,
    Gender,
    Schema,
    Wording,
    prefer_stereotypes,
    resolve_by_substitution,
    resolve_pronouns,
)
from birdbone.evaluate.item_files import ItemRow, read_lines

_TYPES = ("type1", "type2")
_SPLITS = ("dev", "test")
_NUMBER = re.compile(r"^\d+\s+")
_MARKED = re.compile(r"\[([^\[\]]*)\]")
_ARTICLE = re.compile(r"^(the|an?)\s+", re.IGNORECASE)
_GENDERS: dict[str, Gender] = {pronoun: gender for gender, words in PRONOUNS.items() for pronoun in words}
_METHOD = "the person's name that is likelier per byte after `He refers to`; see the figures' own methods"


def read_winobias(folder: Path) -> tuple[list[Schema], int]:
    """Return the schemas of all files of a folder, and how many lines were no pair.

    Raises:
        MissingItemsError: a file has no counterpart, or there is none.
        BadItemsError: a line marks no person or no pronoun; names file and row.
    """
    files = {
        (kind, split, side): folder / f"{side}_stereotyped_{kind}.txt.{split}"
        for kind in _TYPES
        for split in _SPLITS
        for side in ("pro", "anti")
    }
    rows = {key: read_lines(path) for key, path in files.items() if path.is_file()}
    if not rows:
        raise MissingItemsError(f"There is no file pro_stereotyped_type1.txt.dev in {folder}.", file=str(folder))
    occupations = {_occupation(_person(row)) for of_file in rows.values() for row in of_file}
    found: list[Schema | None] = []
    for (kind, split, side), pro in rows.items():
        if side == "pro":
            anti = rows.get((kind, split, "anti")) or read_lines(files[kind, split, "anti"])
            found += [_schema(one, other, occupations, kind) for one, other in _line_up(pro, anti)]
    return [schema for schema in found if schema is not None], found.count(None)


def audit_winobias(
    judge: Judge,
    schemas: Sequence[Schema],
    *,
    artefact: str,
    num_unpaired: int = 0,
    progress: Progress | None = None,
) -> AuditResult:
    """Return accuracy with and against the stereotype, their paired difference, and two figures beside them.

    Args:
        judge: the model.
        schemas: what is asked, as `read_winobias` gives it.
        artefact: digest of the model.
        num_unpaired: lines that `read_winobias` left out, for the record.
        progress: is told of requests answered, for each question anew.
    """
    sheet = AuditSheet(audit="winobias", artefact=artefact, method=_METHOD)
    pro = resolve_pronouns(judge, [(one, _gender(one, keeps=True)) for one in schemas], progress=progress)
    anti = resolve_pronouns(judge, [(one, _gender(one, keeps=False)) for one in schemas], progress=progress)
    told = [
        (one, with_it, against)
        for one, with_it, against in zip(schemas, pro, anti, strict=True)
        if with_it is not None and against is not None
    ]
    for kind in _TYPES:
        chosen = [(with_it, against) for one, with_it, against in told if one.kind == kind]
        _add_resolved(sheet, kind, chosen)
    _add_by_gender(sheet, told)
    _add_controls(sheet, judge, [one for one, _, _ in told], progress)
    return sheet.result(
        num_items=len(told),
        skipped={TOO_LONG: len(schemas) - len(told), "lines that are no clean pair": num_unpaired},
    )


def _add_resolved(sheet: AuditSheet, kind: str, told: Sequence[tuple[bool, bool]]) -> None:
    pro, anti = [one for one, _ in told], [other for _, other in told]
    for name, hits in (("pro", pro), ("anti", anti)):
        sheet.add_share(f"{kind}.accuracy.{name}", sum(hits), len(hits), method="pronoun resolved rightly")
    add_paired_difference(sheet, f"{kind}.pro_less_anti", pro, anti)


def _add_by_gender(sheet: AuditSheet, told: Sequence[tuple[Schema, bool, bool]]) -> None:
    asked: list[tuple[Gender, bool]] = [
        (_gender(one, keeps=keeps), is_right)
        for one, with_it, against in told
        for keeps, is_right in ((True, with_it), (False, against))
    ]
    for gender in ("male", "female"):
        hits = [is_right for asked_gender, is_right in asked if asked_gender == gender]
        sheet.add_share(f"accuracy.{gender}", sum(hits), len(hits), method="pronoun resolved rightly")


def _add_controls(sheet: AuditSheet, judge: Judge, schemas: Sequence[Schema], progress: Progress | None) -> None:
    prefers = [one for one in prefer_stereotypes(judge, schemas, progress=progress) if one is not None]
    method = "share of sentences likelier with the stereotype's pronoun"
    sheet.add_share("prefers_stereotype", sum(prefers), len(prefers), method=method, expected=0.5)
    right = [one for one in resolve_by_substitution(judge, schemas, progress=progress) if one is not None]
    method = "rest of the sentence likelier after the right person, without a pronoun: blind to gender, a guess has 0.5"
    sheet.add_share("accuracy.substitution", sum(right), len(right), method=method)


def _gender(schema: Schema, *, keeps: bool) -> Gender:
    return next(gender for gender in schema.wordings if (gender == schema.stereotype) is keeps)


def _line_up(pro: Sequence[ItemRow], anti: Sequence[ItemRow]) -> list[tuple[ItemRow, ItemRow]]:
    if len(pro) != len(anti):
        raise BadItemsError(
            f"{pro[0].file} has {len(pro)} rows, {anti[0].file} has {len(anti)}: row {min(len(pro), len(anti)) + 1} "
            "of one has no counterpart.",
            file=anti[0].file,
        )
    return list(zip(pro, anti, strict=True))


def _schema(pro: ItemRow, anti: ItemRow, occupations: set[str], kind: str) -> Schema | None:
    """Return the schema of two lines; None where they are no clean pair."""
    cut = [_cut(row) for row in (pro, anti)]
    (before, wording), (other_before, other_wording) = cut
    genders = [_GENDERS[one.pronoun.lower()] for _, one in cut]
    people = _people(before, occupations)
    named = [_occupation(person) for person in people]
    right, other_right = _occupation(_person(pro)), _occupation(_person(anti))
    is_same = before == other_before and _without_pronouns(pro) == _without_pronouns(anti) and right == other_right
    if not is_same or genders[0] == genders[1] or len(people) != 2 or right not in named:
        return None
    return Schema(
        before=before,
        wordings={genders[0]: wording, genders[1]: other_wording},
        people=(people[0], people[1]),
        answer=named.index(right),
        kind=kind,
        stereotype=genders[0],
    )


def _cut(row: ItemRow) -> tuple[str, Wording]:
    """Return what stands before the first marked pronoun, the pronoun, and the rest; no marks, even spaces."""
    line = _text(row)
    pronoun = next((mark for mark in _MARKED.finditer(line) if mark[1].lower() in _GENDERS), None)
    if pronoun is None:
        raise row.fault("line", "a pronoun in brackets was expected")
    before, rest = line[: pronoun.start()], line[pronoun.end() :]
    return _plain(before), Wording(pronoun=pronoun[1], rest=_plain(rest))


def _person(row: ItemRow) -> str:
    people = [mark[1].strip() for mark in _MARKED.finditer(_text(row)) if mark[1].lower() not in _GENDERS]
    if len(people) != 1:
        raise row.fault("line", "one person in brackets was expected")
    return people[0]


def _people(before: str, occupations: set[str]) -> list[str]:
    """Return the occupations in a text with the article before them, in their order."""
    names = "|".join(sorted(map(re.escape, occupations), key=len, reverse=True))
    found = re.finditer(rf"\b(?:(the|an?)\s+)?({names})\b", before, re.IGNORECASE)
    people = [f"{mark[1].lower() if mark[1] else 'the'} {mark[2]}" for mark in found]
    return list({_occupation(person): person for person in people}.values())


def _occupation(person: str) -> str:
    return _ARTICLE.sub("", person.strip()).lower()


def _text(row: ItemRow) -> str:
    return _NUMBER.sub("", row.text("line"))


def _plain(text: str) -> str:
    """Return a piece of a line without marks, its spaces as in print: no two, none before an apostrophe."""
    return re.sub(r"\s+(?='s\b)", "", re.sub(r"\s+", " ", text.replace("[", "").replace("]", "")))


def _without_pronouns(row: ItemRow) -> str:
    marked = _MARKED.sub(lambda mark: "*" if mark[1].lower() in _GENDERS else mark[1], _text(row))
    return _plain(marked).lower()
