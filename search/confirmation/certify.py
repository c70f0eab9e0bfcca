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
from core.evaluation.block_bootstrap import DRAWS, LEVEL, Interval
from core.evaluation.calibration import Calibration, fit_calibration, logits_of
from core.evaluation.decision import DecisionRule, fit_decision_rule
from search.confirmation.cell_predictions import (
    decide_anew,
    predict_baseline,
    predictions_by_seed,
    predictions_of_cell,
    rule_of,
)
from search.confirmation.cells import CellResult
from search.confirmation.subject import ConfirmationSubject, Contender
from search.results.ledger_entry import LedgerEntry, OverlappingEntry
from search.results.predictions import VAL, probabilities_of, timestamps_of
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
from search.statistics.certification import (
    CandidateScore,
    Comparison,
    FinalTestResult,
    Gate,
    best_candidate,
    certification_gates,
    certification_status,
    score_candidates,
    score_final_test,
)
from search.statistics.overfitting import MIN_TRIALS, overfitting_probability
from search.statistics.sharpe import CERTAIN_SHARPE, probabilistic_sharpe_of, sharpe_ratio
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
        comparison: the figures of the candidates all of whose cells are complete, and of the incumbent.
        cells: the results of all cells.
    """

    winner: Contender
    comparison: Comparison
    cells: Sequence[CellResult]

    @property
    def winner_score(self) -> CandidateScore:
        """The figures of the winner."""
        return self.comparison.candidates[self.winner.name]

    @property
    def winner_cells(self) -> list[CellResult]:
        """The results of the winner's cells."""
        return _cells_of(self.winner, self.cells)


def select_winner(subject: ConfirmationSubject, cells: Sequence[CellResult]) -> Selection:
    """Choose the candidate whose ranking metric has the best lower bound on the out-of-fold rows.

    A candidate with a failed cell cannot win.

    Args:
        subject: the campaign, the contenders and the data.
        cells: the results of all cells.

    Raises:
        ConfigError: every candidate failed, or the incumbent did.
    """
    by_contender = {contender.name: _cells_of(contender, cells) for contender in subject.contenders}
    complete = {name: own for name, own in by_contender.items() if all(cell.record.is_complete for cell in own)}
    reason = next((cell.record.reason for cell in cells if not cell.record.is_complete), "")
    if "incumbent" not in complete:
        raise ConfigError(
            f"The confirmation of the incumbent failed ({reason})",
            "Confirm the campaign with another --incumbent: the other trainings are kept",
        )
    if len(complete) == 1:
        raise ConfigError(
            f"The confirmation of every candidate failed ({reason})",
            f"Continue the search: resume {subject.record.name} with more --trials",
        )
    predictions = {name: predictions_by_seed(own, subject.seeds, subject.dataset) for name, own in complete.items()}
    incumbent = predictions.pop("incumbent")
    rng = _random_generator(subject, _SELECTION_STREAM)
    comparison = score_candidates(
        predictions, incumbent, subject.metric, subject.min_block, rng, dropped=subject.dropped
    )
    best = best_candidate(comparison.candidates, subject.metric)
    winner = next(contender for contender in subject.contenders if contender.name == best)
    return Selection(winner, comparison, cells)


def _cells_of(contender: Contender, cells: Sequence[CellResult]) -> list[CellResult]:
    return [cell for cell in cells if cell.record.number == contender.number]


def _random_generator(subject: ConfirmationSubject, stream: int) -> np.random.Generator:
    return np.random.default_rng([subject.record.seed, stream])


