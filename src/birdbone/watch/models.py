"""The table of metrics: one row a figure a step, written as it happens."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Double, Index, Integer, String, Table

from birdbone.core.database import metadata

metrics = Table(
    "metrics",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(128), nullable=False),
    Column("phase", String(64), nullable=False),
    Column("name", String(128), nullable=False),
    Column("step", Integer, nullable=False),
    Column("value", Double, nullable=True),
    Column("nonfinite", String(9), nullable=True),
    Column("unit", String(32), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("ix_metrics_run_name_step", "run_id", "name", "step"),
)
"""A finite figure stands in `value`. NaN and the infinities stand in `nonfinite` by name, because SQLite would keep a
NaN as NULL, which means "not measured" everywhere else in the house."""
