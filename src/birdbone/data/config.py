"""Settings of the text that a run reads. Free of torch."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from birdbone.core import Settings

BUNDLED = "bundled"
"""The source name of the corpus that the package ships."""


class DataConfig(Settings):
    """Which text a run uses, and how much of each split."""

    source: str = Field(default=BUNDLED, min_length=1)
    """`bundled`, a .txt, .jsonl or .parquet file, a folder of these, or a hub dataset as `owner/name[/folder]`."""
    text_field: str = Field(default="text", min_length=1)
    """The field of a JSONL or Parquet record that holds the text."""
    max_characters: int = Field(default=64_000_000, ge=10_000)
    """Reading stops after this many characters; the corpus then says that it is truncated."""
    window: int = Field(default=512, ge=2, le=1_048_576)
    """Tokens a window: the context length of calibration, healing and evaluation."""
    num_calibration_windows: int = Field(default=64, ge=1)
    """Windows that the activation statistics are taken on."""
    num_healing_windows: int = Field(default=512, ge=1)
    """Windows that healing draws from."""
    num_heldout_windows: int = Field(default=32, ge=1)
    """Windows that every judgement is made on. Below 8 a perplexity carries no interval."""

    @model_validator(mode="after")
    def _holds_all_windows(self) -> Self:
        windows = self.num_calibration_windows + self.num_healing_windows + self.num_heldout_windows
        if windows * self.window > self.max_characters:
            raise ValueError(
                f"{windows} windows of {self.window} tokens need more than {self.max_characters} characters"
            )
        return self
