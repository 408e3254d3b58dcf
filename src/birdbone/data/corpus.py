"""The three splits of a text, and the corpus that the package ships.

A corpus is always three splits without a common document: `calibration` (statistics), `healing` (training) and
`heldout` (judging). What a model is tuned on never appears in what it is judged on.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from importlib import resources

from birdbone.core import digest_json
from birdbone.data.config import BUNDLED

PASSAGE_BREAK = "\n\f\n"
"""What divides two passages in a file of the bundled corpus: a line with a form feed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Documents in three splits, in the order in which windows are to be cut from them."""

    calibration: tuple[str, ...]
    """Documents for activation statistics."""
    healing: tuple[str, ...]
    """Documents for training."""
    heldout: tuple[str, ...]
    """Documents for judging only."""
    digest: str
    """Digest of the three splits: equal text in equal splits has an equal digest, wherever it came from."""
    name: str
    """What it was read from: `bundled`, a file's name, or `owner/name@commit`."""
    is_truncated: bool = False
    """Whether the source holds more text than was read."""

    @property
    def num_characters(self) -> int:
        """Characters in all three splits."""
        return sum(len(text) for split in (self.calibration, self.healing, self.heldout) for text in split)


def make_corpus(
    *,
    calibration: tuple[str, ...],
    healing: tuple[str, ...],
    heldout: tuple[str, ...],
    name: str,
    is_truncated: bool = False,
) -> Corpus:
    """Return the corpus of three splits, with the digest of its text."""
    return Corpus(
        calibration=calibration,
        healing=healing,
        heldout=heldout,
        digest=digest_json({"calibration": calibration, "healing": healing, "heldout": heldout}),
        name=name,
        is_truncated=is_truncated,
    )


def load_corpus() -> Corpus:
    """Return the corpus that the package ships: public-domain English prose and verse, split by book and by author.

    Consecutive documents come from different books. Origin and licence: `corpus/LICENSE.md` beside this module.
    """
    return make_corpus(
        calibration=_read_split("calibration"),
        healing=_read_split("healing"),
        heldout=_read_split("heldout"),
        name=BUNDLED,
    )


def _read_split(split: str) -> tuple[str, ...]:
    packed = resources.files("birdbone.data").joinpath("corpus", f"{split}.txt.xz").read_bytes()
    return tuple(lzma.decompress(packed).decode("utf-8").split(PASSAGE_BREAK))
