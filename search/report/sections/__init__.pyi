from .calls import JudgedRows, judge_rows
from .contenders import collect_steps
from .data import find_gaps, split_labels
from .equity import collect_trades
from .folds import fold_leads
from .hyperparameters import find_neighbours
from .timeline import collect_stints
from .verdict import headline

__all__ = [
    "JudgedRows",
    "collect_steps",
    "collect_stints",
    "collect_trades",
    "find_gaps",
    "find_neighbours",
    "fold_leads",
    "headline",
    "judge_rows",
    "split_labels",
]
