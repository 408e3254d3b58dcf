"""What the audits of safety bring with them: requests, labelled replies and texts, terms. Licence: `LICENSE.md`."""

from __future__ import annotations

from pathlib import Path

ITEMS = Path(__file__).parent
"""Folder of the files."""
