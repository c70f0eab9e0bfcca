"""Lists the trials of a campaign: selected, sorted, and one of them with all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import ConfigError
from search.results import tables
from search.results.folder import CampaignFolder
from search.study.trial_record import TrialRecord

if TYPE_CHECKING:
    import pandas as pd

_DAYS_PER_YEAR = 365


@dataclass(frozen=True)
class Selection:
    """Says which trials to list, and in which order.

    Attributes:
        sort: the column to sort by; ties go to the earlier trial, and trials without a value come last.
        ascending: whether the smallest value comes first.
        minimum: the smallest value of `value` to list; None for no limit.
        status: the status of the trials to list; None for all.
        stopped_at: the epoch after which the trials to list were stopped; None for all.
        top: the number of trials to list; None for all.
    """

    sort: str = "value"
    ascending: bool = False
    minimum: float | None = None
    status: str | None = None
    stopped_at: int | None = None
    top: int | None = None


def read_trial_table(folder: CampaignFolder) -> pd.DataFrame:
    """Read the trials from the journal, which also holds those of a campaign that is still running.

    Args:
        folder: the folder of the campaign.

    Returns:
        a table like `trials.parquet`; trials that have not ended have the status `interrupted`.

    Raises:
        ConfigError: the journal is missing or damaged.
    """
    return tables.make_trials_table(folder.read_journal())


def select_trials(trials: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Select and sort trials.

    Args:
        trials: the trials table.
        selection: which trials, and in which order.

    Raises:
        ConfigError: there is no such column, or no trial can have that status.
    """
    if selection.sort not in trials:
        raise ConfigError(f"There is no column {selection.sort!r}", f"Sort by one of: {', '.join(trials.columns)}")
    if selection.minimum is not None:
        trials = trials[trials["value"] >= selection.minimum]
    if selection.status is not None:
        trials = trials[trials["status"] == selection.status]
    if selection.stopped_at is not None:
        trials = trials[(trials["status"] == "stopped") & (trials["epochs"] == selection.stopped_at)]
    by, ascending = [selection.sort, "number"], [selection.ascending, True]
    ordered = trials.sort_values(by, ascending=ascending, na_position="last", kind="stable")
    return ordered.head(selection.top) if selection.top is not None else ordered


@dataclass(frozen=True)
class TradeSummary:
    """What following the calls of a training would have earned on some rows, not compounded.

    Attributes:
        split: the rows: `val` of the search, `fold 1` and so on (out of fold), or `test`.
        seed: seed of the training.
        exits: number of instants at which trades ended.
        winning: share of these instants that added to the capital.
        net_return: sum of what the trades added, after costs, as a fraction of all capital.
        sharpe: annual Sharpe ratio of the sums of each UTC day; NaN where it is not defined.
        drawdown: deepest fall of the sum from a peak.
    """

    split: str
    seed: int
    exits: int
    winning: float
    net_return: float
    sharpe: float
    drawdown: float


@dataclass(frozen=True)
class TrialView:
    """All that a campaign's folder knows of one trial.

    Attributes:
        record: the trial as the journal records it.
        curve: a row for each epoch, with the decision of the rung.
        trades: what following its calls would have earned, by split and seed; empty where no returns were recorded.
        cells: its rows of `confirmation.parquet`, a training each; None if the campaign was not confirmed.
    """

    record: TrialRecord
    curve: pd.DataFrame
    trades: tuple[TradeSummary, ...]
    cells: pd.DataFrame | None


def read_trial(folder: CampaignFolder, number: int) -> TrialView:
    """Read all that a campaign's folder knows of one trial.

    Args:
        folder: the folder of the campaign.
        number: number of the trial.

    Raises:
        ConfigError: there is no such trial, or a file is damaged.
    """
    records = {trial.number: trial for trial in folder.read_journal()}
    if number not in records:
        known = f"Its trials are 0 to {max(records)}" if records else "It has no trial yet"
        raise ConfigError(f"Campaign {folder.name} has no trial {number}", known)
    record = records[number]
    confirmed = folder.read_confirmation_table()
    cells = None if confirmed is None else confirmed[confirmed["number"] == number]
    return TrialView(record, tables.make_curves_table([record]), _read_trades(folder, number), cells)


def _read_trades(folder: CampaignFolder, number: int) -> tuple[TradeSummary, ...]:
    if not folder.returns.is_file():
        return ()
    returns = folder.read_returns()
    own = returns[returns["number"] == number]
    trainings = own[["split", "seed"]].drop_duplicates().sort_values(["split", "seed"]).itertuples(index=False)
    return tuple(
        summarize_trades(split, seed, own[(own["split"] == split) & (own["seed"] == seed)].sort_values("timestamp"))
        for split, seed in trainings
    )


def summarize_trades(split: str, seed: int, returns: pd.DataFrame) -> TradeSummary:
    """Summarize the returns of one training on some rows.

    Args:
        split: the rows, such as `val`.
        seed: seed of the training.
        returns: `timestamp` (UTC) and `net_return` of each instant at which trades ended, in the order of time.
    """
    net = returns["net_return"].to_numpy(dtype=np.float64)
    daily = returns.set_index("timestamp")["net_return"].resample("D").sum().to_numpy(dtype=np.float64)
    deviation = float(daily.std(ddof=1)) if len(daily) > 1 else 0.0
    capital = np.concatenate([[0.0], np.cumsum(net)])
    return TradeSummary(
        split=split,
        seed=seed,
        exits=len(net),
        winning=float(np.mean(net > 0)) if len(net) else float("nan"),
        net_return=float(net.sum()),
        sharpe=float(daily.mean() / deviation * np.sqrt(_DAYS_PER_YEAR)) if deviation > 0 else float("nan"),
        drawdown=float((np.maximum.accumulate(capital) - capital).max()),
    )
