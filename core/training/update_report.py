"""Says what updating a model was worth: the updated and the static model compared on the same rows.

Shapes: N rows; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from core.data.file_format import iso
from core.evaluation.block_bootstrap import MIN_BLOCKS, MIN_HORIZONS, Interval, minimum_block_length
from core.evaluation.calibration import Calibration, logits_of
from core.evaluation.decision import DecisionRule, decide
from core.evaluation.lead import macro_f1_lead, mean_lead
from core.evaluation.metrics import evaluate
from core.inference import TrainedModel


@dataclass(frozen=True)
class Comparison:
    """Compares the updated model with the static one on the same rows.

    Attributes:
        rows: number of rows predicted, N.
        static, updated: metrics of the two models, see `core.evaluation.metrics.evaluate`; NaN where the labels of the
            rows do not define one.
        nll_lead: how much lower the NLL of the updated model is, in nats, with its interval.
        macro_f1_lead: how much higher the macro-F1 of the updated model is, with its interval.
    """

    rows: int
    static: dict[str, float]
    updated: dict[str, float]
    nll_lead: Interval
    macro_f1_lead: Interval


@dataclass(frozen=True)
class UpdateReport:
    """Says what updating a model was worth.

    Attributes:
        every: time between two updates, such as 1d.
        start, stop: the bars that were predicted open between these instants, in microseconds since 1970.
        steps: number of steps, the last of which may be shorter.
        updates: number of updates.
        comparison: the two models on the rows of all steps.
    """

    every: str
    start: int
    stop: int
    steps: int
    updates: int
    comparison: Comparison

    def as_row(self) -> dict[str, Any]:
        """Return plain values, for JSON and checkpoints."""
        row: dict[str, Any] = {"every": self.every, "start": iso(self.start), "stop": iso(self.stop)}
        row |= {"steps": self.steps, "updates": self.updates, **asdict(self.comparison)}
        return row | {"verdict": self.describe_worth()}

    def describe_worth(self) -> str:
        """Return a sentence on what updating was worth, and whether luck explains it."""
        macro_f1, nll = self.comparison.macro_f1_lead, self.comparison.nll_lead
        worth = f"Re-fitting every {self.every} over these {self.steps} steps would have been worth"
        if math.isnan(macro_f1.low) or math.isnan(nll.low):
            return (
                f"{worth} {macro_f1.value:+.4f} macro-F1 and {nll.value:+.4f} nats of NLL (above 0 is better), but "
                f"these bars are too short to tell: an interval takes {MIN_BLOCKS} days and "
                f"{MIN_BLOCKS * MIN_HORIZONS} horizons."
            )
        return f"{worth} {_judge('macro-F1', macro_f1)}, and {_judge('nats of NLL (above 0 is better)', nll)}."


def _judge(unit: str, lead: Interval) -> str:
    """Return a lead with its interval, and whether luck explains it."""
    if lead.contains(0):
        verdict = "which is not distinguishable from zero"
    else:
        verdict = "more than luck explains" if lead.low > 0 else "a loss"
    return f"{lead.value:+.4f} {unit} [{lead.low:+.4f}, {lead.high:+.4f}], {verdict}"


def compare_models(
    trained: TrainedModel,
    labels: np.ndarray,
    timestamps: np.ndarray,
    static_logits: np.ndarray,
    updated_logits: np.ndarray,
    seed: int,
) -> Comparison:
    """Compare what two models predicted for the same rows, both with the calibration and the rule of the checkpoint.

    Args:
        trained: the static model, which has both; where nothing was held out, logits are judged as they are.
        labels: true classes, int `[N]`.
        timestamps: instants of the rows, in microseconds since 1970, `[N]`.
        static_logits: logits of the static model, `[N, 3]`.
        updated_logits: logits of the model as it was when it predicted each row, `[N, 3]`.
        seed: seed of the draws of blocks.
    """
    calibration, rule = trained.calibration or Calibration(), trained.rule or DecisionRule()
    static, updated = (decide(logits, timestamps, calibration, rule) for logits in (static_logits, updated_logits))
    of_label = np.arange(len(labels)), labels
    gains = logits_of(updated.probabilities)[of_label] - logits_of(static.probabilities)[of_label]
    block = minimum_block_length(trained.data.horizon, trained.bar)
    calls, baseline_calls = updated.calls, {"static model": static.calls}
    return Comparison(
        rows=len(labels),
        static=evaluate(labels, np.asarray(softmax(static_logits, axis=1)), static),
        updated=evaluate(labels, np.asarray(softmax(updated_logits, axis=1)), updated),
        nll_lead=mean_lead(gains, timestamps, block, np.random.default_rng(seed)),
        macro_f1_lead=macro_f1_lead(labels, calls, baseline_calls, timestamps, block, np.random.default_rng(seed)),
    )
