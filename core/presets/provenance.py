"""The part of a preset file that a campaign writes: where the preset came from, and what may be claimed of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from core.config import Config, ModelSize, RankingMetric

Status = Literal["certified", "not certified", "not confirmed"]


class Figure(Config):
    """A measured figure and its central 95 % interval."""

    value: float | None
    """The figure itself; null where it is not defined, as a direction AUC of rows without a BUY or a SELL."""
    low: float | None
    """Lower end; null where there are too few rows for one."""
    high: float | None
    """Upper end."""


class Headline(Config):
    """The figures of the test rows, which are read once: the preset's headline."""

    macro_f1: Figure
    """Mean F1 of the three classes; contains skill at volatility."""
    direction_auc: Figure
    """AUC of p_BUY - p_SELL among rows that are not HOLD; 0.5 is luck."""
    lead: Figure
    """Macro-F1 less that of the best baseline."""
    best_baseline: str
    """Which one that is."""
    rows: int
    """Rows of test."""


class Confirmation(Config):
    """The results of confirming the winner."""

    out_of_fold: Figure
    """The ranking metric on rows that were not trained on, the mean of the seeds."""
    seeds: tuple[int, ...]
    """Seeds of the trainings."""
    folds: int
    """Blocks of time predicted by trainings on what came before."""
    incumbent: str
    """The preset to beat."""
    lead: Figure
    """The ranking metric less the incumbent's."""
    recommended: Literal["winner", "incumbent"]
    """Which of the two to use: the winner if its lead is above 0 for certain."""
    final_seed: int
    """Seed of the training that was read on test."""
    test: Headline | None
    """What was read; null if that training failed."""
    failed_gates: tuple[str, ...]
    """Why it is not certified."""
    earlier_readings: int
    """How often earlier confirmations had read this test span."""
    tradable: Literal["yes", "no"] | None
    """Whether the Deflated Sharpe Ratio is above 0.95 net of costs."""
    deflated_sharpe: float | None
    """Probability that its returns are no luck, given how many trials there were."""
    overfitting: float | None
    """Probability of backtest overfitting; null with too few trials."""


class PresetData(Config):
    """The data that the figures were measured on."""

    synthetic: bool
    """Whether the market is made up."""
    symbols: tuple[str, ...]
    """Which."""
    span: tuple[str, str]
    """First and last bar opening."""
    fingerprint: str
    """SHA-256 of the bars."""
    window: int
    """Bars that one prediction sees."""
    horizon: int
    """Bars ahead that a label looks."""
    bar: int | None = None
    """Length of a bar in microseconds."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """How bars became windows, labels and splits, as in a campaign's `data`."""


class Provenance(Config):
    """The origin of a preset's values: campaign, trial, data, versions, confirmation."""

    status: Status
    """What may be claimed of it."""
    campaign: str
    """The campaign that found it."""
    started: str | None = None
    """When it was begun, which tells two of one name apart; null in files older than this field."""
    dry_run: bool
    """Whether that was only a try."""
    trial: int
    """The trial that won."""
    best_epoch: int
    """The epoch at which it was best on val."""
    ranking_metric: RankingMetric
    """What trials were ranked by."""
    val_value: float
    """Its value on val, which chose it: optimistic."""
    model: ModelSize
    """Size of the network."""
    seed: int
    """Seed of the search."""
    data: PresetData
    """What it was measured on."""
    versions: dict[str, str]
    """Of the programs."""
    confirmation: Confirmation | None = None
    """What confirming it came to; null: not confirmed."""