def make_verdict(
    subject: ConfirmationSubject,
    selection: Selection,
    final: CellResult,
    ledger_entry: LedgerEntry | None,
    earlier: Sequence[OverlappingEntry],
) -> Verdict:
    """Make the verdict of a confirmation.

    Args:
        subject: the campaign, the contenders and the data.
        selection: the winner, with the figures that chose it.
        final: the result of the final training, with its predictions of test.
        ledger_entry: the entry of this confirmation in the ledger; None on the synthetic market.
        earlier: entries of earlier confirmations that have read some of this test span.
    """
    verdict = _verdict_before_test(subject, selection, final, ledger_entry)
    if not final.record.is_complete:
        return verdict.model_copy(update={"reason": f"the final training failed: {final.record.reason}"})
    rule, origin = _decision_rule(subject, selection, final)
    result, test = _read_test(subject, final, rule)
    gates = _evaluate_gates(subject, selection, final, result, earlier)
    status = certification_status(gates)
    method = verdict.method.model_copy(update={"test_block_bars": result.block, "decision_rule": origin})
    return verdict.model_copy(
        update={
            "status": "not certified" if subject.record.dry_run else status,
            "method": method,
            "gates": tuple(GateResult(**gate.as_row()) for gate in gates),
            "test": test,
            "checklist": final.record.checklist,
            "tradable": _judge_tradability(subject, final),
            "overfitting": _judge_overfitting(subject),
            "earlier_entries": tuple(earlier),
        }
    )


def _verdict_before_test(
    subject: ConfirmationSubject, selection: Selection, final: CellResult, ledger_entry: LedgerEntry | None
) -> Verdict:
    """Return the verdict as far as it does not depend on the reading of test: nothing is certified."""
    record, comparison = subject.record, selection.comparison
    winner, score = selection.winner, selection.winner_score
    best_epochs = [cell.record.best_epoch for cell in selection.winner_cells]
    return Verdict(
        schema_version=SCHEMA_VERSION,
        campaign=record.name,
        status="not certified",
        dry_run=record.dry_run,
        ranking_metric=record.metric,
        model=record.model,
        recipe=record.base_recipe,
        data=record.data,
        method=_describe_method(subject, comparison),
        winner=Winner(
            trial=winner.number,
            hyperparameters=winner.hyperparameters,
            out_of_fold=_estimates(score.figures),
            final_epochs=int(np.median([epoch for epoch in best_epochs if epoch is not None])),
        ),
        incumbent=Incumbent(preset=subject.incumbent, out_of_fold=_estimates(comparison.incumbent)),
        candidates=tuple(
            CandidateFigures(
                trial=contender.number,
                hyperparameters=contender.hyperparameters,
                out_of_fold=_estimates(comparison.candidates[contender.name].figures),
                lead=_estimate(comparison.candidates[contender.name].lead),
            )
            for contender in subject.contenders
            if contender.name in comparison.candidates
        ),
        lead=RankingLead(metric=record.metric, by_fold=score.lead_by_fold, **score.lead.as_row()),
        recommended="winner" if score.lead.low > 0 else "incumbent",
        final=FinalTraining(**final.record.as_row()),
        gates=(),
        ledger_entry=ledger_entry,
    )


def _describe_method(subject: ConfirmationSubject, comparison: Comparison) -> Method:
    return Method(
        interval=(
            f"central {LEVEL:.0%} of {DRAWS} draws of blocks of time and of seeds, widened for the number of blocks; "
            "leads over the incumbent hold for all candidates at once"
        ),
        block_bars=comparison.blocks,
        seeds=subject.seeds,
        folds=subject.folds,
        versions={name: version(name) for name in ("preset-search", "torch")},
    )


def _estimate(interval: Interval) -> Estimate:
    return Estimate(**interval.as_row())


def _estimates(figures: Mapping[str, Interval]) -> dict[str, Estimate]:
    return {name: _estimate(interval) for name, interval in figures.items()}


def _decision_rule(subject: ConfirmationSubject, selection: Selection, final: CellResult) -> tuple[DecisionRule, str]:
    """Return the decision rule of the final model, and in words where it comes from.

    Early versions did not record one. There the rule is fitted on the predictions of val that the winning trial of the
    search made, which has the same hyperparameters and another seed.
    """
    recorded = rule_of(final.record, subject.dataset.bar)
    if recorded is not None:
        return recorded, "fitted on val, for the model and each baseline"
    table = subject.folder.read_predictions()
    is_winner = (table["split"] == VAL) & (table["number"] == selection.winner.number)
    labels = table[is_winner]["label"].to_numpy(dtype=np.int64)
    logits = logits_of(probabilities_of(table[is_winner]))
    calibrated = fit_calibration(logits, labels).apply(logits)
    rule = fit_decision_rule(calibrated, labels, timestamps_of(table[is_winner]), subject.dataset.bar, subject.metric)
    return rule, "fitted on val, for each baseline and for the winning trial of the search, which stands for the model"


