from .feature_table import read_feature_tables
from .fetch import fetch_bars, fetch_missing, fetch_ranges
from .reader import bar_files, read_bars, read_market
from .store import FetchRange, find_in_store, missing_ranges
from .synthetic import make_bars

__all__ = [
    "FetchRange",
    "bar_files",
    "fetch_bars",
    "fetch_missing",
    "fetch_ranges",
    "find_in_store",
    "make_bars",
    "missing_ranges",
    "read_bars",
    "read_feature_tables",
    "read_market",
]
