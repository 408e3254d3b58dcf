"""A plan of retention names every version once, never lets go what a ref points at, and more rules keep more."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from birdbone.vault import Lineage
from birdbone.vault.errors import BadQueryError, BadRetentionError
from birdbone.vault.query.retention import RetentionRules, plan_retention

from ..histories import NEW_YEAR, figure, made, snapshot_of, snapshots

NOW = NEW_YEAR + dt.timedelta(days=21)

rules = st.builds(
    RetentionRules,
    newest_per_branch=st.integers(1, 5) | st.none(),
    within_days=st.floats(0.5, 20),
    where=st.sampled_from([(), ("message like '*3'",), ("num_parents > 1", "branch like '*1'")]),
    noted=st.booleans(),
)


def days_of(snapshot, rows) -> list[int]:
    return [(snapshot.versions[row.id].time - NEW_YEAR).days for row in rows]


@settings(max_examples=150, deadline=None)
@given(snapshots(), rules, st.data())
def test_every_reachable_version_is_kept_or_droppable_and_refs_stay(snapshot, chosen, data):
    noted = data.draw(st.sets(st.sampled_from(list(snapshot.versions))))
    plan = plan_retention(snapshot, chosen, now=NOW, noted=noted)
    kept, droppable = [row.id for row in plan.kept], [row.id for row in plan.droppable]
    reached = snapshot.reached_from(snapshot.refs.values())
    assert sorted([*kept, *droppable]) == sorted(reached)
    assert set(snapshot.refs.values()) <= set(kept)
    assert all(row.reasons for row in (*plan.kept, *plan.droppable))
    assert not chosen.noted or noted & reached <= set(kept)
    assert plan == plan_retention(snapshot, chosen, now=NOW, noted=noted)


@settings(max_examples=100, deadline=None)
@given(snapshots(), rules)
def test_one_more_rule_never_lets_go_what_was_kept(snapshot, chosen):
    def kept(**more) -> set[str]:
        wider = chosen.model_copy(update=more)
        return {row.id for row in plan_retention(snapshot, wider, now=NOW).kept}

    assert kept() <= kept(where=(*chosen.where, "time > '2026-01-12'"))
    assert kept() <= kept(newest_per_branch=(chosen.newest_per_branch or 0) + 1)
    assert kept() <= kept(within_days=chosen.within_days + 3)
    assert kept(where=("time is not null",)) == snapshot.reached_from(snapshot.refs.values())


@pytest.fixture
def snapshot():
    """Six days on main, one version beside it, the second day tagged."""
    versions = [made(0)]
    for day in range(1, 6):
        rows = [figure("sparsity", day / 10)]
        versions.append(made(day, versions[-1], measurements=rows, lineage=Lineage(run_id="demo-1")))
    side = made(6, versions[2], message="aside")
    return snapshot_of(*versions, side, main=versions[-1], side=side, tag_v1=versions[1], head="main")


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        ({"newest_per_branch": 1}, [6, 5, 1]),
        ({"newest_per_branch": 2}, [6, 5, 4, 2, 1]),
        ({"within_days": 17}, [6, 5, 4, 1]),
        ({"where": ("sparsity = 0.3",)}, [6, 5, 3, 1]),
        ({"where": ("sparsity = 0.3", "sparsity is null"), "newest_per_branch": 1}, [6, 5, 3, 1, 0]),
    ],
)
def test_each_rule_keeps_what_it_says(snapshot, chosen, kept):
    plan = plan_retention(snapshot, RetentionRules(**chosen), now=NOW)
    assert days_of(snapshot, plan.kept) == kept


def test_the_plan_says_why(snapshot):
    rules = RetentionRules(newest_per_branch=2, within_days=17, where=("sparsity > 40%",))
    ids = {(version.time - NEW_YEAR).days: id for id, version in snapshot.versions.items()}
    needed = {ids[3]: "the run demo-1 goes on from it"}
    plan = plan_retention(snapshot, rules, now=NOW, noted={ids[2]}, needed=needed)
    assert {day: row.reasons for day, row in zip(days_of(snapshot, plan.kept), plan.kept, strict=True)} == {
        6: ("side points at it", "among the newest 2 of side", "committed within 17 days"),
        5: ("main points at it", "among the newest 2 of main", "committed within 17 days", "matches 'sparsity > 40%'"),
        4: ("among the newest 2 of main", "committed within 17 days"),
        3: ("the run demo-1 goes on from it",),
        2: ("it carries a note", "among the newest 2 of side"),
        1: ("tags/v1 points at it",),
    }
    (row,) = plan.droppable
    assert row.reasons == (
        "not among the newest 2 of main, side",
        "21.0 days old",
        "does not match 'sparsity > 40%'",
    )


def test_an_artefact_goes_only_if_nothing_kept_uses_it():
    def keeping(letter: str, day: int, *parents, datasets=()):
        version = made(day, *parents, lineage=Lineage(datasets=tuple(f"b3:{d * 64}" for d in datasets)))
        return version.model_copy(update={"artefact": f"b3:{letter * 64}"})

    data = keeping("d", 0)
    first = keeping("1", 1, data)
    second = keeping("2", 2, first, datasets="d")
    third = keeping("1", 3, second)
    fourth = keeping("4", 4, third, datasets="d")
    snapshot = snapshot_of(data, first, second, third, fourth, main=fourth)
    plan = plan_retention(snapshot, RetentionRules(newest_per_branch=1), now=NOW)
    assert days_of(snapshot, plan.droppable) == [3, 2, 1, 0]
    assert plan.artefacts == (f"b3:{'1' * 64}", f"b3:{'2' * 64}")


@pytest.mark.parametrize("chosen", [{}, {"noted": True}, {"where": ()}, {"where": (" ",)}])
def test_rules_that_keep_nothing_are_refused(chosen):
    with pytest.raises(BadRetentionError, match="Rules of retention were expected"):
        RetentionRules(**chosen)


@pytest.mark.parametrize("chosen", [{"newest_per_branch": 0}, {"within_days": -1}, {"within_days": float("inf")}])
def test_rules_out_of_bounds_are_refused(chosen):
    with pytest.raises(ValidationError):
        RetentionRules(**chosen)


def test_a_query_that_is_wrong_lets_nothing_go(snapshot):
    with pytest.raises(BadQueryError):
        plan_retention(snapshot, RetentionRules(where=("sparsity >",)), now=NOW)
