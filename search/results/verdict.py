"""The verdict of a confirmation, `verdict.json`: who won, what was read on test, and what may be claimed of it.

The file is the one record of a confirmation that presets are made from. Its keys are the names of the attributes, or
their aliases where an attribute has one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from core.errors import ConfigError
from core.files import reading
from search.results.ledger_entry import LedgerEntry, OverlappingEntry, without_defaults
from search.results.race_records import Neighbourhood, RaceRecord
from search.results.records import ChecklistRow, DataRecord, Number, Record, none_if_undefined

SCHEMA_VERSION = 2
OLD_RULES_GATE = {"name": "judged by the present rules", "value": False, "bound": "yes", "verdict": "fail"}
"""Gate that a verdict of the first schema fails; `preset-search judge` makes it anew."""
Status = Literal["certified", "not certified", "too short to tell"]


class Estimate(Record):
    """A figure and its central 95 % interval."""

    value: Number
    """The figure on the data itself; None where it is not defined."""
    low: Number
    """Lower end of the interval; None where there are too few rows for one."""
    high: Number
    """Upper end of the interval; None where `low` is."""


class RankingLead(Record):
    """The lead of the winner over the incumbent, out of fold.

    The interval holds for the leads of all candidates at once, those that were dropped included, so that the best of
    them may be chosen.
    """

    metric: str
    """The ranking metric, in which the lead is measured."""
    value: Number
    """The winner's metric less the incumbent's."""
    low: Number
    """Lower end of the interval; if it is above 0, the lead is unlikely to be luck. None if too short to tell."""
    high: Number
    """Upper end of the interval; None where `low` is."""
    by_fold: tuple[Number, ...] = ()
    """The lead in each fold alone, in the order of time; empty in verdicts of the first schema."""


class BaselineLead(Record):
    """The lead of the final model over the best baseline, on test."""

    metric: str
    """The ranking metric, in which the lead is measured; calls are made by decision rules fitted on val."""
    baseline: str = Field(alias="over")
    """Name of the baseline that is best in this metric."""
    value: Number
    """The model's metric less that of the baseline."""
    low: Number
    """Lower end of the interval, in which each draw has its own best baseline; None if too short to tell."""
    high: Number
    """Upper end of the interval; None where `low` is."""


class Method(Record):
    """The method that the figures were computed with: draws, blocks, seeds, folds and versions."""

    interval: str
    """In words, how the intervals were computed."""
    block_bars: dict[str, int]
    """Length of a block of the bootstrap out of fold, in bars, by metric."""
    test_block_bars: int | None = None
    """Length of a block of the bootstrap on test, in bars; None where test was not read."""
    decision_rule: str | None = None
    """In words, where the decision rules of the lead on test come from; None where test was not read."""
    seeds: tuple[int, ...]
    """Seeds of the trainings of each candidate that finished the race."""
    folds: int
    """Number of blocks of time, each predicted by trainings on what came before it."""
    versions: dict[str, str]
    """Version of each program that matters, by name."""


class Winner(Record):
    """The candidate with the best lower bound out of fold; of a verdict that was made anew, the one that had won."""

    trial: int
    """Number of the trial that it comes from."""
    hyperparameters: dict[str, Any]
    """Its six hyperparameters, by name."""
    out_of_fold: dict[str, Estimate]
    """Its metrics over all folds, averaged over the seeds, by name; as scores, so that NLL is negated."""
    final_epochs: int
    """Median of the epochs at which its trainings were best: how long to train on all data."""


class Incumbent(Record):
    """The preset that the winner was to beat."""

    preset: str
    """Name of the preset."""
    out_of_fold: dict[str, Estimate]
    """Its metrics over all folds, averaged over the seeds, by name."""


class CandidateFigures(Record):
    """A candidate, and how it compared with the incumbent."""

    trial: int
    """Number of the trial that it comes from."""
    hyperparameters: dict[str, Any]
    """Its six hyperparameters, by name."""
    out_of_fold: dict[str, Estimate]
    """Its metrics over all folds, averaged over the seeds, by name."""
    lead: Estimate
    """Its ranking metric less the incumbent's, on the same draws."""


class FinalTraining(Record):
    """The training of the winner on the whole train span; the fields with a default are missing where it failed."""

    seed: int
    """Seed of the training."""
    status: str
    """`complete` or `failed`."""
    reason: str
    """Why the training failed; empty if it did not."""
    epochs: int | None = None
    """Number of epochs that were run."""
    best_epoch: int | None = None
    """The epoch that was best on val, whose weights predict test."""
    temperature: float | None = None
    """Temperature of the calibration, fitted on val."""
    bias: tuple[float, ...] = ()
    """Biases of the calibration for SELL, HOLD, BUY."""
    val: dict[str, Number] = Field(default_factory=dict)
    """Metrics on val at the best epoch, by name."""


