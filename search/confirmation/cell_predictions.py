"""Turns the tables of cells and trials into the `Predictions` that `search.statistics` computes with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from core.config import RankingMetric
from core.data.dataset import Dataset
from core.evaluation.baselines import BASELINES
from core.evaluation.calibration import Calibration, logits_of
from core.evaluation.decision import DecisionRule, decide, fit_decisions
from core.evaluation.report import evaluate_rows
from search.confirmation.cells import CellResult
from search.results.predictions import (
    INCUMBENT,
    TEST,
    Source,
    make_predictions_table,
    make_returns_table,
    probabilities_of,
    timestamps_of,
)
from search.results.records import CellRecord
from search.statistics.weighted_metrics import Predictions

_MIN_PROBABILITY = 1e-12
"""A probability of 0 would make the loss of a row infinite."""


def predictions_by_seed(cells: Sequence[CellResult], seeds: Sequence[int], dataset: Dataset) -> list[Predictions]:
    """Return the out-of-fold predictions of one candidate, the rows of all folds joined, for each seed.

    Args:
        cells: the candidate's cells, all of which are complete.
        seeds: the seeds, in the order of the result.
        dataset: gives the horizon and the length of a bar.
    """
    in_order = sorted(cells, key=lambda cell: int(cell.record.split.removeprefix("fold ")))
    return [
        _join_folds([predictions_of_cell(cell, dataset) for cell in in_order if cell.record.seed == seed], dataset.bar)
        for seed in seeds
    ]


def _join_folds(folds: Sequence[Predictions], bar: int) -> Predictions:
    """Return the predictions of several folds as one, which remembers the fold of each row.

    Args:
        folds: the predictions of each fold, in the order of time.
        bar: length of a bar in microseconds.
    """
    names = ("instants", "labels", "probabilities", "losses", "gains", "calls")
    columns = {name: np.concatenate([getattr(predictions, name) for predictions in folds]) for name in names}
    numbers = np.repeat(np.arange(len(folds)), [len(predictions.labels) for predictions in folds])
    return Predictions(**columns, bar=bar, folds=numbers)


def predictions_of_cell(cell: CellResult, dataset: Dataset) -> Predictions:
    """Return the predictions of a complete cell, with the losses and calls of what was fitted on its own val.

    Where an earlier version recorded no decision rule, the most probable class before calibration is called.

    Args:
        cell: the result of the cell.
        dataset: gives the horizon and the length of a bar.
    """
    record = cell.record
    assert record.temperature is not None and record.bias is not None  # noqa: PT018 - it is complete
    calibration = Calibration(record.temperature, record.bias)
    predictions = predictions_from_tables(cell.predictions, cell.returns, calibration, dataset)
    rule = rule_of(record, dataset.bar)
    return predictions if rule is None else decide_anew(predictions, calibration, rule)


def rule_of(record: CellRecord, bar: int) -> DecisionRule | None:
    """Return the decision rule of a cell, for its held-out rows; None where an earlier version recorded none.

    Args:
        record: the record of a complete cell.
        bar: length of a bar in microseconds.
    """
    if record.decision_mean is None or record.decision_tilt is None:
        return None
    return DecisionRule(record.decision_mean, record.decision_tilt, bar)


def decide_anew(predictions: Predictions, calibration: Calibration, rule: DecisionRule) -> Predictions:
    """Return predictions with the calls of a decision rule."""
    calibrated = calibration.apply(logits_of(predictions.probabilities))
    return predictions.with_calls(rule.calls(calibrated, predictions.instants))


def predict_baseline(name: str, dataset: Dataset, metric: RankingMetric) -> tuple[Predictions, dict[str, float]]:
    """Predict test by a baseline, calibrated and called as a model is: by what was fitted on val.

    Args:
        name: name of the baseline, a key of `BASELINES`.
        dataset: the splits; the baseline is fitted on train.
        metric: the ranking metric, which the decision rule is fitted for.

    Returns:
        the predictions, and their metrics by name.
    """
    rows = np.concatenate([dataset.val, dataset.test])
    probabilities = BASELINES[name](dataset, rows)
    val, test = probabilities[: len(dataset.val)], probabilities[len(dataset.val) :]
    labels, timestamps = dataset.labels[dataset.val], dataset.timestamps[dataset.val]
    calibration, rule = fit_decisions(logits_of(val), labels, timestamps, dataset.bar, metric)
    decisions = decide(logits_of(test), dataset.timestamps[dataset.test], calibration, rule)
    source = Source(INCUMBENT, 0, TEST)
    table = make_predictions_table(source, dataset, dataset.test, test)
    returns = make_returns_table(source, dataset, dataset.test, decisions.calls)
    predictions = predictions_from_tables(table, returns, calibration, dataset)
    metrics = evaluate_rows(dataset, dataset.test, test, decisions)
    return replace(predictions, probabilities=test, calls=decisions.calls), metrics


def predictions_from_tables(
    predictions: pd.DataFrame, returns: pd.DataFrame, calibration: Calibration, dataset: Dataset
) -> Predictions:
    """Return the predictions of one training for one split, with the loss and the gain of each row.

    The returns table adds up the trades of all symbols that end at an instant, so it cannot tell what each row earned.
    The whole sum becomes the gain of the first row of the instant at which those trades were called, and the other rows
    of that instant get 0. Every statistic of gains adds up all rows of an instant, so it is the same as if each row had
    its own.

    Args:
        predictions: rows from `make_predictions_table`, N of them.
        returns: rows of the same training and split from `make_returns_table`.
        calibration: gives the probabilities that the losses are computed from.
        dataset: gives the horizon and the length of a bar.
    """
    instants = timestamps_of(predictions)
    labels = predictions["label"].to_numpy(dtype=np.int64)
    probabilities = probabilities_of(predictions)
    calibrated = calibration.apply(logits_of(probabilities))
    losses = -np.log(np.maximum(calibrated[np.arange(len(labels)), labels], _MIN_PROBABILITY))
    # A call of bar t is entered at bar t + 1 and left `horizon` bars later.
    call_instants = timestamps_of(returns) - (dataset.horizon + 1) * dataset.bar
    distinct_instants, first_rows = np.unique(instants, return_index=True)
    gains = np.zeros(len(labels))
    gains[first_rows[np.searchsorted(distinct_instants, call_instants)]] = returns["net_return"].to_numpy()
    return Predictions(instants, labels, probabilities, losses, gains, dataset.bar)
