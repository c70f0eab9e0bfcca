"""The part of a preset file that a campaign writes: where the preset came from, and what may be claimed of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from core.config import Config, ModelSize, RankingMetric

Status = Literal["certified", "not certified", "too short to tell", "not confirmed"]


class Figure(Config):
    """A measured figure and its central 95 % interval."""

    value: float | None
    """The figure; null if it is not defined, such as a direction AUC of rows without a BUY or without a SELL."""
    low: float | None
    """Lower end of the interval; null if there are too few rows for one."""
    high: float | None
    """Upper end of the interval; null if there are too few rows for one."""


class Headline(Config):
    """The figures of the test rows, which are read once: the preset's headline."""

    macro_f1: Figure
    """Mean F1 score of the three classes; part of it is skill at forecasting volatility."""
    direction_auc: Figure
    """AUC of p_BUY - p_SELL among rows that are not HOLD; 0.5 is chance level."""
    lead: Figure
    """Ranking metric minus that of the best baseline, the calls of both made by decision rules fitted on val."""
    lead_metric: RankingMetric
    """The ranking metric, in which the lead is measured."""
    best_baseline: str
    """Name of the best baseline."""
    rows: int
    """Number of test rows."""


class Confirmation(Config):
    """The results of confirming the winner."""

    out_of_fold: Figure
    """Ranking metric on rows that were not trained on, averaged over the seeds."""
    seeds: tuple[int, ...]
    """Seeds of the trainings."""
    folds: int
    """Number of blocks of time, each predicted by trainings on the rows before it."""
    incumbent: str
    """Preset to beat."""
    lead: Figure
    """Ranking metric minus that of the incumbent; the interval allows for choosing the best candidate."""
    recommended: Literal["winner", "incumbent"]
    """Which of the two to use: the winner if the lower end of its lead is above 0."""
    final_seed: int
    """Seed of the training that was evaluated on test."""
    test: Headline | None
    """Figures on the test rows, which are read once; null if that training failed."""
    failed_gates: tuple[str, ...]
    """Gates that were not passed, because of which the preset is not certified."""
    earlier_readings: int
    """Number of earlier confirmations that had read this test span."""
    tradable: Literal["yes", "no"] | None
    """Whether the Probabilistic Sharpe Ratio on test, net of costs, is above 0.95; null if that was not measured."""
    probabilistic_sharpe: float | None
    """Probability that the true Sharpe ratio is above 0, from the returns on test; null if that was not measured."""
    overfitting: float | None
    """Probability of backtest overfitting over all trials; null if there were too few, or it was not recorded."""
    neighbours: Literal["plateau", "spike"] | None = Field(default=None, exclude_if=lambda word: word is None)
    """Neighbours of the winner in its most important hyperparameters: about as good (plateau) or worse (spike)."""


class PresetData(Config):
    """The data that the figures were measured on."""

    synthetic: bool
    """Whether this is the synthetic market."""
    symbols: tuple[str, ...]
    """Symbols of the market data."""
    span: tuple[str, str]
    """Opening times of the first and the last bar, UTC."""
    fingerprint: str
    """SHA-256 of the bars."""
    window: int
    """Number of bars that one prediction sees."""
    horizon: int
    """Number of bars that a label looks ahead."""
    bar: int | None = None
    """Length of a bar, in microseconds."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of windows, labels and splits, as in the `data` of a campaign."""


class Provenance(Config):
    """The origin of a preset's values: campaign, trial, data, versions, confirmation."""

    status: Status
    """What may be claimed of the preset: certified, not certified, too short to tell, or not confirmed."""
    campaign: str
    """Campaign that found the preset."""
    started: str | None = None
    """Start of the campaign, by which campaigns of the same name differ; null in files older than this field."""
    dry_run: bool
    """Whether the campaign was a dry run."""
    trial: int
    """Number of the winning trial."""
    best_epoch: int
    """Best epoch of that trial on val."""
    ranking_metric: RankingMetric
    """Metric that ranked the trials."""
    val_value: float
    """Value of that metric on val; optimistic, since it selected the trial."""
    model: ModelSize
    """Size of the network."""
    seed: int
    """Seed of the search."""
    data: PresetData
    """Data that the figures were measured on."""
    versions: dict[str, str]
    """Versions of the programs."""
    confirmation: Confirmation | None = None
    """Results of the confirmation; null if not confirmed."""
