"""A share of items with its interval."""

from __future__ import annotations

import math
from statistics import NormalDist

from birdbone.evaluate.statistics import CONFIDENCE


def share_interval(num_hits: int, num_items: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a share; (0, 1) where there is no item.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22:209, "Probable inference". Symbols: p = hits / items, lambda = z.
    """
    if num_items == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = num_hits / num_items
    centre = share + z * z / (2 * num_items)
    half = z * math.sqrt(share * (1 - share) / num_items + z * z / (4 * num_items**2))
    scale = 1 + z * z / num_items
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
