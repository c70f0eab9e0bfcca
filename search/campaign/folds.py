"""Loads the folds that cells are trained on: by a search that ranks trials by cells, and by every confirmation."""

from __future__ import annotations

from core.config import DataConfig
from core.data.dataset import Dataset, fit_dataset
from core.data.sources.reader import read_market
from core.data.splits import fold_borders

MIN_FOLD_ROWS = 100
"""Minimum number of usable rows in each part of a fold; a fold may be small, because all folds are judged together."""


def load_folds(data: DataConfig, count: int, within: tuple[int, int] | None = None) -> tuple[Dataset, ...]:
    """Return the dataset of each fold, which ends with the block that the fold predicts.

    Args:
        data: the data settings.
        count: number of folds.
        within: where the blocks begin and end, in microseconds since 1970; before val if not given.

    Raises:
        DataError: the data cannot be used, or are too few for the number of folds.
    """
    market = read_market(data)
    folds = fold_borders(market.span, data, count, within)
    return tuple(fit_dataset(market, data, fold, min_rows=MIN_FOLD_ROWS).until(fold.test[1]) for fold in folds)
