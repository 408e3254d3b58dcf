"""Undoing what a version changed: as a whole, in part, at a time, on trial, or by rules over measurements.

Owns: plans and previews of reverts, the reverts themselves, scheduled reverts, canaries, the rules and the log of
decisions. The engine that judges a history by rules is `birdbone.vault.reverting.engine`: it needs river, which takes
seconds to import, and so is not imported here.
Needs: the vault's objects, history and refs.
"""

from birdbone.vault.reverting.apply import apply_plan, revert
from birdbone.vault.reverting.canary import (
    Canary,
    CanaryObservation,
    judge_canary,
    judgeable_rules,
    list_canaries,
    observe_canary,
    read_canary,
    settle_canary,
    start_canary,
)
from birdbone.vault.reverting.decisions import (
    AnswerEntry,
    Decision,
    DecisionEntry,
    OutcomeEntry,
    answer_decision,
    pending_decisions,
    read_decisions,
)
from birdbone.vault.reverting.findings import Evidence, Finding, Judgement
from birdbone.vault.reverting.masks import Conflicts, OnlyMask
from birdbone.vault.reverting.observations import Figure, Observation, RefHistory, observe_ref, observe_versions
from birdbone.vault.reverting.plan import RevertPlan, plan_revert
from birdbone.vault.reverting.preview import ExpectedFigure, ImpactPreview, preview_revert
from birdbone.vault.reverting.rules import DEFAULT_RULES, RevertRules, Rule, SingleRule, read_rules
from birdbone.vault.reverting.schedule import (
    AtTime,
    RevertOrder,
    ScheduledRevert,
    WhenRule,
    cancel_revert,
    due_reverts,
    execute_due_reverts,
    plan_order,
    schedule_revert,
    scheduled_reverts,
)
from birdbone.vault.reverting.selection import ExpertChoice, LayerChoice, Selection

__all__ = [
    "DEFAULT_RULES",
    "AnswerEntry",
    "AtTime",
    "Canary",
    "CanaryObservation",
    "Conflicts",
    "Decision",
    "DecisionEntry",
    "Evidence",
    "ExpectedFigure",
    "ExpertChoice",
    "Figure",
    "Finding",
    "ImpactPreview",
    "Judgement",
    "LayerChoice",
    "Observation",
    "OnlyMask",
    "OutcomeEntry",
    "RefHistory",
    "RevertOrder",
    "RevertPlan",
    "RevertRules",
    "Rule",
    "ScheduledRevert",
    "Selection",
    "SingleRule",
    "WhenRule",
    "answer_decision",
    "apply_plan",
    "cancel_revert",
    "due_reverts",
    "execute_due_reverts",
    "judge_canary",
    "judgeable_rules",
    "list_canaries",
    "observe_canary",
    "observe_ref",
    "observe_versions",
    "pending_decisions",
    "plan_order",
    "plan_revert",
    "preview_revert",
    "read_canary",
    "read_decisions",
    "read_rules",
    "revert",
    "schedule_revert",
    "scheduled_reverts",
    "settle_canary",
    "start_canary",
]
