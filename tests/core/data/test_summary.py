from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.config import DataConfig, LabelConfig, SyntheticConfig
from core.data import summary
from core.data.bars import Bars, read_unchecked
from core.data.dataset import load_dataset
from core.evaluation import metrics
from tests.helpers.market import market_config, prepare, random_bars


def _write(folder: Path, frame: pd.DataFrame) -> Path:
    path = folder / "binance_BTCUSDT_5m.parquet"
    frame.to_parquet(path)
    return path


def _content(path: Path) -> tuple[Path, Bars]:
    return path, read_unchecked(path)[0]


def test_a_sound_file_has_nothing_to_report(tmp_path: Path) -> None:
    report = summary.check_file(*_content(_write(tmp_path, random_bars(600).frame)))
    assert (report.symbol, report.interval, report.rows) == ("BTCUSDT", "5m", 600)
    assert report.days == pytest.approx(599 * 5 / 1440)
    counts = (report.gaps, report.missing, report.duplicates, report.frozen, report.zero_volume, report.outliers)
    assert counts == (0, 0, 0, 0, 0, 0)
    assert report.problems == ()


def test_oddities_are_counted(tmp_path: Path) -> None:
    frame = random_bars(600).frame
    frame.loc[300:, ["open", "high", "low", "close"]] *= 1.5  # one jump
    prices = ["open", "high", "low", "close"]
    frame.loc[100:104, prices] = float(frame["close"].iloc[99])
    frame.loc[100:104, ["volume", "taker_buy_base"]] = 0.0
    frame = frame.drop(index=[*range(200, 210), 400]).assign(extra=1.0)
    report = summary.check_file(*_content(_write(tmp_path, frame)))
    assert (report.gaps, report.missing, report.longest_gap) == (2, 11, 10)
    assert (report.frozen, report.zero_volume, report.outliers) == (4, 5, 1)
    assert report.ignored == ("extra",)
    assert report.problems == ()


def test_damage_is_listed_with_rows_and_counts_not_raised(tmp_path: Path) -> None:
    frame = random_bars(600).frame
    frame.loc[[7, 9], "close"] = np.nan
    frame = pd.concat([frame.iloc[:50], frame.iloc[49:]])
    report = summary.check_file(*_content(_write(tmp_path, frame)))
    assert report.duplicates == 1
    assert len(report.problems) == 2
    assert report.problems[0].startswith("row 50 (2024-03-01 04:05:00+00:00) repeats the timestamp before it. Remove")
    assert "row 7 (2024-03-01 00:35:00+00:00) has no finite close, and 1 more." in report.problems[1]


def test_gaps_and_repetitions_are_counted_in_whatever_order_the_rows_are(tmp_path: Path) -> None:
    frame = random_bars(600).frame.drop(index=[*range(200, 210), 400])
    frame = pd.concat([frame.iloc[:50], frame.iloc[49:], frame.iloc[7:8], frame.iloc[7:8]])
    report = summary.check_file(*_content(_write(tmp_path, frame.sample(frac=1, random_state=0))))
    assert (report.gaps, report.missing, report.longest_gap, report.duplicates) == (2, 11, 10, 3)
    assert (report.start[:16], report.rows) == ("2024-03-01 00:00", 592)


def test_a_price_that_is_not_finite_is_not_frozen(tmp_path: Path) -> None:
    frame = random_bars(600).frame
    frame.loc[100:101, ["open", "high", "low", "close"]] = np.inf
    frame.loc[200:201, ["open", "high", "low", "close"]] = np.nan
    frame.loc[300:301, ["open", "high", "low", "close"]] = 5.0
    assert summary.check_file(*_content(_write(tmp_path, frame))).frozen == 1


@pytest.mark.parametrize(("days", "advice"), [(5.6, "unstable"), (13.0, "14 or more are advised"), (14.0, None)])
def test_short_spans_are_advised_against(days: float, advice: str | None) -> None:
    config = SyntheticConfig(bars=round(288 * days), symbols=("A", "B", "C", "D", "E"))
    sentences = summary.advice(load_dataset(DataConfig(synthetic=config)))
    assert (advice is None and sentences == []) or (advice is not None and advice in sentences[0])


def test_too_much_hold_is_advised_against_with_the_remedy() -> None:
    labels = LabelConfig(kind="fixed", fixed=(-0.02, 0.02))
    sentences = summary.advice(load_dataset(DataConfig(synthetic=SyntheticConfig(bars=6000), labels=labels)))
    (sentence,) = (sentence for sentence in sentences if "HOLD" in sentence)
    assert "of the train labels are HOLD" in sentence
    assert "quantile" in sentence


def test_ignored_columns_are_named() -> None:
    dataset = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=6000)))
    (sentence,) = summary.advice(replace(dataset, ignored=("funding",)))
    assert sentence == "These columns are ignored because features: does not name them: funding."


