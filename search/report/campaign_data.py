"""Everything that a report needs to know of a campaign, read once from its folder.

What a campaign does not have is None, and a file that cannot be read is a sentence in `problems`: a report of a
campaign that was killed is worth more than none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import pandas as pd

from core.config import SOURCES
from core.data.dataset import Dataset
from core.errors import PresetSearchError, one_line
from search.campaign.status import CampaignStatus, read_campaign_status
from search.config import CampaignConfig
from search.confirmation.recorded_data import load_recorded
from search.results import tables
from search.results.folder import CampaignFolder
from search.results.judged import read_judged_verdict
from search.results.ranking import find_winner
from search.results.records import CampaignRecord, IncumbentRecord, RankedTrial, SummaryRecord
from search.results.verdict import Verdict
from search.study.journal.file import ACT, is_held, read_committed
from search.study.trial_record import TrialRecord

_LOCATION = {*SOURCES, "store", "exchange"}
"""Data settings that say where the bars are."""
_Content = TypeVar("_Content")


@dataclass(frozen=True)
class CampaignData:
    """What is known of a campaign.

    Attributes:
        name: name of the campaign.
        record: the facts of its file: data, recipes, versions.
        is_running: whether a process is working on it.
        records: its trials, as the journal holds them.
        trials: a row for each trial, see `search.results.tables.make_trials_table`.
        curves: a row for each trial and epoch, see `search.results.tables.make_curves_table`.
        acts: what the journal says of each transaction: `kind`, `at` (seconds since the campaign began), `trial`.
        config: its settings; None where this version cannot read them.
        status: how far it is; None where that cannot be told.
        summary: the summary of the search; None while it has none.
        incumbent: the incumbent's training in the search; None if there was none.
        verdict: the verdict as the ledger lets it stand today; None if it was not confirmed.
        cells: a row for each training of the confirmation; None if it was not confirmed.
        predictions: predictions of the full-fidelity trials and of the confirmation; None if there are none.
        returns: returns of the trades that follow them, net of costs; None if there are none.
        dataset: the bars, up to the test span where that was not read; None where they are not at hand.
        problems: what could not be read, in sentences.
    """

    name: str
    record: CampaignRecord
    is_running: bool
    records: tuple[TrialRecord, ...]
    trials: pd.DataFrame
    curves: pd.DataFrame
    acts: tuple[dict[str, Any], ...]
    config: CampaignConfig | None = None
    status: CampaignStatus | None = None
    summary: SummaryRecord | None = None
    incumbent: IncumbentRecord | None = None
    verdict: Verdict | None = None
    cells: pd.DataFrame | None = None
    predictions: pd.DataFrame | None = None
    returns: pd.DataFrame | None = None
    dataset: Dataset | None = None
    problems: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        """Name of the metric that ranks the trials."""
        return self.record.metric

    @property
    def step(self) -> str:
        """What a step of a trial is called: an epoch, or a cell in a campaign that ranks trials by cells."""
        return "epoch" if self.config is None or self.config.cells is None else "cell"

    @cached_property
    def winner(self) -> RankedTrial | None:
        """The best full-fidelity trial of the search; None if there is none."""
        return find_winner(self.trials)

    @cached_property
    def chosen(self) -> int | None:
        """Number of the trial that the report is about: the confirmed winner, or else that of the search."""
        if self.verdict is not None:
            return self.verdict.winner.trial
        return None if self.winner is None else self.winner.number

    @cached_property
    def first_rung(self) -> int | None:
        """The epoch after which trials are judged first; None where no trial has been judged yet."""
        judged = self.curves.loc[self.curves["action"].notna(), "epoch"]
        return None if judged.empty else int(judged.min())


class _Reader:
    """Reads what a campaign may lack, and remembers what could not be read."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def read(self, what: str, function: Callable[[], _Content]) -> _Content | None:
        """Return what a function reads; None if it raises an error of a user, which becomes a sentence."""
        try:
            return function()
        except PresetSearchError as error:
            self.problems.append(f"{what} cannot be shown: {one_line(error).rstrip('.')}.")
            return None


def read_campaign_data(folder: CampaignFolder) -> CampaignData:
    """Read what is known of a campaign, also of one that is running or was killed.

    Args:
        folder: the folder of the campaign.

    Raises:
        ConfigError: the campaign's file or its journal is missing or damaged.
    """
    record, records = folder.read_record(), folder.read_journal()
    lines, _ = read_committed(folder.journal)
    reader = _Reader()
    config = reader.read("The settings", folder.read_config)
    verdict = reader.read("The verdict", lambda: read_judged_verdict(folder))
    return CampaignData(
        name=folder.name,
        record=record,
        is_running=is_held(folder.journal),
        records=tuple(records),
        trials=tables.make_trials_table(records),
        curves=tables.make_curves_table(records),
        acts=tuple(line[ACT] for line in lines if isinstance(line.get(ACT), dict)),
        config=config,
        status=reader.read("The state", lambda: read_campaign_status(folder.path.parent, folder.name)),
        summary=reader.read("The summary", folder.read_summary) if folder.summary.is_file() else None,
        incumbent=reader.read("The incumbent", folder.read_incumbent),
        verdict=verdict,
        cells=reader.read("The table of the confirmation", folder.read_confirmation_table),
        predictions=reader.read("The predictions", folder.read_predictions) if folder.predictions.is_file() else None,
        returns=reader.read("The returns", folder.read_returns) if folder.returns.is_file() else None,
        dataset=_load_dataset(reader, record, config, verdict),
        problems=tuple(reader.problems),
    )


def _load_dataset(
    reader: _Reader, record: CampaignRecord, config: CampaignConfig | None, verdict: Verdict | None
) -> Dataset | None:
    """Return the bars that the figures were measured on, without those of test where nobody has read them yet."""
    if config is None:
        return None
    location = config.data.model_dump(mode="json", include=_LOCATION, exclude_defaults=True)
    source = location if record.data.synthetic else {**location, **_where_bars_were(location, verdict)}
    dataset = reader.read("What only the bars themselves tell", lambda: load_recorded(record.data, source, record.name))
    if dataset is None or (verdict is not None and verdict.test is not None):
        return dataset
    return dataset.without_test()


def _where_bars_were(location: dict[str, Any], verdict: Verdict | None) -> dict[str, Any]:
    """Return what else the location of bars needs: nothing is fetched, and the ledger names the exchange."""
    if "symbols" not in location:
        return {}
    entry = None if verdict is None else verdict.ledger_entry
    exchange = {} if entry is None or not entry.exchange or "exchange" in location else {"exchange": entry.exchange}
    return {"offline": True, **exchange}
