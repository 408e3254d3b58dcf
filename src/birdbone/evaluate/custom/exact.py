"""Whether two texts say the same, up to what does not count."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Collection, Sequence

from birdbone.evaluate.custom.scoring import Aspect

_ARTICLES = re.compile(r"\b(a|an|the)\b", flags=re.IGNORECASE)


def normalise(text: str, ignores: Collection[Aspect]) -> str:
    """Return the text without what does not count. White space at both ends never does, nor how letters are composed.

    Source: Rajpurkar et al. 2016, arXiv:1606.05250, section 6, whose script leaves out all four. Differs: punctuation
    is all of Unicode's, letters are folded and not only made small, and each may be switched off.
    """
    if "case" in ignores:
        text = unicodedata.normalize("NFD", text).casefold()
    if "punctuation" in ignores:
        text = "".join(letter for letter in text if not _is_punctuation(letter))
    if "articles" in ignores:
        text = _ARTICLES.sub(" ", text)
    if "spaces" in ignores:
        text = " ".join(text.split())
    return unicodedata.normalize("NFC", text.strip())


def is_same(text: str, accepted: Sequence[str], ignores: Collection[Aspect]) -> bool:
    """Return whether a text is one of those that are right."""
    return normalise(text, ignores) in {normalise(right, ignores) for right in accepted}


def _is_punctuation(letter: str) -> bool:
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")
