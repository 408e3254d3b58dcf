"""The search finds a valley that is there, remembers what it tried, and goes on where it broke off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import BaseStorage

from birdbone.compress.clusters import require_biophase
from birdbone.compress.config import ThresholdConfig, TuneConfig
from birdbone.compress.errors import BiophaseMissingError, OtherHistoryError
from birdbone.compress.thresholds.history import open_history
from birdbone.compress.thresholds.tuning import TuneResult, tune_thresholds


def valley(config: ThresholdConfig, shed: float) -> Iterator[tuple[int, float]]:
    """A loss with its least at importance 1 and spread 0.1; what is lost grows with what is shed."""
    loss = (config.weights.importance - 1) ** 2 + 40 * (config.spread - 0.1) ** 2 + shed**2
    yield 1, loss
    yield 2, loss


def tune(loss: Any = valley, *, storage: BaseStorage | None = None, target: float = 0.5, **settings: Any) -> TuneResult:
    basis = settings.pop("basis", {"model": "a"})
    rest = {name: settings.pop(name) for name in ("should_stop", "progress", "start") if name in settings}
    return tune_thresholds(
        loss,
        rest.pop("start", ThresholdConfig()),
        TuneConfig(**settings),
        target=target,
        storage=storage or open_history(None),
        basis=basis,
        **rest,
    )


def test_the_search_beats_the_even_share_and_where_it_started() -> None:
    found = tune(num_trials=30, patience=30)
    assert found.even_loss == pytest.approx(0.4 + 0.25)
    assert found.best_loss < 0.25 + 0.04
    assert found.best.weights.importance == pytest.approx(1.0, abs=0.2)
    assert found.ended_by == "all trials made"
    assert len(found.trials) == 30
    assert list(found.convergence) == sorted(found.convergence, reverse=True)
    assert found.convergence[-1] == found.best_loss
    assert [trial.loss for trial in found.front] == [found.best_loss]


def test_the_even_share_and_the_start_come_first() -> None:
    found = tune(num_trials=2, start=ThresholdConfig(spread=0.07))
    assert [trial.settings["spread"] for trial in found.trials] == [0.0, 0.07]
    assert found.influence == ()


def test_bad_trials_are_cut_short_after_the_first_ones() -> None:
    asked: list[int] = []

    def count(config: ThresholdConfig, shed: float) -> Iterator[tuple[int, float]]:
        for step, loss in valley(config, shed):
            asked.append(step)
            yield step, loss

    found = tune(count, num_trials=24, patience=24, num_startup_trials=6)
    cut = [trial for trial in found.trials if trial.fate == "cut short"]
    assert cut
    assert all(trial.loss is None for trial in cut)
    assert all(trial.number >= 6 for trial in cut)
    assert len(asked) == 2 * 24 - len(cut)


def test_what_matters_is_told_and_what_does_not_is_not() -> None:
    found = tune(num_trials=24, patience=24, num_startup_trials=24)
    shares = {row.setting: row.share for row in found.influence}
    assert max(shares, key=lambda name: shares[name]) == "importance"
    assert shares["density"] < 0.3
    assert 0.8 < sum(shares.values()) <= 1.0 + 1e-9
    assert all(0 <= row.low <= row.high <= 1 for row in found.influence)


def test_it_ends_when_nothing_is_gained() -> None:
    found = tune(lambda _config, _shed: iter([(1, 1.0)]), num_trials=40, patience=3)
    assert (found.ended_by, len(found.trials)) == ("no gain", 4)


def test_a_search_goes_on_from_its_journal_and_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history" / "search.jsonl"
    asked: list[float] = []

    def note(config: ThresholdConfig, shed: float) -> Iterator[tuple[int, float]]:
        asked.append(config.weights.importance)
        yield from valley(config, shed)

    first = tune(note, storage=open_history(path), num_trials=20, should_stop=lambda: len(asked) >= 5)
    assert (first.ended_by, len(asked)) == ("stopped", 5)
    second = tune(note, storage=open_history(path), num_trials=9)
    assert len(asked) == 9
    assert second.trials[:5] == first.trials
    assert len({trial.settings["importance"] for trial in second.trials[2:]}) == 7
    assert tune(note, storage=open_history(path), num_trials=9) == second
    assert len(asked) == 9


def test_a_trial_that_breaks_off_is_not_counted_and_the_search_goes_on(tmp_path: Path) -> None:
    storage = open_history(tmp_path / "search.jsonl")

    def interrupted(config: ThresholdConfig, shed: float) -> Iterator[tuple[int, float]]:
        yield 1, 0.5
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(interrupted, storage=storage, num_trials=3)
    found = tune(storage=storage, num_trials=3)
    assert [trial.fate for trial in found.trials] == ["finished"] * 3


@pytest.mark.parametrize("change", [{"basis": {"model": "b"}}, {"target": 0.6}, {"start": ThresholdConfig(low=0.1)}])
def test_the_history_of_another_search_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "search.jsonl"
    tune(storage=open_history(path), num_trials=2)
    with pytest.raises(OtherHistoryError, match="another model, other text or other settings"):
        tune(storage=open_history(path), num_trials=3, **change)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a journal\nat all\n")
    with pytest.raises(OtherHistoryError, match="is not the history of a search"):
        open_history(path)


def test_size_and_loss_give_a_front_on_which_none_beats_another() -> None:
    found = tune(objective="size-loss", num_trials=24, max_target_shift=0.2)
    assert len(found.front) > 2
    sheds, losses = [trial.shed for trial in found.front], [trial.loss for trial in found.front]
    assert sheds == sorted(sheds)
    assert losses == sorted(losses)
    assert all(0.3 <= shed <= 0.7 for shed in sheds)
    best = next(trial for trial in found.trials if trial.loss == found.best_loss)
    assert best.shed >= 0.5


def test_progress_is_told_and_what_is_missing_is_said() -> None:
    told: list[tuple[int, int]] = []
    tune(num_trials=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    require_biophase()
    with pytest.raises(BiophaseMissingError, match="Not installed: no_such_library"):
        require_biophase(("sklearn", "no_such_library"))
