"""Tables of runs, their steps and what they measured."""

from __future__ import annotations

from sqlalchemy import JSON, Column, DateTime, Float, ForeignKey, Index, Integer, String, Table

from birdbone.core.database import metadata

runs = Table(
    "runs",
    metadata,
    Column("id", String(96), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("environment", JSON, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("error", JSON),
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", String(96), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("label", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("position", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("num_tries", Integer, nullable=False, default=1),
    Column("progress", JSON),
    Column("result", JSON),
    Column("error", JSON),
)

measurements = Table(
    "measurements",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(96), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("step", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("value", Float, nullable=False),
    Column("unit", String(32), nullable=False),
    Column("basis", String(16), nullable=False),
    Column("method", String(512), nullable=False),
    Column("artefact", String(80), nullable=False),
    Column("sample_size", Integer),
    Column("low", Float),
    Column("high", Float),
    Column("taken_at", DateTime(timezone=True), nullable=False),
    Index("measurements_by_run", "run_id", "step"),
)
