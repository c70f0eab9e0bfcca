"""From the trained cells of a confirmation to its verdict: joins their tables and asks `search.statistics`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from core.data import file_format
from core.data.dataset import Dataset
from core.errors import ConfigError
from core.evaluation import calibration
from core.evaluation.baselines import BASELINES
from core.evaluation.calibration import Calibration
from core.evaluation.report import evaluate_rows
from search.confirmation.cells import CellResult
from search.confirmation.plan import Candidate, ConfirmationPlan
from search.results.predictions import VAL, probabilities_of
from search.statistics.bootstrap import DRAWS, LEVEL, block_length
from search.statistics.certification import (
    CERTAIN_SHARPE,
    CandidateScore,
    FinalTestResult,
    best_candidate,
    certification_gates,
    score_candidates,
    score_final_test,
)
from search.statistics.overfitting import MIN_TRIALS, overfitting_probability
from search.statistics.sharpe import deflated_sharpe, sharpe_ratio
from search.statistics.weighted_metrics import Predictions
from search.study.trial_record import COMPLETE

SCHEMA_VERSION = 1
CERTIFIED, NOT_CERTIFIED = "certified", "not certified"
_GATING = ("majority", "persistence", "logistic regression")


@dataclass(frozen=True)
class Selection:
    """The winner of a confirmation, and how all stood.

    Attributes:
        candidate: the winner.
        standings: by name, of the candidates all of whose cells ended well.
        incumbent: figures of the incumbent.
        trained: all cells.
    """

    candidate: Candidate
    standings: dict[str, CandidateScore]
    incumbent: dict[str, Any]
    trained: Sequence[CellResult]


def select_winner(plan: ConfirmationPlan, trained: Sequence[CellResult]) -> Selection:
    """The candidate with the best lower bound on the rows out of fold.

    Raises:
        ConfigError: every candidate failed, or the incumbent did.
    """
    by_name = {}
    for candidate in plan.candidates:
        own = [each for each in trained if each.row["number"] == candidate.number]
        if all(each.row["status"] == COMPLETE for each in own):
            by_name[candidate.name] = [
                _joined([each for each in own if each.row["seed"] == seed], plan.dataset) for seed in plan.seeds
            ]
    incumbent = by_name.pop("incumbent", None)
    if incumbent is None or not by_name:
        failed = next(each.row for each in trained if each.row["status"] != COMPLETE)
        who, remedy = "every candidate", f"Search on: resume {plan.campaign.config.name} with more --trials"
        if incumbent is None:
            who, remedy = "the incumbent", "Confirm it with another --incumbent: what else was trained is kept"
        raise ConfigError(f"The confirmation of {who} failed ({failed['reason']})", remedy)
    metric = plan.campaign.config.metric
    block = block_length(plan.dataset.horizon, plan.dataset.bar)
    found, reference = score_candidates(by_name, incumbent, metric, block, _draws(plan, 0))
    name = best_candidate(found, metric)
    winner = next(candidate for candidate in plan.candidates if candidate.name == name)
    return Selection(winner, found, {key: each.as_row() for key, each in reference.items()}, trained)


def _draws(plan: ConfirmationPlan, purpose: int) -> np.random.Generator:
    return np.random.default_rng([plan.campaign.config.seed, purpose])


def _joined(parts: Sequence[CellResult], dataset: Dataset) -> Predictions:
    """One seed's predictions of all folds."""
    each = [_predictions(part, dataset) for part in parts]
    names = ("instants", "labels", "probabilities", "losses", "gains")
    joined = {name: np.concatenate([getattr(part, name) for part in each]) for name in names}
    return Predictions(**joined, bar=dataset.bar)


def _predictions(trained: CellResult, dataset: Dataset) -> Predictions:
    """A cell's predictions; losses after its own calibration, which its own val gave."""
    own = Calibration(trained.row["temperature"], tuple(trained.row["bias"]))
    return _from_tables(trained.predictions, trained.returns, own, dataset)


