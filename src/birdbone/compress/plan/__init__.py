"""One plan over several techniques: what fits together, what it would come to, which to take, and carrying it out.

`techniques` says what a plan is, `compatibility` what may follow what, `profiles` what kinds of machines like. `survey`
and `measuring` measure, `cache` keeps; `layout` says what a plan leaves, from which `size` counts bytes, `latency`
predicts time and `loss` nats; `forecast` puts them together. `search` finds the front, `recommend` chooses from it,
`making` carries the choice out.
"""

from birdbone.compress.plan.compatibility import Ground, Objection, find_objections, require_compatible
from birdbone.compress.plan.profiles import PROFILES, DeviceProfile
from birdbone.compress.plan.techniques import Bits, Cut, Heal, LowRank, Plan, Step, Zeros, plan_from_data

__all__ = [
    "PROFILES",
    "Bits",
    "Cut",
    "DeviceProfile",
    "Ground",
    "Heal",
    "LowRank",
    "Objection",
    "Plan",
    "Step",
    "Zeros",
    "find_objections",
    "plan_from_data",
    "require_compatible",
]
