from .bars import Bars, bars_fingerprint, read_bar_file
from .dataset import Dataset, fit_dataset, load_dataset
from .labels import BUY, CLASSES, HOLD, NO_LABEL, SELL
from .market import Market, SymbolData
from .sources.reader import read_market
from .span import cut_to_common_span
from .splits import Span, fold_borders, main_borders
from .summary import FileReport, describe_data
from .validation import Problem, find_problems

__all__ = [
    "BUY",
    "CLASSES",
    "HOLD",
    "NO_LABEL",
    "SELL",
    "Bars",
    "Dataset",
    "FileReport",
    "Market",
    "Problem",
    "Span",
    "SymbolData",
    "bars_fingerprint",
    "cut_to_common_span",
    "describe_data",
    "find_problems",
    "fit_dataset",
    "fold_borders",
    "load_dataset",
    "main_borders",
    "read_bar_file",
    "read_market",
]
