"""What was measured is kept, gone on with after a stop, and good enough to predict and search from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from birdbone.compress.errors import ShareOutOfReachError
from birdbone.compress.plan import Bits, Cut, Ground, Plan, find_objections
from birdbone.compress.plan.cache import PlanCache
from birdbone.compress.plan.forecast import Forecaster
from birdbone.compress.plan.front import costs_of, dominates
from birdbone.compress.plan.layout import Drafter
from birdbone.compress.plan.measuring import Evidence, Measurer, Subject
from birdbone.compress.plan.search import plan_space, search_plans
from birdbone.compress.plan.survey import bits_from_data, cuts_from_data
from birdbone.compress.plan.timing import EngineTimer, Timer, TimingOrder, Turns, open_in_process, turns_from_data

from .conftest import CONFIG, measurer_of


class Stopped(Exception):
    """A person pressed a key."""


@contextmanager
def _nothing_is_timed(_order: TimingOrder) -> Iterator[Timer]:
    raise AssertionError("everything was timed before")
    yield


@contextmanager
def _stops_at_the_third_file(order: TimingOrder) -> Iterator[Timer]:
    with open_in_process(order) as timer:
        yield _Impatient(timer)


class _Impatient:
    def __init__(self, timer: EngineTimer) -> None:
        self._timer, self._num_left = timer, 2

    def time(self, path: Path) -> Turns:
        if not self._num_left:
            raise Stopped
        self._num_left -= 1
        return self._timer.time(path)


def test_a_second_measuring_reads_what_the_first_one_kept(
    subject: Subject, plan_cache: PlanCache, evidence: Evidence
) -> None:
    again = measurer_of(subject, plan_cache).measure(open_timer=_nothing_is_timed)
    assert again.timed == evidence.timed
    assert again.judged == evidence.judged
    assert again.cuts.to_data() == evidence.cuts.to_data()
    assert again.bits.to_data() == evidence.bits.to_data()


def test_timing_that_was_stopped_goes_on_where_it_was(
    subject: Subject, measurer: Measurer, drafter: Drafter, tmp_path: Path
) -> None:
    cache = PlanCache(tmp_path)
    with pytest.raises(Stopped):
        measurer_of(subject, cache).time_files(drafter, open_timer=_stops_at_the_third_file)
    (path,) = tmp_path.glob("latency-*.json")
    kept = json.loads(path.read_text())["rows"]
    assert len(kept) == 2
    timed = measurer_of(subject, cache).time_files(drafter, open_timer=open_in_process)
    found = {each.name: each.ratio for each in timed}
    for name, turns in kept.items():
        assert found[name] == turns_from_data(turns).ratio
    assert found["f16"] == 1.0


def test_what_depends_on_text_and_on_the_machine_is_kept_apart(
    subject: Subject, plan_cache: PlanCache, evidence: Evidence
) -> None:
    other = Measurer(subject, CONFIG, hardware_digest="b3:there", num_threads=1, cache=plan_cache, ground=Ground())
    cuts, _ = other.facts()
    assert cuts.to_data() == evidence.cuts.to_data()
    names = {path.name.split("-")[0] for path in plan_cache.folder.glob("*.json")} if plan_cache.folder else set()
    assert names == {"loss", "latency"}
    assert len(other._times) == 0


def test_facts_survive_as_data(evidence: Evidence) -> None:
    cuts, bits = evidence.cuts.to_data(), evidence.bits.to_data()
    assert cuts_from_data(json.loads(json.dumps(cuts))).to_data() == cuts
    assert bits_from_data(json.loads(json.dumps(bits))).to_data() == bits


def test_a_file_that_is_damaged_is_as_good_as_none(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    cache.shelf("loss", {"model": "a"}).keep("base", 3.0)
    assert cache.shelf("loss", {"model": "a"}).find("base") == 3.0
    assert cache.shelf("loss", {"model": "b"}).find("base") is None
    (path,) = tmp_path.iterdir()
    path.write_text("{")
    assert cache.shelf("loss", {"model": "a"}).find("base") is None
    shelf = PlanCache(None).shelf("loss", {})
    shelf.keep("base", 1.0)
    assert shelf.find("base") == 1.0


def test_cuts_of_two_kinds_share_no_layer_and_reach_their_shares(drafter: Drafter) -> None:
    layout = drafter.draft(Plan(steps=(Cut(pattern="layer", share=0.2), Cut(pattern="neuron", share=0.1))))
    gone = {found.layer for found in layout.structures if found.kind == "layer"}
    assert gone
    assert gone.isdisjoint(found.layer for found in layout.structures if found.kind == "neuron")
    left = drafter.graph.num_decoder_parameters - drafter.graph.num_parameters(layout.structures)
    assert left <= 0.7 * drafter.graph.num_decoder_parameters
    with pytest.raises(ShareOutOfReachError):
        drafter.draft(Plan(steps=(Cut(pattern="layer", share=0.7),)))


def test_the_search_finds_a_front_of_plans_that_can_be_made(forecaster: Forecaster) -> None:
    pytest.importorskip("optuna")
    space = plan_space(forecaster, Ground())
    found = search_plans(forecaster, space)
    assert search_plans(forecaster, space).front == found.front
    assert len(found.front) >= 5
    assert all(find_objections(each.plan, Ground()) == () for each in found.forecasts)
    assert not any(dominates(costs_of(a), costs_of(b)) for a in found.forecasts for b in found.front)
    assert all(each.rise.value <= CONFIG.max_rise for each in found.front)
    dense = forecaster.forecast(Plan())
    rough = forecaster.forecast(Plan(steps=(Bits(bits_per_weight=4.5, embedding="q4_0"),)))
    assert rough.size_bytes < dense.size_bytes
    assert rough.rise.value > dense.rise.value == pytest.approx(0.0, abs=1e-5)
