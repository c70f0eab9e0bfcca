"""Makes the verdict of a confirmation from its trained cells: chooses the winner, then judges its reading of test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from core.data import file_format
from core.errors import ConfigError
from core.evaluation.baselines import BASELINES
from core.evaluation.calibration import fit_calibration, logits_of
from core.evaluation.report import evaluate_rows
from search.campaign.plan import CampaignPlan
from search.confirmation.cell_predictions import predictions_by_seed, predictions_from_tables, predictions_of_cell
from search.confirmation.cells import CellResult
from search.confirmation.plan import Candidate, ConfirmationPlan
from search.results.ledger_entry import LedgerEntry, OverlappingEntry
from search.results.predictions import VAL, probabilities_of
from search.results.records import LOCATION_SETTINGS, CellRecord, DataRecord
from search.results.tables import read_val_blocks
from search.results.verdict import (
    SCHEMA_VERSION,
    BaselineLead,
    CandidateFigures,
    Estimate,
    FinalTraining,
    GateResult,
    Incumbent,
    Method,
    Overfitting,
    RankingLead,
    TestReading,
    Tradability,
    Verdict,
    Winner,
)
from search.statistics.bootstrap import DRAWS, LEVEL, Interval, block_length
from search.statistics.certification import (
    CERTAIN_SHARPE,
    CandidateScore,
    FinalTestResult,
    Gate,
    best_candidate,
    certification_gates,
    score_candidates,
    score_final_test,
)
from search.statistics.overfitting import MIN_TRIALS, overfitting_probability
from search.statistics.sharpe import deflated_sharpe, sharpe_ratio
from search.statistics.weighted_metrics import Predictions

_GATING_BASELINES = ("majority", "persistence", "logistic regression")
"""Baselines that the model must beat on test; the others are reported beside them."""
_SELECTION_STREAM, _TEST_STREAM = 0, 1
"""Streams of random numbers: the draws on test do not depend on how many were needed to choose the winner."""


@dataclass(frozen=True)
class Selection:
    """The winner of a confirmation, with the figures that chose it.

    Attributes:
        winner: the candidate with the best lower bound.
        scores: by name, the scores of the candidates all of whose cells are complete.
        incumbent: the incumbent's figures by metric.
        cells: the results of all cells.
    """

    winner: Candidate
    scores: dict[str, CandidateScore]
    incumbent: dict[str, Interval]
    cells: Sequence[CellResult]

    @property
    def winner_cells(self) -> list[CellResult]:
        """The results of the winner's cells."""
        return _cells_of(self.winner, self.cells)


def select_winner(plan: ConfirmationPlan, cells: Sequence[CellResult]) -> Selection:
    """Choose the candidate whose ranking metric has the best lower bound on the out-of-fold rows.

    A candidate with a failed cell cannot win.

    Args:
        plan: the planned confirmation, from `plan_confirmation`.
        cells: the results of all its cells.

    Raises:
        ConfigError: every candidate failed, or the incumbent did.
    """
    predictions = {}
    for candidate in plan.candidates:
        candidate_cells = _cells_of(candidate, cells)
        if all(cell.record.is_complete for cell in candidate_cells):
            predictions[candidate.name] = predictions_by_seed(candidate_cells, plan.seeds, plan.dataset)
    incumbent = predictions.pop("incumbent", None)
    name, metric = plan.campaign.config.name, plan.campaign.config.metric
    reason = next((cell.record.reason for cell in cells if not cell.record.is_complete), "")
    if incumbent is None:
        raise ConfigError(
            f"The confirmation of the incumbent failed ({reason})",
            "Confirm the campaign with another --incumbent: the other trainings are kept",
        )
    if not predictions:
        raise ConfigError(
            f"The confirmation of every candidate failed ({reason})",
            f"Continue the search: resume {name} with more --trials",
        )
    draws = _random_generator(plan, _SELECTION_STREAM)
    scores, incumbent_figures = score_candidates(predictions, incumbent, metric, _block_length(plan), draws)
    best = best_candidate(scores, metric)
    winner = next(candidate for candidate in plan.candidates if candidate.name == best)
    return Selection(winner, scores, incumbent_figures, cells)


def _cells_of(candidate: Candidate, cells: Sequence[CellResult]) -> list[CellResult]:
    return [cell for cell in cells if cell.record.number == candidate.number]


def _random_generator(plan: ConfirmationPlan, stream: int) -> np.random.Generator:
    return np.random.default_rng([plan.campaign.config.seed, stream])


def _block_length(plan: ConfirmationPlan) -> int:
    """Return the length of a block of the bootstrap, in bars."""
    return block_length(plan.dataset.horizon, plan.dataset.bar)


