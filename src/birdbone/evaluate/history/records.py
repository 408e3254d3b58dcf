"""The record of a judgement: this model was asked this, on that day, by that code. JSON, never changed once written."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import AwareDatetime, Field, field_validator

from birdbone.core import Measurement, Strict
from birdbone.core.digest import digest_json


class Subject(Strict):
    """What was judged, by every name that it had."""

    model: str
    """Its name, as a person gave it."""
    artefact: str
    """Digest of its files."""
    version: str | None = None
    """Id of the vault's version that holds it, if it was taken from there."""
    ref: str | None = None
    """The full name of the ref that led to the version, if one did."""


class Environment(Strict):
    """Where and by what code it was judged. What could not be told is absent."""

    birdbone: str
    """Our version."""
    source_commit: str | None = None
    """Commit of our own source, if Birdbone runs from a git working tree; ends in `-dirty` if files were changed."""
    commit: str | None = None
    """The same for the working tree that the command ran in."""
    python: str
    """Version of Python."""
    platform: str
    """System and processor family."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Versions of what computes, by name: lm-eval, torch, transformers and others that are installed."""
    cpu: str
    """Model of the processor."""
    cores: int
    """Logical cores."""
    gpus: tuple[str, ...] = ()
    """Graphics processors."""
    threads: int | None = None
    """CPU threads of the computation."""
    dtype: str | None = None
    """Number format of the computation."""


class Asked(Strict):
    """What was asked, where the figure is a benchmark's: two figures compare only where all of this is the same."""

    benchmark: str
    """Its name."""
    metric: str
    """lm-eval's name of the score."""
    num_fewshot: int
    """Examples in each prompt."""
    limit: int | None
    """Items of each task that were asked for; None for all."""
    harness: str
    """lm-eval's version, and that of each of its tasks."""
    items_source: str
    """Digest of the items' files, or the hub."""

    @property
    def in_words(self) -> str:
        """What was asked on one line, as a heading."""
        shots = f"{self.num_fewshot} example(s)" if self.num_fewshot else "no examples"
        return f"{self.benchmark}, {shots}, {'all items' if self.limit is None else f'{self.limit} items a task'}"


class Evidence(Strict):
    """What stands behind a benchmark's figure."""

    asked: Asked
    """What was asked."""
    settings: dict[str, str | int | float | bool]
    """Engine and number format."""
    num_shortened: int = 0
    """Requests whose context lost its beginning."""
    chance: float
    """What guessing would score on these items."""
    is_above_chance: bool | None
    """Whether the score lies at least two standard errors above a guess; None where a model graded the answers."""
    standard_error: float | None = None
    """Of the mean score over the items; absent for a single item."""
    result: str
    """Digest of the whole result, item by item, which is kept beside the record."""


class Record(Strict):
    """One judgement of one model."""

    format: Literal["birdbone.evaluation/1"] = "birdbone.evaluation/1"
    """Generation of this record."""
    subject: Subject
    """What was judged."""
    taken_at: AwareDatetime
    """When, in UTC."""
    environment: Environment
    """Where and by what code."""
    measurements: tuple[Measurement, ...] = Field(min_length=1)
    """The figures, each with its interval and method; a benchmark gives one."""
    evidence: Evidence | None = None
    """Of a benchmark; absent for other figures."""

    @field_validator("taken_at")
    @classmethod
    def _in_utc(cls, taken_at: dt.datetime) -> dt.datetime:
        return taken_at.astimezone(dt.UTC)

    @property
    def id(self) -> str:
        """The record's name: the digest of all of it."""
        return digest_json(self.model_dump(mode="json"))
