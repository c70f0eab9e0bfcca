"""The tables of a campaign: its trials, their epochs, and the predictions that full-fidelity trials leave."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.config import HYPERPARAMETER_NAMES, OPTIONAL_NAMES
from core.errors import ConfigError
from core.evaluation.metric_names import METRIC_NAMES
from core.files import reading, write_table
from search.results.folder import PREDICTIONS_FILE, RETURNS_FILE, CampaignFolder
from search.results.records import CURVE_TYPES, DECISION_TYPES, TRIAL_TYPES
from search.storage.filesystem import Storage
from search.study.trial_record import COMPLETE, FAILED, INTERRUPTED, TrialRecord

_REMEDY = "Restore the campaign's folder from a backup, or start a new campaign"


def make_trial_row(trial: TrialRecord) -> dict[str, Any]:
    """Make a trial's row of the trials table; a failed trial has no value.

    Args:
        trial: the record of the trial; one without an outcome counts as interrupted.
    """
    has_value = bool(trial.epochs) and trial.outcome != FAILED
    best_metrics = trial.best_metrics if has_value else {}
    return {
        "number": trial.number,
        **{name: trial.params[name] for name in HYPERPARAMETER_NAMES},
        **{name: trial.params.get(name) for name in OPTIONAL_NAMES},
        "origin": trial.origin,
        "status": trial.outcome or INTERRUPTED,
        "epochs": len(trial.epochs),
        "value": trial.value if has_value else None,
        "best_epoch": trial.last.best_epoch if has_value else None,
        "attempts": trial.attempts,
        "reason": trial.reason,
        "deaths": "; ".join(trial.deaths),
        "seconds": sum(epoch.seconds for epoch in trial.epochs.values()),
        **{f"val_{name}": best_metrics.get(name) for name in METRIC_NAMES},
    }


def make_curve_rows(trial: TrialRecord) -> list[dict[str, Any]]:
    """Make a trial's rows of the curves table, one for each epoch, with the decisions at the rungs.

    Args:
        trial: the record of the trial.
    """
    return [
        {
            "number": trial.number,
            "epoch": epoch.epoch,
            "value": epoch.value,
            "score": epoch.score,
            "train_loss": epoch.train_loss,
            "learning_rate": epoch.learning_rate,
            "seconds": epoch.seconds,
            **{name: getattr(epoch.decision, name, None) for name in DECISION_TYPES},
            **{f"val_{name}": epoch.metrics.get(name) for name in METRIC_NAMES},
            "val_blocks": epoch.val_blocks,
        }
        for _, epoch in sorted(trial.epochs.items())
    ]


def make_trials_table(trials: Sequence[TrialRecord]) -> pd.DataFrame:
    """Make the table with a row for each trial, sorted by number.

    Args:
        trials: records of all trials of the campaign.

    Returns:
        a table with the columns and types of `search.results.records.TRIAL_TYPES`.
    """
    rows = [make_trial_row(trial) for trial in sorted(trials, key=lambda trial: trial.number)]
    return pd.DataFrame(rows, columns=list(TRIAL_TYPES)).astype(TRIAL_TYPES)


def make_curves_table(trials: Sequence[TrialRecord]) -> pd.DataFrame:
    """Make the table with a row for each epoch of each trial, sorted by number and epoch.

    Args:
        trials: records of all trials of the campaign.

    Returns:
        a table with the columns and types of `search.results.records.CURVE_TYPES`.
    """
    rows = [row for trial in sorted(trials, key=lambda trial: trial.number) for row in make_curve_rows(trial)]
    return pd.DataFrame(rows, columns=list(CURVE_TYPES)).astype(CURVE_TYPES)


def read_val_blocks(folder: CampaignFolder) -> np.ndarray | None:
    """Read the score of every trial on each block of val's time, at the first rung.

    Args:
        folder: the folder of the campaign.

    Returns:
        `[N, B]`, for the N trials that reached the first rung, in the order of their numbers; NaN where a block does
        not define the ranking metric. None where an earlier version trained some of these trials, without such scores.

    Raises:
        ConfigError: the curves table is missing or damaged.
    """
    curves = folder.read_curves()
    with reading(folder.curves_table, _REMEDY):
        if "val_blocks" not in curves or curves["val_blocks"].isna().all():
            return None
        first_rung = curves.loc[curves["val_blocks"].notna(), "epoch"].min()
        blocks = curves.loc[curves["epoch"] == first_rung, "val_blocks"]
        return None if blocks.isna().any() else np.stack(list(blocks)).astype(np.float64)


def write_tables(folder: CampaignFolder, trials: Sequence[TrialRecord]) -> None:
    """Write the trials table and the curves table.

    Args:
        folder: the folder of the campaign.
        trials: all trials, as the journal records them.

    Raises:
        ConfigError: the folder cannot be written.
    """
    write_table(folder.trials_table, make_trials_table(trials))
    write_table(folder.curves_table, make_curves_table(trials))


def join_trial_outputs(folder: CampaignFolder, storage: Storage, trials: Sequence[TrialRecord]) -> list[Path]:
    """Join the predictions and the returns of all full-fidelity trials into the campaign's tables.

    Args:
        folder: the folder of the campaign; rows of a trial whose own tables are gone are taken from the tables there.
        storage: holds the tables of each trial, in a folder by number and attempt.
        trials: all trials of the campaign.

    Returns:
        paths of the tables that were written; none without a full-fidelity trial.

    Raises:
        ConfigError: a table of a trial is missing or damaged.
        StorageError: the storage is not available.
    """
    full_fidelity = sorted(_full_fidelity(trials), key=lambda trial: trial.number)
    written = []
    for name in (PREDICTIONS_FILE, RETURNS_FILE):
        if full_fidelity:
            tables = [_read_output(folder, storage, name, trial) for trial in full_fidelity]
            write_table(folder.path / name, pd.concat(tables, ignore_index=True))
            written.append(folder.path / name)
    return written


def check_trial_outputs(folder: CampaignFolder, storage: Storage, trials: Sequence[TrialRecord]) -> None:
    """Check, before hours of training, that `join_trial_outputs` will find every table that it needs.

    Args:
        folder: the folder of the campaign.
        storage: holds the tables of each trial, in a folder by number and attempt.
        trials: all trials of the campaign.

    Raises:
        ConfigError: a table of a trial is missing or damaged.
        StorageError: the storage is not available.
    """
    for trial in _full_fidelity(trials):
        for name in (PREDICTIONS_FILE, RETURNS_FILE):
            _read_output(folder, storage, name, trial)


def _full_fidelity(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.outcome == COMPLETE]


def check_not_behind(folder: CampaignFolder, trials: Sequence[TrialRecord]) -> None:
    """Check that the journal holds every epoch of the curves table, which is written after it.

    Args:
        folder: the folder of the campaign.
        trials: all trials, as the journal records them.

    Raises:
        ConfigError: an epoch is missing or has another score: the journal is not the one that the campaign left.
    """
    try:
        curves = folder.read_curves()[["number", "epoch", "score"]]
    except (ConfigError, KeyError):
        return  # it is missing or damaged, and is written anew from the journal
    scores = {(trial.number, number): epoch.score for trial in trials for number, epoch in trial.epochs.items()}
    for number, epoch, score in curves.itertuples(index=False):
        if (number, epoch) not in scores or not np.array_equal(scores[number, epoch], score, equal_nan=True):
            raise ConfigError(
                f"The journal lacks epoch {epoch} of trial {number} as {folder.curves_table} records it",
                "Restore the journal from a backup",
            )


def _read_output(folder: CampaignFolder, storage: Storage, name: str, trial: TrialRecord) -> pd.DataFrame:
    """Return a trial's own table from the storage, or its rows of the campaign's table where that is gone."""
    number = trial.number
    try:
        content = storage.read(f"{number}/{trial.attempt_id}/{name}")
    except FileNotFoundError:
        table = folder.read_predictions() if name == PREDICTIONS_FILE else folder.read_returns()
        with reading(folder.path / name, _REMEDY):
            rows = table[table["number"] == number]
    else:
        with reading(f"{name} of trial {number}", _REMEDY):
            rows = pd.read_parquet(io.BytesIO(content))
    # Every trial predicts, but a trial need not trade.
    if rows.empty and name == PREDICTIONS_FILE:
        raise ConfigError(f"{name} of trial {number} is missing", _REMEDY)
    return rows