def make_verdict(
    plan: ConfirmationPlan,
    selection: Selection,
    final: CellResult,
    ledger_entry: LedgerEntry | None,
    earlier: Sequence[OverlappingEntry],
) -> Verdict:
    """Make the verdict of a confirmation.

    Args:
        plan: the planned confirmation, from `plan_confirmation`.
        selection: the winner, with the figures that chose it.
        final: the result of the final training, with its predictions of test.
        ledger_entry: the entry of this confirmation in the ledger; None on the synthetic market.
        earlier: entries of earlier confirmations that have read some of this test span.
    """
    verdict = _verdict_before_test(plan, selection, final, ledger_entry)
    if not final.record.is_complete:
        return verdict.model_copy(update={"reason": f"the final training failed: {final.record.reason}"})
    result, test = _read_test(plan, final)
    gates = _evaluate_gates(plan, selection, final, result, earlier)
    is_certified = all(gate.passed for gate in gates) and not plan.campaign.config.dry_run
    trials = _trial_predictions(plan)
    return verdict.model_copy(
        update={
            "status": "certified" if is_certified else "not certified",
            "gates": tuple(GateResult(**gate.as_row()) for gate in gates),
            "test": test,
            "checklist": final.record.checklist,
            "tradable": _judge_tradability(plan, selection, trials),
            "overfitting": _judge_overfitting(plan),
            "earlier_entries": tuple(earlier),
        }
    )


def _verdict_before_test(
    plan: ConfirmationPlan, selection: Selection, final: CellResult, ledger_entry: LedgerEntry | None
) -> Verdict:
    """Return the verdict as far as it does not depend on the reading of test: nothing is certified."""
    campaign, config = plan.campaign, plan.campaign.config
    assert config.model is not None  # resolved when the campaign was started
    winner, score = selection.winner, selection.scores[selection.winner.name]
    best_epochs = [cell.record.best_epoch for cell in selection.winner_cells]
    return Verdict(
        schema_version=SCHEMA_VERSION,
        campaign=config.name,
        status="not certified",
        dry_run=config.dry_run,
        ranking_metric=config.metric,
        model=config.model,
        recipe=campaign.base.model_dump(mode="json"),
        data=_describe_data(campaign),
        method=_describe_method(plan),
        winner=Winner(
            trial=winner.number,
            hyperparameters=winner.hyperparameters,
            out_of_fold=_estimates(score.figures),
            final_epochs=int(np.median([epoch for epoch in best_epochs if epoch is not None])),
        ),
        incumbent=Incumbent(preset=plan.incumbent, out_of_fold=_estimates(selection.incumbent)),
        candidates=tuple(
            CandidateFigures(
                trial=candidate.number,
                hyperparameters=candidate.hyperparameters,
                out_of_fold=_estimates(selection.scores[candidate.name].figures),
                lead=_estimate(selection.scores[candidate.name].lead),
            )
            for candidate in plan.candidates
            if candidate.name in selection.scores
        ),
        lead=RankingLead(metric=config.metric, **score.lead.as_row()),
        recommended="winner" if score.lead.low > 0 else "incumbent",
        final=FinalTraining(**final.record.as_row()),
        gates=(),
        ledger_entry=ledger_entry,
    )


def _describe_data(campaign: CampaignPlan) -> DataRecord:
    settings = campaign.config.data.model_dump(mode="json", exclude=LOCATION_SETTINGS, exclude_none=True)
    return campaign.folder.read_record().data.model_copy(update={"settings": settings})


def _describe_method(plan: ConfirmationPlan) -> Method:
    return Method(
        interval=f"central {LEVEL:.0%} of {DRAWS} draws of blocks of time and of seeds",
        deflated_sharpe="median of the seeds, each of its own returns",
        block_bars=_block_length(plan),
        seeds=tuple(plan.seeds),
        folds=plan.settings.folds,
        versions={name: version(name) for name in ("preset-search", "torch")},
    )


def _estimate(interval: Interval) -> Estimate:
    return Estimate(**interval.as_row())


def _estimates(figures: Mapping[str, Interval]) -> dict[str, Estimate]:
    return {name: _estimate(interval) for name, interval in figures.items()}


def _read_test(plan: ConfirmationPlan, final: CellResult) -> tuple[FinalTestResult, TestReading]:
    """Compare the final model with the baselines on test; return the figures that gates decide on, and the record."""
    dataset = plan.dataset
    model = predictions_of_cell(final, dataset)
    probabilities = {name: predict(dataset, dataset.test) for name, predict in BASELINES.items()}
    gating = {name: Predictions(model.instants, model.labels, probabilities[name]) for name in _GATING_BASELINES}
    result = score_final_test(model, gating, _block_length(plan), _random_generator(plan, _TEST_STREAM))
    start, end = dataset.borders.test
    return result, TestReading(
        span=(file_format.iso(start), file_format.iso(end)),
        rows=len(dataset.test),
        macro_f1=_estimate(result.macro_f1),
        direction_auc=_estimate(result.direction_auc),
        lead=BaselineLead(baseline=result.best_baseline, **result.lead.as_row()),
        metrics=final.record.held_out,
        calibrated_nll=float(model.losses.mean()),
        baselines={name: evaluate_rows(dataset, dataset.test, values) for name, values in probabilities.items()},
    )


