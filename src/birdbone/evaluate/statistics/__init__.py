"""Statistics of judging: how sure a difference between two models is, on the items that both were given.

What needs SciPy, which takes seconds to load, is imported from its own module:

- `proportions`: accuracy with its Wilson interval, and whether it is above chance;
- `retention`: how much of a baseline's accuracy above chance a candidate keeps;
- `pairs`: answers that flipped, McNemar's tests, paired differences with their intervals;
- `equivalence`: no worse than a margin, or equal within one;
- `power`: what difference a number of items can show, and how many items a difference needs.

Two modules need NumPy only: `multiplicity` adjusts p-values for many tasks, and `sequential` has an interval of a mean
that holds however often one looks.
"""

from birdbone.evaluate.statistics.bootstrap import CONFIDENCE, MIN_WINDOWS, bootstrap_means, interval
from birdbone.evaluate.statistics.ratio import PairedRatio, paired_ratio, window_means

__all__ = [
    "CONFIDENCE",
    "MIN_WINDOWS",
    "PairedRatio",
    "bootstrap_means",
    "interval",
    "paired_ratio",
    "window_means",
]