class GateResult(Record):
    """A condition of certification, and whether the winner meets it."""

    name: str
    """Name of the gate, which says what it checks."""
    value: Annotated[bool | int | float | None, BeforeValidator(none_if_undefined)]
    """The value that was measured; None where it is not defined, or the data are too short to tell."""
    bound: str
    """The condition on the value, in words."""
    verdict: Literal["pass", "fail", "too short to tell"]
    """Whether the value meets the condition."""


class TestReading(Record):
    """The one reading of test, by the final training."""

    __test__ = False  # pytest takes it for a class of tests otherwise

    span: tuple[str, str]
    """Start and end of the test span, in ISO 8601."""
    rows: int
    """Number of test rows."""
    macro_f1: Estimate
    """Mean F1 of the three classes, the calls made by the decision rule."""
    direction_auc: Estimate
    """AUC of p_BUY - p_SELL among the rows that are not HOLD."""
    score: Estimate | None = None
    """Ranking metric of the model, its calls made by its decision rule; None in verdicts of the first schema."""
    lead: BaselineLead
    """That score less the best baseline's."""
    decision_mean: tuple[float, ...] = ()
    """The model's decision rule: the mean probability of SELL, HOLD, BUY that it starts from; empty in verdicts of the
    first schema."""
    decision_tilt: float | None = None
    """The model's decision rule: its tilt, see `core.evaluation.decision`; None in verdicts of the first schema."""
    metrics: dict[str, Number]
    """All metrics of the model, by name."""
    calibrated_nll: Number
    """Mean cross-entropy of the calibrated probabilities, in nats."""
    baselines: dict[str, dict[str, Number]]
    """All metrics of each baseline, by the baseline's name and the metric's."""


class Tradability(Record):
    """The judgement of the returns on test, net of costs, by the Probabilistic Sharpe Ratio.

    It is reported beside the gates and decides nothing. The ratio takes periods for independent, so that returns which
    come in spells look a little more certain than they are.
    """

    verdict: Literal["yes", "no"]
    """`yes` if the Probabilistic Sharpe Ratio is above the bound."""
    probabilistic_sharpe: Number
    """Probability that the true Sharpe ratio is above 0; None where it is not defined."""
    bound: float
    """The Probabilistic Sharpe Ratio that counts as tradable."""
    periods: int
    """Number of periods whose returns were judged."""
    bars_per_period: int = Field(alias="bars_a_period")
    """Length of a period in bars: as long as a trade lasts."""
    sharpe_per_period: Number = Field(alias="sharpe_a_period")
    """Sharpe ratio of one period, not annualised."""


class Overfitting(Record):
    """The probability that choosing the best trial by the ranking metric was worthless.

    It is taken over all trials at the first rung, those that were stopped there included. Verdicts of earlier versions
    hold it over the full-fidelity trials alone, where it is too high. It is reported beside the gates and decides
    nothing.
    """

    probability: float | Literal["n/a"]
    """Probability of backtest overfitting; `n/a` with fewer trials than `min_trials`."""
    trials: int
    """Number of trials that it is computed from; 0 if an earlier version ran some and kept no scores by block."""
    min_trials: int = Field(alias="least_trials")
    """Fewest trials that it is computed from."""


