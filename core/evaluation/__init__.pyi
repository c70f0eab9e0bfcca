from .backtest import compute_trade_returns, run_backtest
from .baselines import BASELINES
from .block_bootstrap import Interval, confidence_interval
from .blocks import TIME_BLOCKS, score_time_blocks, split_time_blocks
from .calibration import Calibration, fit_calibration, nll
from .checklist import ChecklistLine, make_checklist
from .curves import draw_curves
from .decision import DecisionRule, fit_decision_rule
from .diagnosis import Diagnosis, diagnose
from .history import EpochResult, cross_fitted_scores
from .lead import macro_f1_lead
from .logistic_fit import fit_logistic_regression
from .metric_names import METRIC_NAMES
from .metrics import direction_auc, evaluate, ranking_score
from .report import evaluate_rows, make_evaluation_report

__all__ = [
    "BASELINES",
    "METRIC_NAMES",
    "TIME_BLOCKS",
    "Calibration",
    "ChecklistLine",
    "DecisionRule",
    "Diagnosis",
    "EpochResult",
    "Interval",
    "compute_trade_returns",
    "confidence_interval",
    "cross_fitted_scores",
    "diagnose",
    "direction_auc",
    "draw_curves",
    "evaluate",
    "evaluate_rows",
    "fit_calibration",
    "fit_decision_rule",
    "fit_logistic_regression",
    "macro_f1_lead",
    "make_checklist",
    "make_evaluation_report",
    "nll",
    "ranking_score",
    "run_backtest",
    "score_time_blocks",
    "split_time_blocks",
]
