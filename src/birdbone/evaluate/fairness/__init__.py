"""Fairness: whether a model treats groups of people alike, by well-known sets and by scenes of our own.

Owns: readers of CrowS-Pairs, BBQ, WinoBias and Winogender as their makers publish them, what each asks and how it is
scored, counterfactual scenes, measures over groups.
Needs: `core`, the `Judge` of `benchmarks`, `audits`, `statistics`, numpy, scipy. No torch: what computes is the judge.
What is light is here; `running` and the audits are imported by their own names.
"""

from birdbone.evaluate.fairness.catalogue import FAIRNESS_AUDITS, AuditName, FairnessAudit
from birdbone.evaluate.fairness.gaps import Gap, group_gaps
from birdbone.evaluate.fairness.groups import (
    GroupRates,
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
    equalized_odds_ratio,
    false_positive_rates,
    selection_rates,
    true_positive_rates,
)

__all__ = [
    "FAIRNESS_AUDITS",
    "AuditName",
    "FairnessAudit",
    "Gap",
    "GroupRates",
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equalized_odds_difference",
    "equalized_odds_ratio",
    "false_positive_rates",
    "group_gaps",
    "selection_rates",
    "true_positive_rates",
]