class Verdict(Record):
    """The verdict of a confirmation.

    Where the final training failed, nothing was read on test: then there is a `reason`, there are no gates, and all
    that depends on the reading is missing.
    """

    schema_version: int
    """Version of the file's format, `SCHEMA_VERSION`."""
    campaign: str
    """Name of the campaign that was confirmed."""
    status: Status
    """The claim that the winner may bear: certified if it passes every gate, and never after a dry run; too short to
    tell if no gate is failed, but there is too little time for the interval of one."""
    supersedes: str | None = None
    """Name of the file beside this one with the verdict that this one replaces; None if there was none before."""
    dry_run: bool
    """Whether the campaign was a dry run."""
    ranking_metric: str
    """The metric that ranked trials and candidates."""
    model: str
    """Size of the network."""
    recipe: dict[str, Any]
    """Recipe of a trial, before its hyperparameters are applied; plain values, since versions differ in settings."""
    data: DataRecord
    """The data as in `campaign.yaml`, and as `settings` how bars became windows, labels and splits."""
    method: Method
    """The method that the figures were computed with."""
    winner: Winner
    """The candidate that won."""
    incumbent: Incumbent
    """The preset that the winner was to beat."""
    candidates: tuple[CandidateFigures, ...]
    """The candidates that finished the race, the winner among them, in the order of the search's ranking."""
    lead: RankingLead
    """The winner's ranking metric less the incumbent's."""
    recommended: Literal["winner", "incumbent"]
    """Which of the two to use: the winner if the lower end of its lead is above 0."""
    race: RaceRecord | None = None
    """The race among the candidates, and who was dropped; None in verdicts of earlier versions, which trained all."""
    neighbours: Neighbourhood | None = None
    """How the neighbours of the winner compare with it; None where none was trained."""
    final: FinalTraining
    """The final training, whose predictions of test were read."""
    gates: tuple[GateResult, ...]
    """The conditions of certification; none where test was not read."""
    reason: str | None = None
    """Why test was not read; None where it was."""
    test: TestReading | None = None
    """The reading of test; None if the final training failed."""
    checklist: tuple[ChecklistRow, ...] = ()
    """The production checklist of the final training."""
    tradable: Tradability | None = None
    """The judgement of the returns; None where test was not read."""
    overfitting: Overfitting | None = None
    """The probability of overfitting; None where test was not read."""
    earlier_entries: tuple[OverlappingEntry, ...] = Field(default=(), alias="earlier_looks")
    """Ledger entries of earlier readings that had seen some of this test span."""
    ledger_entry: LedgerEntry | None = Field(default=None, alias="look")
    """The ledger entry of this confirmation; None on the synthetic market."""

    @model_validator(mode="after")
    def _check_claim(self) -> Verdict:
        if self.status == "certified" and (self.dry_run or not self.gates or self.failed_gates):
            raise ValueError("it is certified without having passed every gate")
        return self

    def as_row(self) -> dict[str, Any]:
        """Return plain values with the keys of the file, for JSON; what was not set is left out."""
        row = super().as_row()
        if row.get("look"):
            row["look"] = without_defaults(row["look"])
        if "earlier_looks" in row:
            row["earlier_looks"] = tuple(without_defaults(entry) for entry in row["earlier_looks"])
        return row

    @property
    def failed_gates(self) -> tuple[str, ...]:
        """Names of the gates that the winner did not pass, those that the data are too short for among them."""
        return tuple(gate.name for gate in self.gates if gate.verdict != "pass")

    @property
    def earlier_readings(self) -> int:
        """Number of earlier readings that had seen some of this test span."""
        return len(self.earlier_entries)


def read_verdict(path: Path) -> Verdict | None:
    """Read the verdict of a confirmation.

    Args:
        path: the verdict file of a campaign.

    Returns:
        the verdict; None if there is no such file.

    Raises:
        ConfigError: the file is damaged, or of a version that this program does not know.
    """
    if not path.is_file():
        return None
    with reading(path):
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["schema_version"]
    if version not in (1, SCHEMA_VERSION):
        raise ConfigError(f"{path} has schema version {version}", "Upgrade preset-search")
    with reading(path):
        return Verdict.model_validate(_without_old_claims(content) if version == 1 else content)


def _without_old_claims(content: dict[str, Any]) -> dict[str, Any]:
    """Return a verdict of the first schema in the present one, without the claims that its rules do not carry.

    It keeps its figures and intervals, is not certified, and says nothing of returns and overfitting.
    """
    kept = {key: value for key, value in content.items() if key not in ("tradable", "overfitting")}
    metric, method = content["ranking_metric"], content["method"]
    kept |= {
        "status": "not certified",
        "method": {**method, "block_bars": {metric: method["block_bars"]}},
        "gates": [*content["gates"], OLD_RULES_GATE] if content["gates"] else [],
    }
    if test := content.get("test"):
        kept["test"] = {**test, "lead": {**test["lead"], "metric": "macro_f1"}}
    return kept


def parse_ledger_entry(content: str | bytes) -> LedgerEntry | None:
    """Return the ledger entry that the content of a verdict file records, whatever else the file holds.

    The entry counts even where the verdict is of another version: what was read stays read.

    Args:
        content: the JSON of the verdict.

    Returns:
        the entry; None for a confirmation on the synthetic market.

    Raises:
        ValueError: the content is no JSON.
        KeyError: it records no entry.
        TypeError: it is no verdict, or the entry lacks a field or has one too many.
        RecursionError: it is nested too deeply.
    """
    entry = json.loads(content)["look"]
    return None if entry is None else LedgerEntry(**entry)