def _from_tables(table: pd.DataFrame, returns: pd.DataFrame, own: Calibration, dataset: Dataset) -> Predictions:
    probabilities = probabilities_of(table)
    instants, labels = microseconds(table), table["label"].to_numpy(dtype=np.int64)
    calibrated = own.apply(calibration.logits_of(probabilities))
    losses = -np.log(np.maximum(calibrated[np.arange(len(labels)), labels], 1e-12))
    gains = np.zeros(len(labels))
    entered = microseconds(returns) - (dataset.horizon + 1) * dataset.bar
    order = np.argsort(instants, kind="stable")
    gains[order[np.searchsorted(instants[order], entered)]] = returns["net_return"].to_numpy()
    return Predictions(instants, labels, probabilities, losses, gains, dataset.bar)


def microseconds(table: pd.DataFrame) -> np.ndarray:
    """The timestamps of a table, `[N]`."""
    naive = table["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None)
    return np.asarray(naive.to_numpy("datetime64[us]").astype(np.int64))


def make_verdict(
    plan: ConfirmationPlan, chosen: Selection, final: CellResult, earlier: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The content of `verdict.json`.

    Args:
        plan: the confirmation.
        chosen: its winner.
        final: the final training, with its predictions of test.
        earlier: what earlier confirmations saw of this test span.
    """
    config, dataset = plan.campaign.config, plan.dataset
    readings = sum("test" in look["saw"] for look in earlier)
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "campaign": config.name,
        "status": NOT_CERTIFIED,
        "dry_run": config.dry_run,
        "ranking_metric": config.metric,
        "model": config.model,
        "recipe": plan.campaign.base.model_dump(mode="json"),
        "data": {**plan.campaign.folder.read_record().data, "settings": _settings(plan)},
        "method": {
            "interval": f"central {LEVEL:.0%} of {DRAWS} draws of blocks of time and of seeds",
            "deflated_sharpe": "median of the seeds, each of its own returns",
            "block_bars": block_length(dataset.horizon, dataset.bar),
            "seeds": plan.seeds,
            "folds": plan.settings.folds,
            "versions": {name: version(name) for name in ("preset-search", "torch")},
        },
        **_confirmed(plan, chosen),
        "final": _final(final),
    }
    if final.row["status"] != COMPLETE:
        return {**content, "gates": [], "reason": f"the final training failed: {final.row['reason']}"}
    reading, test = _test(plan, final)
    rows = [each.row for each in chosen.trained if each.row["number"] == chosen.candidate.number] + [final.row]
    decided = certification_gates(
        reading,
        all_finite=all(_finite(row) for row in rows),
        all_epochs_run=all(row["epochs"] == config.max_epochs for row in rows),
        top_share=max(row["held_out"]["top_share"] for row in rows),
        earlier_readings=readings,
    )
    certified = all(gate.passed for gate in decided) and not config.dry_run
    return {
        **content,
        "status": CERTIFIED if certified else NOT_CERTIFIED,
        "gates": [gate.as_row() for gate in decided],
        "test": test,
        "checklist": final.row["checklist"],
        **_beside(plan, chosen),
        "earlier_looks": list(earlier),
    }


def _settings(plan: ConfirmationPlan) -> dict[str, Any]:
    """The data settings that do not say where recorded bars lie, nor which."""
    place = {"files", "store", "offline", "until", "days", "symbols", "table", "exchange"}
    return plan.campaign.config.data.model_dump(mode="json", exclude=place, exclude_none=True)


def _confirmed(plan: ConfirmationPlan, chosen: Selection) -> dict[str, Any]:
    """How the candidates stood, who won, and whether that is better than the incumbent."""
    metric = plan.campaign.config.metric
    winner = chosen.standings[chosen.candidate.name]
    own = [each.row["best_epoch"] for each in chosen.trained if each.row["number"] == chosen.candidate.number]
    return {
        "winner": {
            "trial": chosen.candidate.number,
            "hyperparameters": chosen.candidate.hyperparameters,
            "out_of_fold": _rows(winner.figures),
            "final_epochs": int(np.median(own)),
        },
        "incumbent": {"preset": plan.incumbent, "out_of_fold": chosen.incumbent},
        "candidates": [
            {
                "trial": candidate.number,
                "hyperparameters": candidate.hyperparameters,
                "out_of_fold": _rows(chosen.standings[candidate.name].figures),
                "lead": chosen.standings[candidate.name].lead.as_row(),
            }
            for candidate in plan.candidates
            if candidate.name in chosen.standings
        ],
        "lead": {"metric": metric, **winner.lead.as_row()},
        "recommended": "winner" if winner.lead.low > 0 else "incumbent",
    }


def _rows(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: figure.as_row() for name, figure in figures.items()}


def _final(final: CellResult) -> dict[str, Any]:
    kept = ("seed", "status", "reason", "epochs", "best_epoch", "temperature", "bias", "val")
    return {name: final.row[name] for name in kept if name in final.row}


def _test(plan: ConfirmationPlan, final: CellResult) -> tuple[FinalTestResult, dict[str, Any]]:
    """The one reading of test: figures with intervals, beside those of the baselines."""
    dataset = plan.dataset
    model = _predictions(final, dataset)
    probabilities = {name: predict(dataset, dataset.test) for name, predict in BASELINES.items()}
    others = {name: Predictions(model.instants, model.labels, probabilities[name]) for name in _GATING}
    block = block_length(dataset.horizon, dataset.bar)
    reading = score_final_test(model, others, block, _draws(plan, 1))
    return reading, {
        "span": [file_format.iso(edge) for edge in dataset.borders.test],
        "rows": len(dataset.test),
        "macro_f1": reading.macro_f1.as_row(),
        "direction_auc": reading.direction_auc.as_row(),
        "lead": {"over": reading.best_baseline, **reading.lead.as_row()},
        "metrics": final.row["held_out"],
        "calibrated_nll": float(model.losses.mean()),
        "baselines": {name: evaluate_rows(dataset, dataset.test, found) for name, found in probabilities.items()},
    }


def _finite(row: dict[str, Any]) -> bool:
    return row["status"] == COMPLETE and all(
        row["held_out"][name] is not None and math.isfinite(row["held_out"][name]) for name in ("macro_f1", "nll")
    )


def _beside(plan: ConfirmationPlan, chosen: Selection) -> dict[str, Any]:
    """What stands beside the verdict and decides nothing: Deflated Sharpe and the probability of overfitting.

    The Deflated Sharpe Ratio is the median of those of the seeds, each of its own returns: a preset is one training,
    and the mean of several varies less than any of them.
    """
    folder, dataset, metric = plan.campaign.folder, plan.dataset, plan.campaign.config.metric
    predictions, returns = folder.read_predictions(), folder.read_returns()
    predictions, returns = predictions[predictions["split"] == VAL], returns[returns["split"] == VAL]
    trials = []
    for number, table in predictions.groupby("number"):
        logits = calibration.logits_of(probabilities_of(table))
        fitted = calibration.fit_calibration(logits, table["label"].to_numpy(dtype=np.int64))
        trials.append(_from_tables(table, returns[returns["number"] == number], fitted, dataset))
    probability = overfitting_probability(metric, trials)
    period = (dataset.horizon + 1) * dataset.bar
    won = [each for each in chosen.trained if each.row["number"] == chosen.candidate.number]
    joined = [_joined([each for each in won if each.row["seed"] == seed], dataset) for seed in plan.seeds]
    own = [_by_period(each, period) for each in joined]
    others = np.array([sharpe_ratio(_by_period(trial, period)) for trial in trials])
    tried = len(folder.read_trials())
    deflated = float(np.median([deflated_sharpe(returns, others, tried) for returns in own]))
    return {
        "tradable": {
            "verdict": "yes" if deflated > CERTAIN_SHARPE else "no",
            "deflated_sharpe": deflated,
            "bound": CERTAIN_SHARPE,
            "periods": len(own[0]),
            "bars_a_period": dataset.horizon + 1,
            "sharpe_a_period": float(np.median([sharpe_ratio(returns) for returns in own])),
            "trials": tried,
        },
        "overfitting": {
            "probability": "n/a" if math.isnan(probability) else probability,
            "trials": len(trials),
            "least_trials": MIN_TRIALS,
        },
    }


def _by_period(predictions: Predictions, period: int) -> np.ndarray:
    """Net returns by stretch of time, as long as a trade lasts, `[P]`; those without a trade are 0."""
    place = predictions.instants // period
    return np.bincount(place - place.min(), weights=predictions.gains)
