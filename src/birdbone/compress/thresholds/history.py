"""The history of a search: a journal of every trial, one JSON object a line, that a later session goes on from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from birdbone.compress.errors import OtherHistoryError
from birdbone.core import digest_json

STUDY = "thresholds"
"""Name of the search in its journal."""

_BASIS = "basis"


def open_history(path: Path | None) -> BaseStorage:
    """Return the journal at `path`, made if there is none; without a path a history that ends with the process.

    Raises:
        OtherHistoryError: the file is no journal.
    """
    if path is None:
        return InMemoryStorage()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
            return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
    except (ValueError, KeyError) as error:
        raise OtherHistoryError(f"{path} is not the history of a search.", file=str(path)) from error


def open_study(
    storage: BaseStorage,
    *,
    basis: Mapping[str, Any],
    directions: list[str],
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
) -> optuna.Study:
    """Return the search in a history, begun if there is none; what an earlier session broke off counts as failed.

    Args:
        basis: what a trial's loss depends on: model, text, settings. Trials on another basis do not compare.

    Raises:
        OtherHistoryError: the history was begun on another basis.
    """
    study = optuna.create_study(
        storage=storage,
        study_name=STUDY,
        directions=directions,
        sampler=sampler,
        pruner=pruner,
        load_if_exists=True,
    )
    digest = digest_json(dict(basis))
    begun = study.user_attrs.get(_BASIS)
    if begun not in (None, digest):
        raise OtherHistoryError("The history was begun with another model, other text or other settings.")
    if begun is None:
        study.set_user_attr(_BASIS, digest)
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study
