"""All audits in a row: from the files as they lie to one result each."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from tests.evaluate.fairness import test_bbq, test_crows_pairs, test_winobias, test_winogender
from tests.evaluate.fairness.believers import Believes

from birdbone.evaluate.errors import MissingItemsError
from birdbone.evaluate.fairness import FAIRNESS_AUDITS, AuditName
from birdbone.evaluate.fairness.running import prepare_fairness, run_fairness

NAMES: tuple[AuditName, ...] = get_args(AuditName)


@pytest.fixture
def items(tmp_path: Path) -> Path:
    test_crows_pairs.write(tmp_path / FAIRNESS_AUDITS["crows_pairs"].place, test_crows_pairs.ROWS)
    test_bbq.write(tmp_path / FAIRNESS_AUDITS["bbq"].place, test_bbq.whole_set(2))
    test_winobias.write(tmp_path / FAIRNESS_AUDITS["winobias"].place, test_winobias.PRO, test_winobias.ANTI)
    test_winogender.write(tmp_path / FAIRNESS_AUDITS["winogender"].place, test_winogender.lines())
    return tmp_path


def test_every_audit_is_asked_of_so_many_items(items: Path) -> None:
    assert tuple(FAIRNESS_AUDITS) == NAMES
    judge = Believes(lambda context, text: -1.0 - sum(map(ord, context + text)) % 89)
    prepared = prepare_fairness(NAMES, items=items, limit=2)
    results = list(run_fairness(judge, prepared, artefact="b3:x"))
    assert [result.audit for result in results] == list(NAMES)
    num_items = {result.audit: result.num_items for result in results}
    assert num_items == {"crows_pairs": 2, "bbq": 2, "winobias": 2, "winogender": 2, "substitution": 14}
    for result in results:
        assert result.measurements
        assert len({figure.name for figure in result.measurements}) == len(result.measurements)
        assert {figure.artefact for figure in result.measurements} == {"b3:x"}


def test_what_a_file_lacks_is_known_before_a_model_is_asked(items: Path) -> None:
    (items / FAIRNESS_AUDITS["crows_pairs"].place).unlink()
    with pytest.raises(MissingItemsError, match=r"crows_pairs needs crows_pairs_anonymized\.csv, not in"):
        prepare_fairness(NAMES, items=items)
    with pytest.raises(MissingItemsError, match="no folder of items"):
        prepare_fairness(("bbq",), items=None)
    assert set(prepare_fairness(("substitution",), items=None)) == {"substitution"}
