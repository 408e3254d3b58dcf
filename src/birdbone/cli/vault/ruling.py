"""Rules of reverts as a person names them: a file, and a rule in it."""

from __future__ import annotations

from pathlib import Path

from birdbone.cli.errors import UsageError
from birdbone.vault.errors import UnknownNameError
from birdbone.vault.reverting import RevertRules, SingleRule, read_rules
from birdbone.vault.reverting.rules import GateRule, ThresholdRule

_BUILT_IN = "default"


def is_built_in(file: str | None) -> bool:
    """Return whether the built-in rules are meant: no file, or the word `default`."""
    return file in (None, _BUILT_IN)


def rules_in(file: str | None) -> RevertRules:
    """Return the rules of a file, or the built-in ones. Raises what `read_rules` does."""
    return read_rules(None if file is None or is_built_in(file) else Path(file))


def find_rule(rules: RevertRules, name: str) -> SingleRule:
    """Return the rule of this name.

    Raises:
        UnknownNameError: there is none.
        UsageError: it judges a history and no single version.
    """
    known = {rule.name: rule for rule in rules.rules}
    rule = known.get(name)
    if rule is None:
        raise UnknownNameError(f"No rule is called {name!r}.", hint=f"There are: {', '.join(known)}.", name=name)
    if not isinstance(rule, ThresholdRule | GateRule):
        raise UsageError(
            f"{name} judges a history of versions; a threshold or a gate was expected.",
            hint="`birdbone vault revert --auto RULES` goes by rules of every kind.",
        )
    return rule