def _evaluate_gates(
    plan: ConfirmationPlan,
    selection: Selection,
    final: CellResult,
    result: FinalTestResult,
    earlier: Sequence[OverlappingEntry],
) -> list[Gate]:
    """Evaluate the gates on all trainings of the winner, the final one included."""
    records = [cell.record for cell in [*selection.winner_cells, final]]
    return certification_gates(
        result,
        all_finite=all(_is_finite(record) for record in records),
        all_epochs_run=all(record.epochs == plan.campaign.config.max_epochs for record in records),
        top_share=float(np.array([record.held_out["top_share"] for record in records], dtype=np.float64).max()),
        earlier_readings=len(earlier),
    )


def _is_finite(record: CellRecord) -> bool:
    """Return whether a training is complete and its held-out macro-F1 and NLL are finite."""
    if not record.is_complete:
        return False
    values = [record.held_out[name] for name in ("macro_f1", "nll")]
    return all(value is not None and math.isfinite(value) for value in values)


def _trial_predictions(plan: ConfirmationPlan) -> list[Predictions]:
    """Return the predictions of val by every full-fidelity trial of the search, each calibrated on val itself."""
    folder = plan.campaign.folder
    predictions, returns = folder.read_predictions(), folder.read_returns()
    predictions, returns = predictions[predictions["split"] == VAL], returns[returns["split"] == VAL]
    trials = []
    for number, table in predictions.groupby("number"):
        labels = table["label"].to_numpy(dtype=np.int64)
        calibration = fit_calibration(logits_of(probabilities_of(table)), labels)
        trial_returns = returns[returns["number"] == number]
        trials.append(predictions_from_tables(table, trial_returns, calibration, plan.dataset))
    return trials


def _judge_tradability(plan: ConfirmationPlan, selection: Selection, trials: Sequence[Predictions]) -> Tradability:
    """Judge by the Deflated Sharpe Ratio whether the winner's out-of-fold returns, net of costs, are more than luck.

    The ratio is the median of those of the seeds, each computed from its own returns: a preset is one training, and
    the mean of several varies less than any of them.

    Args:
        plan: the planned confirmation, from `plan_confirmation`.
        selection: the winner, with the figures that chose it.
        trials: predictions of the full-fidelity trials, whose Sharpe ratios say how much trials differ.
    """
    dataset = plan.dataset
    period = (dataset.horizon + 1) * dataset.bar
    seeds = predictions_by_seed(selection.winner_cells, plan.seeds, dataset)
    returns_by_seed = [_returns_by_period(predictions, period) for predictions in seeds]
    trial_sharpes = np.array([sharpe_ratio(_returns_by_period(trial, period)) for trial in trials])
    trial_count = len(plan.campaign.folder.read_trials())
    ratios = [deflated_sharpe(returns, trial_sharpes, trial_count) for returns in returns_by_seed]
    deflated = float(np.median(ratios))
    return Tradability(
        verdict="yes" if deflated > CERTAIN_SHARPE else "no",
        deflated_sharpe=deflated,
        bound=CERTAIN_SHARPE,
        periods=len(returns_by_seed[0]),
        bars_per_period=dataset.horizon + 1,
        sharpe_per_period=float(np.median([sharpe_ratio(returns) for returns in returns_by_seed])),
        trials=trial_count,
    )


def _returns_by_period(predictions: Predictions, period: int) -> np.ndarray:
    """Add up the gains of each period of time.

    Args:
        predictions: rows with their gains.
        period: length of a period in microseconds, that of a trade.

    Returns:
        net returns from the first period with a row to the last, `[P]`; 0 where no trade was made.
    """
    periods = predictions.instants // period
    return np.bincount(periods - periods.min(), weights=predictions.gains)


def _judge_overfitting(plan: ConfirmationPlan) -> Overfitting:
    """Compute the probability that the trial that is best on half of val is below the median trial on the other half.

    It is taken over all trials at the first rung. Those that ASHA let continue were chosen on the same rows: among
    them alone, it is far above one half without any overfitting.

    Args:
        plan: the planned confirmation, from `plan_confirmation`.
    """
    blocks = read_val_blocks(plan.campaign.folder)
    probability = math.nan if blocks is None else overfitting_probability(blocks)
    return Overfitting(
        probability="n/a" if math.isnan(probability) else probability,
        trials=0 if blocks is None else len(blocks),
        min_trials=MIN_TRIALS,
    )
