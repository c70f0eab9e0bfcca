"""The tables of a campaign: a row a trial, a row a trial and epoch; and who won."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.config import HYPERPARAMETER_NAMES
from core.errors import ConfigError
from core.evaluation.metric_names import METRIC_NAMES
from core.files import write_table
from search.results.folder import PREDICTIONS_FILE, RETURNS_FILE, CampaignFolder
from search.storage.filesystem import Storage
from search.study.trial_record import COMPLETE, FAILED, INTERRUPTED, TrialRecord

_BRING_BACK = "Bring the campaign's folder back as it was, or start a new campaign"


def trial_row(trial: TrialRecord) -> dict[str, Any]:
    """Return a trial's row of `trials.parquet`; a failed trial has no value."""
    has_value = bool(trial.epochs) and trial.outcome != FAILED
    best_metrics = trial.best_metrics if has_value else {}
    return {
        "number": trial.number,
        **{name: trial.params[name] for name in HYPERPARAMETER_NAMES},
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


def curve_rows(trial: TrialRecord) -> list[dict[str, Any]]:
    """Return a trial's rows of `curves.parquet`, an epoch each, with the decisions of its rungs."""
    return [
        {
            "number": trial.number,
            "epoch": epoch.epoch,
            "value": epoch.value,
            "score": epoch.score,
            "train_loss": epoch.train_loss,
            "learning_rate": epoch.learning_rate,
            "seconds": epoch.seconds,
            **{name: getattr(epoch.decision, name, None) for name in _DECISION},
            **{f"val_{name}": epoch.metrics.get(name) for name in METRIC_NAMES},
        }
        for _, epoch in sorted(trial.epochs.items())
    ]


_FLOAT = "float64"
_DECISION = {"action": "str", "seen": "Int64", "rank": "Int64", "kept": "Int64"}
TRIAL_TYPES = {
    "number": "int64",
    **{name: "int64" if name == "batch_size" else _FLOAT for name in HYPERPARAMETER_NAMES},
    "origin": "str",
    "status": "str",
    "epochs": "int64",
    "value": _FLOAT,
    "best_epoch": "Int64",
    "attempts": "int64",
    "reason": "str",
    "deaths": "str",
    "seconds": _FLOAT,
    **{f"val_{name}": _FLOAT for name in METRIC_NAMES},
}
CURVE_TYPES = {
    "number": "int64",
    "epoch": "int64",
    **dict.fromkeys(("value", "score", "train_loss", "learning_rate", "seconds"), _FLOAT),
    **_DECISION,
    **{f"val_{name}": _FLOAT for name in METRIC_NAMES},
}


def trials_table(trials: Sequence[TrialRecord]) -> pd.DataFrame:
    """A row a trial, by number."""
    rows = [trial_row(trial) for trial in sorted(trials, key=lambda trial: trial.number)]
    return pd.DataFrame(rows, columns=list(TRIAL_TYPES)).astype(TRIAL_TYPES)


def curves_table(trials: Sequence[TrialRecord]) -> pd.DataFrame:
    """A row a trial and epoch."""
    rows = [row for trial in sorted(trials, key=lambda trial: trial.number) for row in curve_rows(trial)]
    return pd.DataFrame(rows, columns=list(CURVE_TYPES)).astype(CURVE_TYPES)


def write_tables(folder: CampaignFolder, trials: Sequence[TrialRecord]) -> None:
    """Write what the journal tells of the trials, as tables."""
    write_table(folder.trials_table, trials_table(trials))
    write_table(folder.curves_table, curves_table(trials))


def gather(folder: CampaignFolder, parts: Storage, trials: Sequence[TrialRecord]) -> list[Path]:
    """Join the tables of the full-fidelity trials into the campaign's; returns those written.

    Args:
        folder: the campaign's.
        parts: where each trial left its own, by number and attempt; of those whose parts are gone, the campaign's
            table is asked.
        trials: all trials.

    Raises:
        ConfigError: the tables of a trial are nowhere.
    """
    full = sorted((trial.number, trial.attempt_id) for trial in trials if trial.outcome == COMPLETE)
    written = []
    for name in (PREDICTIONS_FILE, RETURNS_FILE):
        if full:
            tables = [_part(folder, parts, name, *which) for which in full]
            write_table(folder.path / name, pd.concat(tables, ignore_index=True))
            written.append(folder.path / name)
    return written


def check_parts(folder: CampaignFolder, parts: Storage, trials: Sequence[TrialRecord]) -> None:
    """Make sure, before more is done, that `gather` will find what it needs.

    Raises:
        ConfigError: the tables of a trial are nowhere.
    """
    for trial in trials:
        if trial.outcome == COMPLETE:
            for name in (PREDICTIONS_FILE, RETURNS_FILE):
                _part(folder, parts, name, trial.number, trial.attempt_id)


def check_not_behind(folder: CampaignFolder, trials: Sequence[TrialRecord]) -> None:
    """Make sure that the journal knows all that the tables say: it is written before them, always.

    Raises:
        ConfigError: it knows less, so it is not the one that the campaign left.
    """
    path = folder.curves_table
    if not path.is_file():
        return
    try:
        told = pd.read_parquet(path, columns=["number", "epoch", "score"])
    except (OSError, ValueError, KeyError):
        return  # it is written anew
    known = {(trial.number, number): epoch.score for trial in trials for number, epoch in trial.epochs.items()}
    for number, epoch, score in told.itertuples(index=False):
        if (number, epoch) not in known or not np.array_equal(known[number, epoch], score, equal_nan=True):
            raise ConfigError(
                f"The journal does not know epoch {epoch} of trial {number}, which {path} tells of",
                "Bring the journal back as the campaign left it",
            )


def _part(folder: CampaignFolder, parts: Storage, name: str, number: int, attempt: int) -> pd.DataFrame:
    try:
        with suppress(FileNotFoundError):
            return pd.read_parquet(io.BytesIO(parts.read(f"{number}/{attempt}/{name}")))
        whole = pd.read_parquet(folder.path / name)
        found = whole[whole["number"] == number]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{name} of trial {number} cannot be read ({_one_line(error)})", _BRING_BACK) from None
    # A trial always predicts, but need not trade.
    if found.empty and name == PREDICTIONS_FILE:
        raise ConfigError(f"{name} of trial {number} is missing", _BRING_BACK)
    return found


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def ranked(trials: pd.DataFrame) -> list[dict[str, Any]]:
    """The full-fidelity trials as rows, the best first; ties go to the lower NLL, then to the earlier one."""
    full = trials[(trials["status"] == COMPLETE) & np.isfinite(trials["value"])]
    ordered = full.sort_values(["value", "val_nll", "number"], ascending=[False, True, True])
    return [{str(key): value for key, value in row.items()} for row in ordered.to_dict("records")]


def winner(trials: pd.DataFrame) -> dict[str, Any] | None:
    """The best of them; None without any."""
    return next(iter(ranked(trials)), None)
