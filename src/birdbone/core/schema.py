"""The parent of everything that crosses a door: frozen, and an unknown key is an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A frozen pydantic model without extra keys; attribute docstrings become the help of each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
