"""A model is updated by walking forward through time, and knows nothing of what comes after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from core.config import DataConfig, LossConfig, SyntheticConfig, TrainingConfig
from core.data.bars import Bars
from core.data.dataset import Dataset, fit_dataset
from core.data.file_format import DAY, column_microseconds
from core.data.labels import NO_LABEL
from core.data.market import Market, bars_market
from core.data.sources.synthetic import make_bars
from core.data.splits import Borders
from core.errors import ConfigError, DataError, NonFiniteLossError
from core.evaluation.calibration import Calibration
from core.evaluation.decision import fit_decisions
from core.inference import CPU, TrainedModel
from core.training import update
from core.training.class_balance import compute_class_weights
from core.training.losses import make_loss
from core.training.trainer import Trainer
from core.training.update import STATIC_NOTE, UpdateSettings, WalkForward, update_model, update_steps
from tests.helpers.market import recipe

BAR = 300_000_000
BARS, KNOWN = 2400, 1500
"""Number of bars, and of those before the end of val; a day has 288."""
CONFIG = DataConfig(
    synthetic=SyntheticConfig(bars=BARS, symbols=("AAA", "BBB"), signal=0.8, seed=3), window=8, horizon=3
)
SETTINGS = UpdateSettings(learning_rate=1e-3, passes=2)
RECIPE = recipe(batch_size=64)


def _flipped(bars: Bars, first: int = KNOWN) -> Bars:
    """Return bars in which returns run against the taker flow from a row on."""
    frame = bars.frame.copy()
    frame.loc[first:, "taker_buy_base"] = frame["volume"][first:] - frame["taker_buy_base"][first:]
    return replace(bars, frame=frame)


ALL_BARS = [_flipped(bars) for bars in make_bars(CONFIG.synthetic, "5m")] if CONFIG.synthetic else []


def _market(all_bars: Sequence[Bars] = ALL_BARS, stop: int | None = None) -> Market:
    return bars_market([replace(bars, frame=bars.frame[:stop]) for bars in all_bars], CONFIG)


@pytest.fixture(scope="module")
def known() -> Dataset:
    """The bars of the training: nothing is held out beyond val."""
    market = _market(stop=KNOWN)
    start, stop = market.span.start, market.span.stop
    border = start + (KNOWN - 400) * BAR
    return fit_dataset(market, CONFIG, Borders((start, border), (border, stop), (stop, stop)), min_rows=100)


def _model_of(dataset: Dataset, config: TrainingConfig = RECIPE) -> TrainedModel:
    """Return a model that is as skilled as a logistic regression, without a training."""
    trainer = Trainer(config, dataset, CPU)
    trainer._fit_simple_models()
    trainer.evaluated.load_state_dict(trainer.model.state_dict())
    logits, labels = trainer.logits(torch.from_numpy(dataset.val)), dataset.labels[dataset.val]
    calibration, rule = fit_decisions(logits, labels, dataset.timestamps[dataset.val], dataset.bar, "macro_f1")
    results: dict[str, Any] = {"calibration": calibration, "rule": rule, "forest": trainer.forest}
    results |= {"weights": trainer.model.state_dict(), "findings": {"val": {"nll": 1.0}}, "about": {}}
    return TrainedModel.from_dataset(dataset, config, CONFIG, **results)


@pytest.fixture(scope="module")
def trained(known: Dataset) -> TrainedModel:
    return _model_of(known)


def _weights(walk: WalkForward) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in walk.model.state_dict().items()}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_steps_tile_the_time_and_the_last_one_may_be_shorter() -> None:
    assert update_steps(10, 35, 10) == [(10, 20), (20, 30), (30, 35)]
    assert update_steps(10, 30, 10) == [(10, 20), (20, 30)]


def test_rows_are_scaled_and_labelled_as_the_training_did_it(trained: TrainedModel, known: Dataset) -> None:
    walk = WalkForward(trained, _market(), SETTINGS, CPU)
    for symbol in (0, 1):
        rows = slice(symbol * BARS, symbol * BARS + KNOWN - CONFIG.horizon)
        before = slice(symbol * KNOWN, symbol * KNOWN + KNOWN - CONFIG.horizon)
        np.testing.assert_array_equal(walk.labels[rows], known.labels[before])
        np.testing.assert_array_equal(walk._features[rows].numpy(), known.features[before])
        np.testing.assert_array_equal(walk._returns[rows].numpy(), known.returns[before])
    assert (walk.labels == NO_LABEL).sum() == 2 * CONFIG.horizon
    # A symbol alone, and the features in another order.
    market = _market(ALL_BARS[1:])
    features = replace(market.symbols[0], features=market.symbols[0].features[:, ::-1])
    alone = WalkForward(
        trained, replace(market, symbols=(features,), feature_names=market.feature_names[::-1]), SETTINGS, CPU
    )
    np.testing.assert_array_equal(alone.labels, walk.labels[BARS:])
    np.testing.assert_array_equal(alone._features.numpy(), walk._features[BARS:].numpy())


@pytest.fixture(scope="module")
def seeing_few(known: Dataset) -> TrainedModel:
    """A model whose network sees the last four bars of each window, and says something of its own about them."""
    model = _model_of(known, RECIPE.model_copy(update={"model": RECIPE.model.model_copy(update={"window": 4})}))
    head = torch.randn(model.weights["direction.weight"].shape, generator=torch.Generator().manual_seed(0))
    return replace(model, weights={**model.weights, "direction.weight": head})


@pytest.mark.parametrize("model", ["trained", "seeing_few"])
def test_a_step_is_predicted_as_the_checkpoint_predicts_it(model: str, request: pytest.FixtureRequest) -> None:
    trained: TrainedModel = request.getfixturevalue(model)
    step = next(iter(WalkForward(trained, _market(), SETTINGS, CPU)))
    assert trained.forest is not None
    assert trained.calibration is not None
    np.testing.assert_array_equal(step.static_logits, step.updated_logits)
    table = trained.predict(_market())
    table = table[table["timestamp"].between(*pd.to_datetime([step.start, step.stop - BAR], unit="us", utc=True))]
    probabilities = table.sort_values(["symbol", "timestamp"])[["sell", "hold", "buy"]].to_numpy()
    np.testing.assert_allclose(trained.calibration.apply(step.static_logits), probabilities, atol=1e-6)


def test_every_row_with_a_known_label_is_predicted_once_and_only_new_ones(trained: TrainedModel) -> None:
    walk = WalkForward(trained, _market(), SETTINGS, CPU)
    rows = np.concatenate([step.rows for step in walk])
    assert len(np.unique(rows)) == len(rows) == 2 * (BARS - KNOWN - CONFIG.horizon)
    assert walk.timestamps[rows].min() == trained.val[1]


@pytest.mark.parametrize("row", [KNOWN + 288, KNOWN + 2 * 288, KNOWN + 2 * 288 + 100])
def test_bars_after_an_instant_change_nothing_before_it(trained: TrainedModel, row: int) -> None:
    changed = []
    for bars in ALL_BARS:
        frame = bars.frame.copy()
        frame.loc[row:, ["open", "high", "low", "close"]] *= 3.0
        frame.loc[row:, "taker_buy_base"] = 0.0
        changed.append(replace(bars, frame=frame))
    instant = trained.train[0] + row * BAR
    as_was, other = (WalkForward(trained, _market(bars), SETTINGS, CPU) for bars in (ALL_BARS, changed))
    differs = False
    for one, two in zip(as_was, other, strict=True):
        before = as_was.timestamps[one.rows] < instant
        np.testing.assert_allclose(one.updated_logits[before], two.updated_logits[before], atol=1e-6)
        np.testing.assert_allclose(one.static_logits[before], two.static_logits[before], atol=1e-6)
        assert _same(_weights(as_was), _weights(other)) == (one.stop <= instant)
        differs |= not np.allclose(one.updated_logits[~before], two.updated_logits[~before], atol=1e-3)
    assert differs


def test_only_labels_that_are_complete_are_trained_on_and_each_is_once(trained: TrainedModel) -> None:
    walk = WalkForward(trained, _market(), SETTINGS, CPU)
    instants = [step for step in walk if len(step.trained_on)]
    assert len(instants) == 3  # the shorter last step is not trained on
    since = trained.val[1]
    for step in instants:
        assert walk.known_at[step.trained_on].max() == step.stop
        # The label of a row is complete when the bar h later has closed.
        last = walk.timestamps[step.trained_on].max()
        assert last + (CONFIG.horizon + 1) * BAR == step.stop
        new = np.flatnonzero((walk.known_at > since) & (walk.known_at <= step.stop))
        assert np.isin(new, step.trained_on).all()
        assert len(new) == 2 * 288
        assert len(step.trained_on) > len(new)  # and some of the past
        since = step.stop


def test_rows_of_the_recent_past_are_drawn_again_as_many_as_are_new(
    trained: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "REPLAY_DAYS", 3)
    walk = WalkForward(trained, _market(), replace(SETTINGS, passes=1), CPU)
    for step in list(walk)[:-1]:
        past = walk.timestamps[step.trained_on] + (CONFIG.horizon + 1) * BAR <= step.start
        assert past.sum() == (~past).sum() == 2 * 288
        assert step.stop - 3 * DAY <= walk.timestamps[step.trained_on].min() < step.stop - 2 * DAY
    # A step of few rows is filled up to a batch.
    hourly = WalkForward(trained, _market(stop=KNOWN + 12), replace(SETTINGS, every="1h", passes=1), CPU)
    (step,) = hourly
    assert len(step.trained_on) == RECIPE.trainer.batch_size


def test_classes_weigh_what_they_weighed_in_the_training(
    trained: TrainedModel, known: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights: list[Tensor] = []

    def keep(config: LossConfig, of_classes: Tensor) -> torch.nn.Module:
        weights.append(of_classes)
        return make_loss(config, of_classes)

    monkeypatch.setattr(update, "make_loss", keep)
    WalkForward(trained, _market(), SETTINGS, CPU)
    expected = compute_class_weights(known.labels[known.train], "balanced")
    np.testing.assert_allclose(weights[0].numpy(), expected, rtol=1e-6)


def test_where_the_signal_flips_the_updated_model_beats_the_static_one(known: Dataset) -> None:
    # Without a forest, which is not updated and goes on to speak of the past.
    config = RECIPE.model_copy(update={"model": RECIPE.model.model_copy(update={"forest": "none"})})
    report = update_model(_model_of(known, config), _market(), UpdateSettings(learning_rate=3e-3, passes=4)).report
    static, updated = report.comparison.static, report.comparison.updated
    assert static["direction_auc"] < 0.1  # it is wrong for sure
    assert updated["direction_auc"] > static["direction_auc"] + 0.2
    assert updated["nll"] < static["nll"] - 0.3
    assert report.comparison.nll_lead.value == pytest.approx(static["nll"] - updated["nll"])
    assert (report.steps, report.updates) == (4, 3)


def test_it_repeats_exactly_and_the_seed_matters(trained: TrainedModel) -> None:
    weights = trained.weights["direction.weight"].clone()
    first, again = (update_model(trained, _market(), SETTINGS) for _ in range(2))
    assert _same(first.trained.weights, again.trained.weights)
    assert first.report.comparison.updated == again.report.comparison.updated
    other = update_model(trained, _market(), replace(SETTINGS, seed=1))
    assert not _same(first.trained.weights, other.trained.weights)
    assert torch.equal(trained.weights["direction.weight"], weights)


@pytest.mark.parametrize("changes", [{}, {"balance": {"class_weights": "none", "oversample": True}}])
def test_a_model_that_is_updated_each_day_is_the_one_of_a_walk_over_all_days(
    known: Dataset, changes: dict[str, Any]
) -> None:
    config = TrainingConfig.model_validate({**RECIPE.model_dump(), **changes, "augment": {"mixup_alpha": 0.5}})
    trained = _model_of(known, config)
    at_once = update_model(trained, _market(stop=KNOWN + 2 * 288), SETTINGS).trained
    daily = trained
    for day in (1, 2):
        daily = update_model(daily, _market(stop=KNOWN + day * 288), SETTINGS).trained
    assert _same(at_once.weights, daily.weights)
    assert (at_once.train, at_once.val) == (daily.train, daily.val)


def test_the_updated_checkpoint_says_what_it_knows(trained: TrainedModel, tmp_path: Path) -> None:
    market = _market()
    result = update_model(trained, market, SETTINGS, source={"path": "old.pt"})
    result.trained.save(tmp_path / "checkpoint.pt")
    updated = TrainedModel.load(tmp_path / "checkpoint.pt")
    until = trained.val[1] + 3 * DAY
    assert updated.train == (trained.train[0], until)
    assert updated.val == (until, until)
    table = updated.predict(market)
    is_before = column_microseconds(table["timestamp"]) < until
    assert set(table["split"][is_before]) == {"train"}
    assert set(table["split"][~is_before]) == {"new"}
    assert updated.findings == {"val": {"nll": 1.0}, "note": STATIC_NOTE}
    about = updated.about["update"]
    assert about["from"] == {"path": "old.pt"}
    assert about["until"].startswith("2024-01-09T05:00")
    assert about["report"]["rows"] == result.report.comparison.rows
    assert updated.calibration == trained.calibration
    assert updated.rule is not None
    assert trained.rule is not None
    assert (updated.rule.tilt, updated.rule.bar) == (trained.rule.tilt, trained.rule.bar)
    assert updated.rule.mean != trained.rule.mean  # it has followed the new bars
    assert (trained.rule.since or 0) < trained.val[1] < until - DAY < (updated.rule.since or 0) < market.span.stop
    np.testing.assert_array_equal(updated.scale, trained.scale)


def test_a_model_of_which_nothing_was_measured_can_be_updated(trained: TrainedModel) -> None:
    final = replace(trained, calibration=None, rule=None, findings={})
    updated = update_model(final, _market(), replace(SETTINGS, passes=1)).trained
    assert (updated.calibration, updated.rule, updated.findings) == (None, None, {})
    assert "update" in updated.about
    assert trained.rule is not None
    rules = []
    for calibration in (
        None,
        Calibration(temperature=3.0),
    ):  # the rule follows the probabilities that calls are made of
        model = replace(final, rule=trained.rule, calibration=calibration)
        called = update_model(model, _market(), replace(SETTINGS, passes=1)).trained
        assert called.rule is not None
        assert (called.rule.since or 0) > trained.val[1]
        rules.append(called.rule)
    assert rules[0].mean != rules[1].mean


def test_what_cannot_be_updated_is_refused(trained: TrainedModel) -> None:
    def refusal(model: TrainedModel, market: Market, settings: UpdateSettings = SETTINGS) -> str:
        with pytest.raises(ConfigError) as error:
            update_model(model, market, settings)
        return str(error.value)

    assert "There is no new bar: the bars end at 2024-01-06T05:00" in refusal(trained, _market(stop=KNOWN))
    day_less_a_bar = _market(stop=KNOWN + 287)
    assert "less than one step of the update" in refusal(trained, day_less_a_bar)
    assert "is no interval" in refusal(trained, _market(), replace(SETTINGS, every="daily"))
    assert "is no number of whole bars" in refusal(trained, _market(), replace(SETTINGS, every="7m"))
    assert "an earlier version" in refusal(replace(trained, labels=None), _market())
    later = [replace(bars, frame=bars.frame[-300:].reset_index(drop=True)) for bars in ALL_BARS]
    market = bars_market(later, CONFIG)
    unlabelled = tuple(replace(rows, returns=np.full_like(rows.returns, np.nan)) for rows in _market().symbols)
    assert "has both a whole window and a known label" in refusal(trained, replace(_market(), symbols=unlabelled))
    # New bars, none of which has a whole window before the end of the only whole step.
    assert "No label of the new bars is complete" in refusal(trained, market, replace(SETTINGS, every="700m"))
    with pytest.raises(DataError, match="lacks features"):
        update_model(trained, replace(_market(), feature_names=("x",) * len(trained.features)), SETTINGS)


def test_an_update_that_diverges_is_refused(trained: TrainedModel) -> None:
    with pytest.raises(NonFiniteLossError, match="update at 2024-01-0"):
        update_model(trained, _market(), replace(SETTINGS, learning_rate=1e30))
