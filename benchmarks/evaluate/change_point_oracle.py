"""Change points by ruptures, in a Python of its own: series in on standard input, places out, both as JSON.

`{"series": [[...]], "penalty": 10.0}` gives `[[places], ...]`: where PELT with the cost of the mean cuts each series.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import ruptures

MIN_STRETCH = 2


def main() -> None:
    asked = json.load(sys.stdin)
    found = []
    for values in asked["series"]:
        search = ruptures.Pelt(model="l2", min_size=MIN_STRETCH, jump=1).fit(np.array(values)[:, None])
        found.append([int(place) for place in search.predict(pen=asked["penalty"])[:-1]])
    json.dump({"version": ruptures.__version__, "places": found}, sys.stdout)


if __name__ == "__main__":
    main()
