from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from core.config import DataConfig, LossConfig, SyntheticConfig
from core.data.dataset import Dataset, load_dataset
from core.data.file_format import column_microseconds
from core.data.labels import CLASSES
from core.data.market import Market
from core.data.newest_bars import find_newest_bars
from core.data.sources.reader import read_market
from core.errors import ConfigError, DataError
from core.evaluation.decision import HALF_LIFE
from core.inference import TrainedModel
from core.models import checkpoint
from core.training import run as training
from core.training.trainer import Trainer
from tests.helpers.market import market_config, recipe

pytestmark = pytest.mark.costly

CPU = torch.device("cpu")
CONFIG = market_config(bars=2500, symbols=("AAA", "BBB"))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(CONFIG)


@pytest.fixture(scope="module")
def folder(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained")
    training.train_model(recipe(epochs=1), CONFIG, dataset, output, device="cpu")
    return output


@pytest.fixture
def trained(folder: Path) -> TrainedModel:
    return TrainedModel.load(folder / "checkpoint.pt")


@pytest.fixture(scope="module")
def market() -> Market:
    return read_market(CONFIG)


@pytest.mark.parametrize("window", [None, 4])
def test_predictions_are_those_of_the_training(
    market: Market, dataset: Dataset, tmp_path: Path, window: int | None
) -> None:
    config = recipe(epochs=1)
    config = config.model_copy(update={"model": config.model.model_copy(update={"window": window})})
    training.train_model(config, CONFIG, dataset, tmp_path, device="cpu")
    trained = TrainedModel.load(tmp_path / "checkpoint.pt")
    table = trained.predict(market, CPU)
    trainer = Trainer(config, dataset, CPU)
    trainer.evaluated.load_state_dict(trained.weights)
    trainer.forest = trained.forest
    assert trained.forest is not None
    assert trained.calibration is not None
    assert trained.rule is not None
    for symbol, name in enumerate(dataset.symbol_names):
        rows = dataset.val[dataset.symbols[dataset.val] == symbol]
        expected = trainer.logits(torch.from_numpy(rows))
        symbol_table = table[table["symbol"] == name].set_index("timestamp")
        predicted = symbol_table.loc[pd.to_datetime(dataset.timestamps[rows], unit="us", utc=True)]
        probabilities = predicted[["sell", "hold", "buy"]].to_numpy()
        np.testing.assert_allclose(probabilities, trained.calibration.apply(expected), atol=1e-6)
        calls = trained.rule.calls(trained.calibration.apply(expected), dataset.timestamps[rows])
        assert predicted["call"].tolist() == np.array(CLASSES)[calls].tolist()
        assert set(predicted["split"]) == {"val"}


def test_calls_follow_what_was_predicted_for_all_symbols_since_val(trained: TrainedModel, market: Market) -> None:
    assert trained.rule is not None
    # So short a half-life that a symbol followed by itself is called otherwise.
    quick = replace(trained, rule=replace(trained.rule, bar=HALF_LIFE // 10))
    table = quick.predict(market, CPU)
    probabilities, instants = table[["sell", "hold", "buy"]].to_numpy(), column_microseconds(table["timestamp"])
    assert quick.rule is not None
    assert table["call"].tolist() == np.array(CLASSES)[quick.rule.calls(probabilities, instants)].tolist()
    alone = quick.predict(replace(market, symbols=market.symbols[:1]), CPU)
    together = table[table["symbol"] == market.symbols[0].symbol]
    np.testing.assert_array_equal(alone[["sell", "buy"]], together[["sell", "buy"]])
    differs = alone["call"].to_numpy() != together["call"].to_numpy()
    assert differs[(alone["split"] == "new").to_numpy()].any()
    assert not differs[(alone["split"] != "new").to_numpy()].any()


def test_confidence_and_forecast_are_the_heads_in_plain_units(
    trained: TrainedModel, market: Market, dataset: Dataset
) -> None:
    table = trained.predict(market, CPU)
    model = trained.build(CPU)
    assert dataset.return_scale[0] != dataset.return_scale[1]
    for symbol, name in enumerate(dataset.symbol_names):
        rows = dataset.val[dataset.symbols[dataset.val] == symbol]
        windows = torch.from_numpy(dataset.features[rows[:, None] + np.arange(1 - dataset.window, 1)])
        with torch.inference_mode():
            _, confidence, forecast = model(windows)
        predicted = table[table["symbol"] == name].set_index("timestamp")
        predicted = predicted.loc[pd.to_datetime(dataset.timestamps[rows], unit="us", utc=True)]
        np.testing.assert_allclose(predicted["confidence"], 1 / (1 + np.exp(-confidence.numpy())), atol=1e-6)
        expected = forecast.numpy() * dataset.return_scale[symbol]
        np.testing.assert_allclose(predicted["forecast_return"], expected, atol=1e-6 * dataset.return_scale[symbol])
        assert np.abs(predicted["forecast_return"]).max() < 0.1  # a log return, no scaled one


@pytest.mark.parametrize(
    ("loss", "shown"),
    [
        (LossConfig(kind="focal"), []),
        (LossConfig(confidence_weight=0.0), ["forecast_return"]),
        (LossConfig(return_weight=0.0), ["confidence"]),
    ],
)
def test_a_head_that_no_loss_has_trained_says_nothing(
    trained: TrainedModel, market: Market, loss: LossConfig, shown: list[str]
) -> None:
    untrained = replace(trained, config=trained.config.model_copy(update={"loss": loss}))
    table, whole = untrained.predict(market, CPU), trained.predict(market, CPU)
    blank = [name for name in ("confidence", "forecast_return") if name not in shown]
    assert table[blank].isna().all(axis=None)
    pd.testing.assert_frame_equal(table.drop(columns=blank), whole.drop(columns=blank))
    assert whole.notna().all(axis=None)


def test_every_bar_with_a_whole_window_is_predicted_and_no_other(trained: TrainedModel, market: Market) -> None:
    table = trained.predict(market, CPU)
    assert len(table) == sum(int(rows.window_ok.sum()) for rows in market.symbols)
    np.testing.assert_allclose(table[["sell", "hold", "buy"]].sum(axis=1), 1)
    assert table["confidence"].between(0, 1).all()
    assert np.isfinite(table["forecast_return"]).all()
    assert table["timestamp"].is_monotonic_increasing
    # The last bars, whose future is unknown, are the ones to predict.
    assert table["timestamp"].iloc[-1] == pd.Timestamp(market.span.stop - market.span.bar, unit="us", tz="UTC")
    assert table["split"].iloc[-1] == "new"


def test_a_prediction_needs_nothing_but_bars_up_to_it(trained: TrainedModel) -> None:
    whole = read_market(CONFIG)
    cut = read_market(CONFIG.model_copy(update={"until": pd.Timestamp("2024-01-06", tz="UTC").to_pydatetime()}))
    late, early = trained.predict(whole, CPU), trained.predict(cut, CPU)
    common = early.merge(late, on=["timestamp", "symbol"], suffixes=("", "_late"))
    assert len(common) == len(early) > 500
    np.testing.assert_allclose(common["buy"], common["buy_late"], atol=1e-6)


def test_without_calibration_the_probabilities_are_the_networks_own(trained: TrainedModel, market: Market) -> None:
    table = replace(trained, calibration=None).predict(market, CPU)
    assert trained.calibration is not None
    scores = np.log(table[["sell", "hold", "buy"]].to_numpy())
    expected = softmax(scores / trained.calibration.temperature + np.array(trained.calibration.bias), axis=1)
    calibrated = trained.predict(market, CPU)[["sell", "hold", "buy"]].to_numpy()
    np.testing.assert_allclose(expected, calibrated, atol=1e-6)


def test_one_symbol_of_several_can_be_predicted_alone(trained: TrainedModel, market: Market) -> None:
    alone = replace(market, symbols=market.symbols[1:])
    table, whole = trained.predict(alone, CPU), trained.predict(market, CPU)
    expected = whole[whole["symbol"] == "BBB"].reset_index(drop=True)
    pd.testing.assert_frame_equal(table, expected, check_exact=False, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: replace(m, feature_names=("other", *m.feature_names[1:])),
            "lacks features of the training: return_1",
        ),
        (lambda m: replace(m, symbols=(replace(m.symbols[0], symbol="CCC"),)), "not trained on CCC; it knows AAA, BBB"),
        (lambda m: replace(m, span=replace(m.span, bar=60_000_000)), "last 60 s, the model was trained on 300 s"),
    ],
    ids=["a feature less", "another symbol", "another interval"],
)
def test_data_unlike_the_trainings_are_refused(
    trained: TrainedModel, market: Market, change: Callable[[Market], Market], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        trained.predict(change(market), CPU)


def test_features_are_found_by_their_names(trained: TrainedModel, market: Market) -> None:
    more = np.full((len(market.symbols[0].timestamps), 1), 1e3)
    changed = replace(
        market,
        feature_names=("more", *market.feature_names[::-1]),
        symbols=tuple(replace(rows, features=np.hstack([more, rows.features[:, ::-1]])) for rows in market.symbols),
    )
    pd.testing.assert_frame_equal(trained.predict(changed, CPU), trained.predict(market, CPU))


def test_bars_too_few_for_one_window_give_no_rows_and_a_reason(trained: TrainedModel, market: Market) -> None:
    short = read_market(DataConfig(synthetic=SyntheticConfig(bars=200, symbols=("AAA", "BBB")), window=16))
    table = trained.predict(short, CPU)
    assert len(table) == 0
    assert list(table.columns) == list(trained.predict(market, CPU).columns)
    assert [(bar.unpredicted, bar.has_call) for bar in find_newest_bars(short)] == [(200, False)] * 2


def test_a_checkpoint_keeps_everything(folder: Path, trained: TrainedModel, dataset: Dataset, tmp_path: Path) -> None:
    trained.save(tmp_path / "again.pt")
    loaded = TrainedModel.load(tmp_path / "again.pt")
    for name in ("config", "data", "calibration", "features", "symbols", "bar", "train", "val", "findings", "about"):
        assert getattr(loaded, name) == getattr(trained, name), name
    for name in ("center", "scale", "return_scale"):
        assert np.array_equal(getattr(loaded, name), getattr(dataset, name)), name
    assert loaded.forest is not None
    assert trained.forest is not None
    for name, values in trained.forest.arrays().items():
        assert np.array_equal(loaded.forest.arrays()[name], values), name
    assert loaded.labels is not None
    assert np.array_equal(loaded.labels.thresholds, dataset.thresholds)
    assert loaded.labels.counts.tolist() == np.bincount(dataset.labels[dataset.train]).tolist()
    assert trained.data == CONFIG
    assert trained.findings["val"]["macro_f1"] > 0


def test_a_checkpoint_of_an_earlier_version_has_its_findings_under_their_present_keys(
    folder: Path, trained: TrainedModel, tmp_path: Path
) -> None:
    content = checkpoint.load_checkpoint(folder / "checkpoint.pt")
    content.pop("format_version")
    findings = content["findings"]
    content["findings"] = {key.replace("val_baselines", "val_yardsticks"): findings[key] for key in findings}
    assert content["findings"].keys() != findings.keys()
    del content["labels"]
    checkpoint.save_checkpoint(tmp_path / "earlier.pt", content)
    earlier = TrainedModel.load(tmp_path / "earlier.pt")
    assert earlier.findings == trained.findings
    assert earlier.labels is None


def _damaged(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def damage(content: dict[str, Any]) -> dict[str, Any]:
        change(content)
        return content

    return damage


DAMAGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    **{f"no {key}": _damaged(lambda c, key=key: c.pop(key)) for key in ("config", "data", "model", "calibration")},
    **{f"no {key} either": _damaged(lambda c, key=key: c.pop(key)) for key in ("features", "fitted", "bar", "train")},
    "a weight less": _damaged(lambda c: c["model"].popitem()),
    "a weight that is no tensor": _damaged(lambda c: c["model"].update({"stem.bias": 1.0})),
    "a weight of another shape": _damaged(lambda c: c["model"].update({"stem.bias": torch.zeros(3)})),
    "a weight that is not finite": _damaged(lambda c: c["model"]["stem.bias"].fill_(float("nan"))),
    "a feature less": _damaged(lambda c: c["features"].pop()),
    "a symbol less": _damaged(lambda c: c["symbols"].pop()),
    "a scale of nothing": _damaged(lambda c: c["fitted"]["scale"].fill_(0.0)),
    "a scale that is not finite": _damaged(lambda c: c["fitted"]["scale"].fill_(float("inf"))),
    "a text for a scale": _damaged(lambda c: c["fitted"].update({"scale": "wide"})),
    "a bar of nothing": _damaged(lambda c: c.update(bar=0)),
    "a text for a bar": _damaged(lambda c: c.update(bar="5m")),
    "an unknown setting": _damaged(lambda c: c["config"].update(colour="red")),
    "a calibration of nothing": _damaged(lambda c: c["calibration"].update(temperature=0.0)),
    "a bias that is no number": _damaged(lambda c: c["calibration"].update(bias=[float("nan"), 0.0, 0.0])),
    "a bar without end": _damaged(lambda c: c.update(bar=float("inf"))),
    "a border without end": _damaged(lambda c: c.update(train=[0, float("inf")])),
    "baselines that are no mapping": _damaged(lambda c: c["findings"].update(val_baselines_by_halves=[1])),
    "a baseline that is no number": _damaged(lambda c: c["findings"].update(val_baselines_by_halves={"x": {}})),
    "a mean of 0": _damaged(lambda c: c["decision_rule"].update(mean=[0.0, 0.5, 0.5])),
    "two means": _damaged(lambda c: c["decision_rule"].update(mean=[0.5, 0.5])),
    "a tilt that is no number": _damaged(lambda c: c["decision_rule"].update(tilt=float("nan"))),
    "a rule for bars of no length": _damaged(lambda c: c["decision_rule"].update(bar=0)),
    "a rule for other bars": _damaged(lambda c: c["decision_rule"].update(bar=10**400)),
    "a tilt without bounds": _damaged(lambda c: c["decision_rule"].update(tilt=1e308)),
    "a calibration that is next to nothing": _damaged(lambda c: c["calibration"].update(temperature=1e-320)),
    "a bias without bounds": _damaged(lambda c: c["calibration"].update(bias=[1e300, 0.0, 0.0])),
    "thresholds in the wrong order": _damaged(lambda c: c["labels"]["thresholds"][0].reverse()),
    "a loss on no scale": _damaged(lambda c: c["model"]["last_bar.loss_scale"].fill_(0.0)),
    "a forest of too many trees": _damaged(lambda c: c["forest"].update(roots=torch.zeros(20_000, dtype=torch.int32))),
    "a rule since long before time": _damaged(lambda c: c["decision_rule"].update(since=-(10**30))),
    "a border beyond time": _damaged(lambda c: c.update(train=[0, 10**30])),
    "a rule since no instant": _damaged(lambda c: c["decision_rule"].update(since="yesterday")),
    "two biases": _damaged(lambda c: c["calibration"].update(bias=[1.0, 2.0])),
    "three borders": _damaged(lambda c: c.update(train=[1, 2, 3])),
    "a list for findings": _damaged(lambda c: c.update(findings=[1])),
    "thresholds of one symbol": _damaged(lambda c: c["labels"]["thresholds"].pop()),
    "a threshold that is not finite": _damaged(lambda c: c["labels"]["thresholds"][0].__setitem__(0, float("nan"))),
    "counts of two classes": _damaged(lambda c: c["labels"]["counts"].pop()),
    "a negative count": _damaged(lambda c: c["labels"]["counts"].__setitem__(0, -1)),
    "a text for labels": _damaged(lambda c: c.update(labels="quantile")),
    "no forest, which the recipe names": _damaged(lambda c: c.pop("forest")),
    "a forest of circles": _damaged(lambda c: c["forest"]["left"].fill_(0)),
    "a forest that reads a feature too many": _damaged(lambda c: c["forest"]["feature"].fill_(99)),
    "a forest less its leaves": _damaged(lambda c: c["forest"].pop("shares")),
    "a text for a forest": _damaged(lambda c: c.update(forest="oak")),
    "a text for a model": _damaged(lambda c: c.update(model="weights")),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_refused_in_one_line(folder: Path, tmp_path: Path, name: str) -> None:
    content = checkpoint.load_checkpoint(folder / "checkpoint.pt")
    content.pop("format_version")
    checkpoint.save_checkpoint(tmp_path / "damaged.pt", DAMAGES[name](content))
    with pytest.raises(ConfigError) as caught:
        TrainedModel.load(tmp_path / "damaged.pt")
    assert "damaged.pt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_trainers_state_is_not_a_trained_model(dataset: Dataset, tmp_path: Path) -> None:
    checkpoint.save_checkpoint(tmp_path / "state.pt", Trainer(recipe(), dataset, CPU).state_dict())
    with pytest.raises(ConfigError, match="not a complete trained model"):
        TrainedModel.load(tmp_path / "state.pt")


def test_the_interval_is_that_of_the_bars_whatever_the_settings_say(dataset: Dataset) -> None:
    hourly = replace(dataset, bar=3_600_000_000)
    results: dict[str, Any] = {"weights": {}, "calibration": None, "rule": None, "findings": {}, "about": {}}
    assert TrainedModel.from_dataset(hourly, recipe(), CONFIG, **results).data.interval == "1h"
