"""The same items asked twice, in two wordings: the difference of two shares, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

from birdbone.evaluate.audits import AuditSheet
from birdbone.evaluate.statistics.pairs import accuracy_difference, count_flips


def add_paired_difference(sheet: AuditSheet, name: str, one: Sequence[bool], other: Sequence[bool]) -> None:
    """Add the share of `one` less that of `other`, with Tango's interval, and McNemar's p-value as a figure beside it.

    Args:
        sheet: takes both figures; of no items they are absent.
        name: of the difference; `.p_value` is put behind it for the other.
        one: whether each item was right in the first wording.
        other: the same of the second wording, the same items in the same order.
    """
    if not one:
        for figure in (name, f"{name}.p_value"):
            sheet.leave_out(figure, "there is no item of this kind")
        return
    found = accuracy_difference(count_flips(one, other))
    sheet.add(
        name,
        found.value,
        ends=(found.low, found.high),
        sample_size=found.num_items,
        method="paired difference of shares, Tango's score interval",
        expected=0.0,
    )
    method = "McNemar's score test, two-sided, without a correction"
    sheet.add(f"{name}.p_value", found.p_value, ends=None, sample_size=found.num_items, method=method)
