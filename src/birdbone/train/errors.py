"""What can go wrong while training.

```text
BirdboneError
└── TrainError
    └── DivergedError     train.diverged
```
"""

from __future__ import annotations

from birdbone.core import BirdboneError, ErrorKind


class TrainError(BirdboneError):
    """Root of this room's errors."""

    code = "train.failed"
    kind: ErrorKind = "invalid"


class DivergedError(TrainError):
    """The loss became NaN or infinite at every rate that was tried; the parameters are as they were before."""

    code = "train.diverged"
    hint = "Lower the learning rate."
