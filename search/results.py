"""The tables of a campaign: a row a trial, a row a trial and epoch; and who won."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.errors import ConfigError
from core.files import writing
from core.preset import check_name
from search.space import NAMES

ROOT = Path("results")
CONFIG_FILE = "campaign.yaml"
TRIALS_FILE = "trials.parquet"
CURVES_FILE = "curves.parquet"
SUMMARY_FILE = "summary.json"

COMPLETE, STOPPED, FAILED, INTERRUPTED = "complete", "stopped", "failed", "interrupted"


@dataclass
class TrialRecord:
    """What is known of one trial.

    Attributes:
        number: order of asking, from 0.
        six: its hyperparameters.
        epochs: one result an epoch, as `EpochResult.as_row` gives it.
        status: complete (reached max_epochs), stopped (by ASHA), failed or interrupted.
        reason: why it is not complete.
    """

    number: int
    six: dict[str, Any]
    epochs: list[dict[str, Any]] = field(default_factory=list)
    status: str = INTERRUPTED
    reason: str = ""

    def as_row(self) -> dict[str, Any]:
        """One row of `trials.parquet`; a failed trial has no value."""
        last = self.epochs[-1] if self.epochs and self.status != FAILED else None
        return {
            "number": self.number,
            **{name: self.six[name] for name in NAMES},
            "status": self.status,
            "epochs": len(self.epochs),
            "value": last["value"] if last else None,
            "best_epoch": last["best_epoch"] if last else None,
            "reason": self.reason,
            "seconds": sum(epoch["seconds"] for epoch in self.epochs),
            **{f"val_{name}": (last["best_metrics"][name] if last else None) for name in METRICS},
        }

    def as_curve(self) -> list[dict[str, Any]]:
        """This trial's rows of `curves.parquet`."""
        plain = ("epoch", "score", "value", "train_loss", "learning_rate", "seconds")
        return [
            {
                "number": self.number,
                **{name: epoch[name] for name in plain},
                **{f"val_{name}": epoch["metrics"][name] for name in METRICS},
            }
            for epoch in self.epochs
        ]


def first_line(error: Exception | None) -> str:
    """An error in one line; what is left to say of a process that left none."""
    lines = str(error).strip().splitlines() if error is not None else []
    return f"{type(error).__name__}: {lines[0]}" if lines else "the trial's process died"


METRICS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "mcc",
    "auc",
    "direction_auc",
    "nll",
    "ece",
    "top_share",
    "net_sharpe",
)
_FLOAT = "float64"
_TRIAL_TYPES = {
    "number": "int64",
    "batch_size": "int64",
    **{name: _FLOAT for name in NAMES if name != "batch_size"},
    "status": "str",
    "epochs": "int64",
    "value": _FLOAT,
    "best_epoch": "Int64",
    "reason": "str",
    "seconds": _FLOAT,
    **{f"val_{name}": _FLOAT for name in METRICS},
}
_CURVE_TYPES = {
    "number": "int64",
    "epoch": "int64",
    **dict.fromkeys(("score", "value", "train_loss", "learning_rate", "seconds"), _FLOAT),
    **{f"val_{name}": _FLOAT for name in METRICS},
}


def trials_table(records: list[TrialRecord]) -> pd.DataFrame:
    """A row a trial, by number."""
    rows = [record.as_row() for record in sorted(records, key=lambda record: record.number)]
    return pd.DataFrame(rows, columns=["number", *NAMES, *list(_TRIAL_TYPES)[len(NAMES) + 1 :]]).astype(_TRIAL_TYPES)


def curves_table(records: list[TrialRecord]) -> pd.DataFrame:
    """A row a trial and epoch."""
    rows = [row for record in sorted(records, key=lambda record: record.number) for row in record.as_curve()]
    return pd.DataFrame(rows, columns=list(_CURVE_TYPES)).astype(_CURVE_TYPES)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, whole or not at all."""
    with writing(path) as temporary:
        table.to_parquet(temporary, index=False)


def winner(trials: pd.DataFrame) -> dict[str, Any] | None:
    """The best full-fidelity trial as a row; ties go to the lower NLL, then to the earlier one. None without any."""
    full = trials[(trials["status"] == COMPLETE) & np.isfinite(trials["value"])]
    if full.empty:
        return None
    ranked = full.sort_values(["value", "val_nll", "number"], ascending=[False, True, True])
    return {str(key): value for key, value in ranked.iloc[0].to_dict().items()}


def folder(root: Path, name: str) -> Path:
    """The folder of a finished campaign.

    Raises:
        ConfigError: there is none.
    """
    check_name(name, "campaign")
    path = root / name
    if not (path / CONFIG_FILE).is_file():
        known = sorted(item.parent.name for item in root.glob(f"*/{CONFIG_FILE}"))
        raise ConfigError(
            f"There is no campaign {name!r} in {root}", f"There are: {', '.join(known) or 'none; start with run'}"
        )
    return path


def read_trials(campaign: Path) -> pd.DataFrame:
    """The trials of a campaign's folder.

    Raises:
        ConfigError: the table is missing or damaged.
    """
    path = campaign / TRIALS_FILE
    try:
        return pd.read_parquet(path)[list(_TRIAL_TYPES)].astype(_TRIAL_TYPES)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({' '.join(str(error).split())})", "The campaign did not finish, or was damaged"
        ) from None
