"""Continuous validation: each new version of a ref is judged, cheap questions first.

Owns: the rungs (smoke, quick, full), the ledger of what was judged, and the walk over versions that nobody judged yet.
Needs: `core`, `vault`, the gates. It measures nothing itself: whoever follows a ref gives it what does.
"""

from birdbone.evaluate.continuous.following import Follower, judge_version, unjudged
from birdbone.evaluate.continuous.ledger import Judgement, Ledger, RungVerdict
from birdbone.evaluate.continuous.rungs import RUNGS, Rung, RungName, rules_on

__all__ = [
    "RUNGS",
    "Follower",
    "Judgement",
    "Ledger",
    "Rung",
    "RungName",
    "RungVerdict",
    "judge_version",
    "rules_on",
    "unjudged",
]
