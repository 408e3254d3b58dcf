"""Growth plates: structures that helped a model to learn and carry no load any more.

`structures` names them, `dependency` says what goes with each, `removal` what stays. `redundancy`, `importance` and
`elimination` are pure measures; `survey` takes them in one streamed pass, `ablation` runs a model without a structure.
`protection` says what must stay, `marking` makes the records and `plates` keeps them.
"""

from birdbone.compress.growth.dependency import DependencyGraph, build_dependency_graph
from birdbone.compress.growth.plates import GrowthPlate, PlateLedger, parse_ledger
from birdbone.compress.growth.structures import Structure, match_structures, parse_structure

__all__ = [
    "DependencyGraph",
    "GrowthPlate",
    "PlateLedger",
    "Structure",
    "build_dependency_graph",
    "match_structures",
    "parse_ledger",
    "parse_structure",
]
