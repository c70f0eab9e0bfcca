"""What the files of a campaign record, as types: the base of all records, and those that several files share.

Attributes carry the names of the keys in the files. `search.results.folder` reads the files.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from core.config import HYPERPARAMETER_NAMES, OPTIONAL_NAMES, Hyperparameters
from core.evaluation.metric_names import METRIC_NAMES
from search.config import ConfirmConfig
from search.study.trial_record import EpochRecord

_FLOAT = "float64"
DECISION_TYPES = {"action": "str", "seen": "Int64", "rank": "Int64", "kept": "Int64"}
"""Pandas types of the columns that say what was decided at a rung, by name."""
TRIAL_TYPES = {
    "number": "int64",
    **{name: "int64" if name == "batch_size" else _FLOAT for name in HYPERPARAMETER_NAMES},
    **dict.fromkeys(OPTIONAL_NAMES, "Int64"),
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
"""Pandas types of the columns of the trials table, by name and in their order."""
CURVE_TYPES = {
    "number": "int64",
    "epoch": "int64",
    **dict.fromkeys(("value", "score", "train_loss", "learning_rate", "seconds"), _FLOAT),
    **DECISION_TYPES,
    **{f"val_{name}": _FLOAT for name in METRIC_NAMES},
    "val_blocks": "object",
}
"""Pandas types of the columns of the curves table, by name and in their order.

`val_blocks` holds lists: at the first rung the ranking score on each block of val's time, elsewhere None.
"""

LOCATION_SETTINGS = {"files", "store", "offline", "until", "days", "symbols", "table", "exchange"}
"""Data settings that select the bars and their location, as opposed to how they are used."""


def none_if_undefined(value: Any) -> Any:
    """Return a value, or None in place of a float that JSON cannot hold."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(none_if_undefined)]
"""A figure; None where it is not defined, as JSON has no NaN."""


class Record(BaseModel):
    """Base of what files record: immutable; keys that this version does not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, use_attribute_docstrings=True)

    def as_row(self) -> dict[str, Any]:
        """Return plain values with the keys of the file, for JSON; what was not set is left out."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class DataRecord(Record):
    """The data that a campaign was run on, as `core.data.summary.describe_data` describes them."""

    synthetic: bool
    """Whether this is the synthetic market."""
    symbols: tuple[str, ...]
    """Symbols of the market data."""
    span: tuple[str, str]
    """Opening times of the first and the last bar, in ISO 8601."""
    bar: int | None = None
    """Length of a bar in microseconds; None if an early version did not record it."""
    fingerprint: str
    """SHA-256 of the bars."""
    window: int
    """Number of bars that one prediction sees."""
    horizon: int
    """Number of bars that a label looks ahead."""
    features: tuple[str, ...] = ()
    """Names of the features, in the order of the network's input."""
    rows: dict[str, int] = Field(default_factory=dict)
    """Number of rows of `train`, `val` and `test`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of windows, labels and splits; empty where the file does not record them."""


class CampaignRecord(Record):
    """The facts of `campaign.yaml` that presets and resumed runs need, whichever version wrote the file.

    Recipes stay plain values, because a recipe that another version wrote may hold other settings than this one knows.
    """

    name: str
    """Name of the campaign."""
    dry_run: bool
    """Whether the campaign was a dry run."""
    metric: str
    """Metric that ranked the trials."""
    model: str
    """Size of the network."""
    seed: int
    """Seed of the campaign."""
    identity: str | None = None
    """Hash of all that a trial's value depends on, see `CampaignConfig.identity`."""
    data: DataRecord
    """The data that it was run on."""
    base_recipe: dict[str, Any]
    """Recipe of a trial, before its hyperparameters are applied."""
    incumbent_recipe: dict[str, Any] = Field(default_factory=dict)
    """Recipe of the incumbent."""
    versions: dict[str, str]
    """Versions of this program and of the libraries that matter, by name."""
    started: str | None = None
    """When the campaign was started, in ISO 8601; None if an early version did not record it."""
    device: str | None = None
    """`cpu` or `cuda`; None if an early version did not record it."""


class IncumbentRecord(Record):
    """The training of the incumbent so far, as `incumbent.json` keeps it."""

    complete: bool
    """Whether the training is complete."""
    attempts: int
    """How often the training was begun."""
    epochs: Annotated[
        tuple[EpochRecord, ...],
        BeforeValidator(lambda rows: tuple(EpochRecord.from_row(row) for row in rows)),
        PlainSerializer(lambda epochs: [epoch.as_row() for epoch in epochs]),
    ] = Field(alias="rows")
    """The recorded epochs, in the file as rows of `EpochRecord.as_row`."""


