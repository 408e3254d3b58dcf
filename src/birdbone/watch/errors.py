"""What can go wrong while watching.

```text
WatchError
└── MissingExtraError   watch.missing_extra   unavailable
```
"""

from __future__ import annotations

from birdbone.core.errors import BirdboneError, ErrorKind


class WatchError(BirdboneError):
    """Anything that stops a figure from being recorded."""

    code = "watch.error"


class MissingExtraError(WatchError):
    """A sink needs a package that is not installed."""

    code = "watch.missing_extra"
    kind: ErrorKind = "unavailable"
