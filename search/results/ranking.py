"""The ranking of a campaign's trials: which of them can win, and which is the best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import Hyperparameters
from search.results.records import RankedTrial
from search.study.trial_record import COMPLETE

if TYPE_CHECKING:
    import pandas as pd


def rank_trials(trials: pd.DataFrame) -> list[RankedTrial]:
    """Return the full-fidelity trials, the best first; ties go to the lower NLL, then to the earlier trial.

    Args:
        trials: the trials table, see `search.results.tables.make_trials_table`.

    Raises:
        ValueError: a full-fidelity trial has a hyperparameter or a number of epochs that none can have.
    """
    full_fidelity = trials[(trials["status"] == COMPLETE) & np.isfinite(trials["value"])]
    ranked = full_fidelity.sort_values(["value", "val_nll", "number"], ascending=[False, True, True])
    return [_ranked_trial({str(key): value for key, value in row.items()}) for row in ranked.to_dict("records")]


def _ranked_trial(row: dict[str, Any]) -> RankedTrial:
    return RankedTrial(
        number=row["number"],
        hyperparameters=Hyperparameters.pick(row),
        value=row["value"],
        best_epoch=row["best_epoch"],
        epochs=row["epochs"],
        row=row,
    )


def find_winner(trials: pd.DataFrame) -> RankedTrial | None:
    """Return the best full-fidelity trial; None if there is none.

    Args:
        trials: the trials table, see `search.results.tables.make_trials_table`.
    """
    return next(iter(rank_trials(trials)), None)
