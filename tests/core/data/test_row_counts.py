from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.config import DataConfig
from core.data import dataset as dataset_module
from core.data.completion import mark_reopenings
from core.data.dataset import fit_dataset
from core.data.file_format import DAY
from core.data.market import bars_market
from core.data.splits import main_borders
from core.errors import DataError
from tests.core.data.test_continuity import daily_starts, session_starts
from tests.helpers.market import market_config, prepare, random_bars, without_rows


@pytest.mark.parametrize(
    ("bars", "split"), [(600, "train"), (3000, "val"), (60, "train"), (4, "train")], ids=["600", "3000", "60", "4"]
)
def test_too_few_rows_are_refused_by_split(bars: int, split: str) -> None:
    with pytest.raises(DataError, match=f"usable {split} rows") as caught:
        prepare([random_bars(bars)], market_config())
    assert "more days" in caught.value.remedy


@pytest.mark.parametrize("starts", [session_starts(days=90), daily_starts()], ids=["5m", "1d"])
def test_bars_of_a_market_that_closes_lack_rows_until_sessions_are_said(starts: np.ndarray) -> None:
    bars = random_bars(len(starts))
    opened = pd.to_datetime(starts, unit="us", utc=True)
    bars = replace(bars, frame=bars.frame.assign(timestamp=opened), interval="1d" if starts[1] % DAY == 0 else "5m")
    config = DataConfig(symbols=("BTCUSDT",), window=20, horizon=2)
    with pytest.raises(DataError, match="gaps recur as the closures of a market do") as caught:
        prepare([bars], config)
    assert "--sessions" in caught.value.remedy
    dataset = prepare([mark_reopenings(bars)], config.model_copy(update={"sessions": True}))
    assert len(dataset.train) > 0.4 * 0.7 * len(starts)


def test_one_symbol_with_too_few_train_rows_is_named() -> None:
    gapped = without_rows(random_bars(4000, seed=1, symbol="ETHUSDT"), np.arange(1, 2400))
    with pytest.raises(DataError, match="usable train rows in ETHUSDT"):
        prepare([random_bars(4000), gapped], market_config())


@pytest.mark.parametrize("min_rows", [100, 800])
def test_the_minimum_that_is_named_is_the_one_that_counts(min_rows: int) -> None:
    market = bars_market([random_bars(600)], market_config())
    borders = main_borders(market.span, market_config())
    with pytest.raises(DataError, match=f"^Only [0-9]+ usable .* rows in .*, at least {min_rows} are needed"):
        fit_dataset(market, market_config(), borders, min_rows=min_rows)


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("kept", [0, 60])
def test_a_symbol_with_too_few_rows_to_be_measured_is_named(split: str, kept: int) -> None:
    whole = random_bars(6000)
    start, stop = {"val": (4200, 5100), "test": (5100, 6000)}[split]
    # The newest bar stays, so that the span does.
    gapped = without_rows(random_bars(6000, seed=1, symbol="ETHUSDT"), np.arange(start, stop - 1 - kept))
    with pytest.raises(DataError, match=rf"^Only \d+ usable {split} rows in ETHUSDT, at least 250 are") as caught:
        prepare([whole, gapped], market_config())
    assert caught.value.remedy.startswith("Leave ETHUSDT out, or use more days")
    prepare([whole], market_config())


def test_the_symbols_share_the_minimum_of_what_is_measured() -> None:
    several = [random_bars(2000, seed, f"S{seed}") for seed in range(3)]
    counts = prepare(several, market_config()).row_counts()["val"]
    assert max(counts) < 500 < sum(counts)
    with pytest.raises(DataError, match="usable val rows in the data, at least 500 are needed") as caught:
        prepare(several[:1], market_config())
    assert "more symbols" in caught.value.remedy


def test_one_row_of_each_symbol_is_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_module, "MIN_ROWS", 1)
    gapped = without_rows(random_bars(6000, seed=1, symbol="ETHUSDT"), np.arange(4200, 5099))
    with pytest.raises(DataError, match=r"^Only 0 usable val rows in ETHUSDT\. Leave"):
        prepare([random_bars(6000), gapped], market_config())