class SplitMetrics(Record):
    """Metrics of something that needs no network, as `summary.json` holds them."""

    val: dict[str, Number]
    """Its metrics on the rows that trials are ranked on, by name."""


class SummaryRecord(Record):
    """What `summary.json` says of the last run of the search, beside what the tables say, too."""

    ended_by: str
    """Why the run ended, such as `trials` or `interrupted`."""
    majority: SplitMetrics | None = None
    """Always calling the class that is most frequent on train; None if an early version did not record it."""
    bayes: SplitMetrics | None = None
    """The best possible predictions; None where they are not known, as on all real markets."""


class ConfirmationRecord(Record):
    """The settings that a confirmation was begun with, as `begun.json` keeps them."""

    settings: ConfirmConfig
    """Number of candidates, seeds and folds."""
    incumbent: str | None
    """The preset that was named in place of the campaign's own incumbent; None if none was."""


class ChecklistRow(Record):
    """A line of the production checklist, see `core.evaluation.checklist.ChecklistLine`."""

    kind: str
    """Whether the line advises, checks, states a target or decides."""
    name: str
    """The hyperparameter or the measurement that is compared."""
    value: str
    """Its value as text; empty where it was not measured."""
    bound: str
    """The bound on the value as text."""
    verdict: str
    """Whether the value is within the bound."""


class CellRecord(Record):
    """One training of a confirmation, a row of the confirmation table; what has a default is missing if it failed."""

    number: int
    """Number of the trial that the recipe comes from, or `search.results.predictions.INCUMBENT`; neighbours of the
    winner have numbers below."""
    seed: int
    """Seed of the training."""
    split: str
    """`fold 1` and so on for the out-of-fold trainings, or `test` for the final one."""
    status: str
    """`complete` or `failed`."""
    reason: str
    """Why the training failed; empty if it did not."""
    epochs: int | None = None
    """Number of epochs that were run."""
    best_epoch: int | None = None
    """The epoch that was best on val, whose weights predict the held-out rows."""
    seconds: float | None = None
    """Time that the epochs took."""
    temperature: float | None = None
    """Temperature of the calibration, fitted on val."""
    bias: tuple[float, float, float] | None = None
    """Biases of the calibration for SELL, HOLD, BUY."""
    decision_mean: tuple[float, float, float] | None = None
    """Mean probability of SELL, HOLD, BUY on val, which the decision rule starts from; None in early versions."""
    decision_tilt: float | None = None
    """Tilt of the decision rule, fitted on val; None in early versions."""
    val: dict[str, Number] = Field(default_factory=dict)
    """Metrics on val at the best epoch, by name."""
    held_out: dict[str, Number] = Field(default_factory=dict)
    """Metrics of the held-out rows, by name."""
    train_rows: int | None = None
    """Number of rows of train."""
    val_rows: int | None = None
    """Number of rows of val."""
    held_out_rows: int | None = None
    """Number of rows that were predicted."""
    checklist: tuple[ChecklistRow, ...] = ()
    """The production checklist of the final training; empty for the others."""
    dropped_after: int | None = None
    """Number of trainings after which the candidate was dropped from the race; None if it was not."""
    dropped_because: str | None = None
    """Why it was dropped, see `search.results.race_records`; None if it was not."""
    neighbour: str | None = None
    """Of a neighbour of the winner, the hyperparameter that differs, with its value; None for all others."""

    @property
    def is_complete(self) -> bool:
        """Whether the training succeeded."""
        return self.status == "complete"


class RankedTrial(Record):
    """A full-fidelity trial, as its row of the trials table records it."""

    number: int = Field(ge=0)
    """Number of the trial."""
    hyperparameters: Hyperparameters
    """Its six hyperparameters."""
    value: float
    """Its ranking metric on val, at the best epoch."""
    best_epoch: int = Field(ge=1)
    """The epoch that was best on val."""
    epochs: int = Field(ge=1)
    """Number of epochs that were run."""
    row: dict[str, Any]
    """The whole row, by column."""

    @property
    def metrics(self) -> dict[str, float]:
        """All metrics on val at the best epoch, by name."""
        prefix = "val_"
        return {key.removeprefix(prefix): value for key, value in self.row.items() if key.startswith(prefix)}
