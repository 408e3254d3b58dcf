"""The parents of everything that crosses a door: frozen, and an unknown key is an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A frozen pydantic model without extra keys: what the house writes and reads again."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Settings(Strict):
    """What a person fills in. The docstring after a field becomes its help.

    For that pydantic reads the source of the class again when it is made; with records too that was a fifth of what a
    short command took to start.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)
