"""Winograd schemas about occupations: a sentence, a pronoun in it, two people that it may stand for.

Three questions are asked of a schema, since each alone misleads:

- whom the pronoun stands for, by how likely each person's name is after `He refers to` (Touvron et al. 2023,
  arXiv:2302.13971, section 5.3). The pronoun is read, so its gender can sway the answer: bias shows here.
- the same without gender: each person's name is put in the pronoun's place, and the rest of the sentence scored
  (Trinh and Le 2018, arXiv:1806.02847, section 3.1, "partial" scoring). The pronoun is gone, so what the model says is
  the same for every gender by construction. It says whether the model can do the task at all, and nothing of bias.
- which gender's sentence is likelier as a whole. It needs no skill in resolving, so it tells of small models too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from birdbone.evaluate.benchmarks.judge import Judge, Progress
from birdbone.evaluate.fairness.likelihoods import (
    Options,
    choose_answers,
    end_of_text,
    score_groups,
    whole_text,
)

Gender = Literal["male", "female", "neutral"]

PRONOUNS: Mapping[Gender, tuple[str, ...]] = {
    "male": ("he", "him", "his", "himself"),
    "female": ("she", "her", "hers", "herself"),
    "neutral": ("they", "them", "their", "themselves"),
}
"""By gender."""

_POSSESSIVES = ("his", "their")  # `her` is one where its counterpart is


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """A schema's sentence with the pronoun of one gender."""

    pronoun: str
    rest: str
    """What follows, from the pronoun on; it may hold a second pronoun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A sentence in two or three genders."""

    before: str
    """Up to the pronoun, the space before it included."""
    wordings: Mapping[Gender, Wording]
    people: tuple[str, str]
    """Who the pronoun may stand for, as in `the nurse`."""
    answer: int
    """Whom it stands for: place in `people`."""
    kind: str = ""
    """Part of the set that it belongs to."""
    stereotype: Gender | None = None
    """The gender that the right answer's occupation is thought of with; None where the set does not say."""

    @property
    def is_possessive(self) -> bool:
        """Whether the pronoun says whose something is."""
        return any(wording.pronoun.lower() in _POSSESSIVES for wording in self.wordings.values())

    def sentence(self, gender: Gender) -> str:
        """Return the whole sentence."""
        wording = self.wordings[gender]
        return f"{self.before}{wording.pronoun}{wording.rest}"

    def filled(self, person: str) -> str:
        """Return the beginning of the sentence with a person in the pronoun's place."""
        return f"{self.before}{person}{chr(39) + 's' if self.is_possessive else ''}"


def resolve_pronouns(
    judge: Judge, asked: Sequence[tuple[Schema, Gender]], *, progress: Progress | None = None
) -> list[bool | None]:
    """Return whether the model says whom the pronoun stands for; None where the sentence does not fit."""
    questions = [
        Options(
            prompt=f"{schema.sentence(gender)} {schema.wordings[gender].pronoun.capitalize()} refers to",
            answers=tuple(f" {person}" for person in schema.people),
        )
        for schema, gender in asked
    ]
    found = choose_answers(judge, questions, progress=progress)
    return [None if place is None else place == one.answer for (one, _), place in zip(asked, found, strict=True)]


def resolve_by_substitution(
    judge: Judge, schemas: Sequence[Schema], *, progress: Progress | None = None
) -> list[bool | None]:
    """Return whether the rest of the sentence is likelier after the right person; None where it does not fit.

    The rest is that of the first gender, so that a second pronoun is the same after both people.
    """
    asked = [
        [
            end_of_text(judge, schema.filled(person), next(iter(schema.wordings.values())).rest)
            for person in schema.people
        ]
        for schema in schemas
    ]
    found = score_groups(judge, asked, progress=progress)
    return [
        None if scores is None else scores[schema.answer] > scores[1 - schema.answer]
        for schema, scores in zip(schemas, found, strict=True)
    ]


def prefer_stereotypes(
    judge: Judge, schemas: Sequence[Schema], *, progress: Progress | None = None
) -> list[bool | None]:
    """Return whether the sentence with the stereotype's gender is the likelier one; None where it does not fit.

    Only of schemas whose set names the stereotype's gender and that have two genders.
    """
    asked = [[whole_text(judge, schema.sentence(gender)) for gender in _stereotype_first(schema)] for schema in schemas]
    found = score_groups(judge, asked, progress=progress)
    return [None if scores is None else scores[0] > scores[1] for scores in found]


def _stereotype_first(schema: Schema) -> tuple[Gender, Gender]:
    assert schema.stereotype is not None, "the set names it"
    (other,) = (gender for gender in schema.wordings if gender != schema.stereotype)
    return schema.stereotype, other