def _read_test(
    subject: ConfirmationSubject, final: CellResult, rule: DecisionRule
) -> tuple[FinalTestResult, TestReading]:
    """Compare the final model with the baselines on test; return the figures that gates decide on, and the record."""
    dataset = subject.dataset
    model = decide_anew(predictions_of_cell(final, dataset), _calibration_of(final), rule)
    baselines = {name: predict_baseline(name, dataset, subject.metric) for name in BASELINES}
    gating = {name: baselines[name][0] for name in _GATING_BASELINES}
    rng = _random_generator(subject, _TEST_STREAM)
    result = score_final_test(model, gating, subject.metric, subject.min_block, rng)
    start, end = dataset.borders.test
    return result, TestReading(
        span=(file_format.iso(start), file_format.iso(end)),
        rows=len(dataset.test),
        macro_f1=_estimate(result.macro_f1),
        direction_auc=_estimate(result.direction_auc),
        score=_estimate(result.score),
        lead=BaselineLead(metric=subject.metric, baseline=result.best_baseline, **result.lead.as_row()),
        decision_mean=rule.mean,
        decision_tilt=rule.tilt,
        metrics=final.record.held_out,
        calibrated_nll=float(model.losses.mean()),
        baselines={name: metrics for name, (_, metrics) in baselines.items()},
    )


def _calibration_of(cell: CellResult) -> Calibration:
    record = cell.record
    assert record.temperature is not None  # it is complete
    assert record.bias is not None
    return Calibration(record.temperature, record.bias)


def _evaluate_gates(
    subject: ConfirmationSubject,
    selection: Selection,
    final: CellResult,
    result: FinalTestResult,
    earlier: Sequence[OverlappingEntry],
) -> list[Gate]:
    """Evaluate the gates on all trainings of the winner, the final one included."""
    records = [cell.record for cell in [*selection.winner_cells, final]]
    return certification_gates(
        result,
        subject.metric,
        top_share=float(np.array([record.held_out["top_share"] for record in records], dtype=np.float64).max()),
        earlier_readings=len(earlier),
    )


def _judge_tradability(subject: ConfirmationSubject, final: CellResult) -> Tradability:
    """Judge by the Probabilistic Sharpe Ratio whether the returns on test, net of costs, are more than luck.

    Test chose nothing, neither epochs nor trials nor the winner, so the ratio need not be deflated for the number of
    trials.

    Args:
        subject: the campaign, the contenders and the data.
        final: the result of the final training, with its returns on test.
    """
    dataset = subject.dataset
    period = (dataset.horizon + 1) * dataset.bar
    returns = _returns_by_period(predictions_of_cell(final, dataset), period)
    probability = probabilistic_sharpe_of(returns)
    return Tradability(
        verdict="yes" if probability > CERTAIN_SHARPE else "no",
        probabilistic_sharpe=probability,
        bound=CERTAIN_SHARPE,
        periods=len(returns),
        bars_per_period=dataset.horizon + 1,
        sharpe_per_period=sharpe_ratio(returns),
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


def _judge_overfitting(subject: ConfirmationSubject) -> Overfitting:
    """Compute the probability that the trial that is best on half of val is below the median trial on the other half.

    It is taken over all trials at the first rung. Those that ASHA let continue were chosen on the same rows: among
    them alone, it is far above one half without any overfitting.

    Args:
        subject: the campaign, the contenders and the data.
    """
    blocks = read_val_blocks(subject.folder)
    probability = math.nan if blocks is None else overfitting_probability(blocks)
    return Overfitting(
        probability="n/a" if math.isnan(probability) else probability,
        trials=0 if blocks is None else len(blocks),
        min_trials=MIN_TRIALS,
    )