def test_the_provable_auc_is_near_what_was_measured_on_recorded_spans() -> None:
    # Standard errors were about .03 for 30 days and .01 for 8 months of 5-minute bars at h = 3; ours are those of a
    # persistent forecast, which were .041 and .015 in simulation.
    month = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=288 * 30)))
    months = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=288 * 245)))
    assert (summary.provable_direction_auc(month, month.test) - 0.5) / 1.645 == pytest.approx(0.03, abs=0.012)
    assert (summary.provable_direction_auc(months, months.test) - 0.5) / 1.645 == pytest.approx(0.01, abs=0.006)


def test_more_symbols_prove_no_more_because_they_move_together() -> None:
    one = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=6000)))
    four = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=6000, symbols=("A", "B", "C", "D"))))
    first, second = (summary.provable_direction_auc(dataset, dataset.test) for dataset in (one, four))
    assert first == pytest.approx(second, abs=0.005)


@pytest.mark.parametrize("sells", [0.05, 0.3, 0.5])
def test_the_provable_auc_holds_for_unequal_shares_of_sell_and_buy(sells: float) -> None:
    dataset = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=6000), horizon=1))
    rows, rng = dataset.val, np.random.default_rng(0)
    labels = dataset.labels.copy()
    labels[rows] = np.where(rng.random(len(rows)) < sells, 0, 2)
    changed = replace(dataset, labels=labels)
    bound = summary.provable_direction_auc(changed, rows, 0.95)
    aucs_without_skill = [metrics.direction_auc(labels[rows], rng.dirichlet([1, 1, 1], len(rows))) for _ in range(400)]
    assert np.mean(np.array(aucs_without_skill) > bound) == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize("label", [0, 2])
def test_nothing_is_provable_without_rows_of_sell_or_of_buy(label: int) -> None:
    dataset = load_dataset(market_config())
    labels = np.where(dataset.labels == label, 1, dataset.labels)
    assert summary.provable_direction_auc(dataset, dataset.test) < 1
    assert summary.provable_direction_auc(replace(dataset, labels=labels), dataset.test) == 1


def test_a_class_that_never_occurs_is_named_with_its_split() -> None:
    labels = LabelConfig(kind="fixed", fixed=(-0.001, 0.9))
    sentences = summary.advice(load_dataset(market_config().model_copy(update={"labels": labels})))
    expected = (
        "BUY never occurs in train and val and test: nothing can be proven about it. Use more days, or other labels."
    )
    assert expected in sentences
    assert not any("SELL" in sentence for sentence in sentences)


@pytest.mark.parametrize(("factor", "expected"), [(1.5, 0), (20.0, 1), (0.05, 1)])
def test_a_price_far_from_its_neighbours_is_counted_as_a_bad_tick(tmp_path: Path, factor: float, expected: int) -> None:
    frame = random_bars(600).frame
    prices = ["open", "high", "low", "close"]
    frame.loc[300, prices] *= factor
    report = summary.check_file(*_content(_write(tmp_path, frame)))
    assert report.bad_ticks == expected
    assert report.first_bad_tick == (str(frame["timestamp"].iloc[300]) if expected else "")


@pytest.mark.parametrize(("factor", "is_bad"), [(1.5, False), (20.0, True), (0.05, True)])
@pytest.mark.parametrize("rows", [[0], [0, 1], [1], [1, 2], [300, 301], [597, 598], [598], [598, 599], [599]])
def test_bad_ticks_may_be_two_in_a_row_and_lie_at_the_ends(
    tmp_path: Path, rows: list[int], factor: float, is_bad: bool
) -> None:
    frame = random_bars(600).frame
    frame.loc[rows, ["open", "high", "low", "close"]] *= factor
    report = summary.check_file(*_content(_write(tmp_path, frame)))
    assert report.bad_ticks == (len(rows) if is_bad else 0)
    assert report.first_bad_tick == (str(frame["timestamp"].iloc[rows[0]]) if is_bad else "")


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_few_bars_are_enough_to_look_for_bad_ticks(tmp_path: Path, count: int) -> None:
    assert summary.check_file(*_content(_write(tmp_path, random_bars(count).frame))).bad_ticks == 0


def test_a_lasting_jump_is_no_bad_tick(tmp_path: Path) -> None:
    frame = random_bars(600).frame
    frame.loc[300:, ["open", "high", "low", "close"]] *= 20
    frame.loc[300, "open"] = frame.loc[300, "close"]
    assert summary.check_file(*_content(_write(tmp_path, frame))).bad_ticks == 0


def test_returns_in_percent_get_advice() -> None:
    dataset = prepare([random_bars(5000)], market_config())
    assert not [sentence for sentence in summary.advice(dataset) if "percent" in sentence]
    in_percent = replace(dataset, return_scale=dataset.return_scale * 100)
    (sentence,) = (sentence for sentence in summary.advice(in_percent) if "percent" in sentence)
    assert sentence.startswith("Half of the returns of BTCUSDT lie ")
