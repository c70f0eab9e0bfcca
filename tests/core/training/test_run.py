from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from core import __version__
from core.config import DataConfig, LabelConfig, SyntheticConfig, TrainingConfig, parse
from core.data import summary
from core.data.dataset import Dataset, load_dataset, load_whole_dataset
from core.data.file_format import column_microseconds
from core.data.labels import CLASSES
from core.data.sources.reader import read_market
from core.errors import ConfigError, NonFiniteLossError
from core.evaluation import baselines, metrics
from core.evaluation.blocks import split_halves
from core.evaluation.checklist import has_skill, make_checklist
from core.evaluation.decision import cross_fitted_decisions
from core.evaluation.history import EpochResult
from core.evaluation.report import decide_rows
from core.inference import TrainedModel
from core.models import checkpoint, memory
from core.models.forest import EQUAL_WEIGHT
from core.training import run as training
from core.training.blend import ForestOnVal
from core.training.run import TrainingResult
from core.training.trainer import Trainer
from tests.helpers.market import cut, market_config, random_bars, recipe

pytestmark = pytest.mark.costly

FILES = ["checkpoint.pt", "metrics.json", "curves.png"]


@pytest.fixture(scope="module")
def short(dataset: Dataset) -> Dataset:
    return cut(dataset, train=128, val=200)


def _train(dataset: Dataset, output: Path, **more: Any) -> TrainingResult:
    return training.train_model(recipe(), market_config(), dataset, output, device="cpu", **more)


def _report(folder: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)
    return content


def test_both_files_are_written_and_named(short: Dataset, tmp_path: Path) -> None:
    reported: list[EpochResult] = []
    result = _train(short, tmp_path / "new", on_epoch=reported.append)
    assert result.files == [tmp_path / "new" / name for name in FILES]
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(FILES)
    assert result.history == reported
    assert [entry.epoch for entry in reported] == [1, 2, 3]
    assert not result.interrupted


def test_the_metrics_file_holds_all_that_a_reader_needs(short: Dataset, tmp_path: Path) -> None:
    result = _train(short, tmp_path, about={"preset": {"name": "mine"}})
    report = _report(tmp_path)
    assert report["version"] == __version__
    assert report["preset"] == {"name": "mine"}
    assert parse(TrainingConfig, report["training"], "metrics.json") == recipe()
    assert report["best_epoch"] == result.best.epoch
    assert report["val"] == result.best.metrics == result.findings["val"]
    assert set(report["val_baselines"]) == {"majority", "persistence", "logistic regression", "gradient boosting"}
    assert report["checklist"] == [line.as_row() for line in result.checklist]
    assert report["provable_direction_auc"] > 0.5
    assert report["val_lead"] == result.findings["val_lead"]
    assert report["val_lead"]["over"] in report["val_baselines"]
    assert report["epochs"] == len(report["history"]) == 3
    assert report["interrupted"] is False
    assert report["data"] == summary.describe_data(short)
    assert report["data"]["rows"] == {"train": 128, "val": 200, "test": len(short.test)}
    assert report["data"]["fingerprint"] == short.fingerprint
    assert report["data"]["synthetic"] is True


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"window": 20}, "window is 16, not 20"),
        ({"horizon": 5}, "horizon is 3, not 5"),
        ({"interval": "15m"}, "interval is 5m, not 15m"),
        ({"labels": LabelConfig(kind="triple_barrier")}, "labels.kind is quantile, not triple_barrier"),
        ({"synthetic": None, "files": (Path("x.parquet"),)}, r"files is \[\], not \['x.parquet'\]"),
        ({"synthetic": SyntheticConfig(bars=4000, symbols=("A",), signal=0.8, seed=3)}, "synthetic.symbols"),
    ],
)
def test_settings_that_did_not_make_the_dataset_are_refused(
    short: Dataset, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    data = market_config().model_copy(update=changes)
    with pytest.raises(ConfigError, match=rf"^The dataset was made with other data settings .*{named}"):
        training.train_model(recipe(), data, short, tmp_path / "new", device="cpu")
    assert not (tmp_path / "new").exists()


def test_settings_that_change_no_row_may_differ(short: Dataset, tmp_path: Path) -> None:
    data = market_config().model_copy(update={"offline": True})
    training.train_model(recipe(epochs=1), data, short, tmp_path, device="cpu")


def test_the_metrics_file_has_the_interval_of_the_bars(tmp_path: Path) -> None:
    random_bars(4000, interval="15m").frame.to_parquet(tmp_path / "binance_BTCUSDT_15m.parquet")
    data = DataConfig(files=(tmp_path / "binance_BTCUSDT_15m.parquet",), window=8)
    dataset = cut(load_dataset(data), train=128, val=200)
    result = training.train_model(recipe(epochs=1), data, dataset, tmp_path / "out", device="cpu")
    recorded = _report(tmp_path / "out")["data_config"]
    assert recorded["interval"] == "15m"
    assert parse(DataConfig, recorded, "metrics.json") == result.trained.data


def test_the_majority_beside_it_is_of_the_same_rows(short: Dataset, tmp_path: Path) -> None:
    result = _train(short, tmp_path)
    predicted = baselines.majority(short, short.val)
    decisions = decide_rows(short, short.val, predicted, "macro_f1")
    expected = metrics.evaluate(short.labels[short.val], predicted, decisions)
    assert result.findings["val_baselines"]["majority"] == expected == _report(tmp_path)["val_baselines"]["majority"]


def test_what_is_not_defined_is_null_in_the_metrics_file(short: Dataset, tmp_path: Path) -> None:
    labels = short.labels.copy()
    labels[short.val] = np.minimum(labels[short.val], 1)
    _train(replace(short, labels=labels), tmp_path)
    assert _report(tmp_path)["val"]["auc"] is None


def test_the_checkpoint_holds_the_model_that_was_measured(short: Dataset, tmp_path: Path) -> None:
    result = _train(short, tmp_path)
    trained = TrainedModel.load(tmp_path / "checkpoint.pt")
    windows = torch.from_numpy(short.features[short.val[:, None] + np.arange(1 - short.window, 1)])
    with torch.inference_mode():
        logits = trained.build(torch.device("cpu"))(windows).direction.double().numpy()
    assert trained.forest is not None
    assert _report(tmp_path)["forest_weight"] == trained.forest.weight != EQUAL_WEIGHT
    by_half = ForestOnVal(trained.forest, short).blend_by_half(logits)
    labels, times = short.labels[short.val], short.timestamps[short.val]
    probabilities = softmax(np.where((times <= np.median(times))[:, None], *by_half), axis=1)
    decisions = cross_fitted_decisions(by_half, labels, times, short.bar, "macro_f1")
    measured = metrics.evaluate(labels, probabilities, decisions)
    assert measured == pytest.approx({name: result.best.metrics[name] for name in measured})


def test_a_training_on_all_rows_says_that_nothing_was_held_out(tmp_path: Path) -> None:
    config = market_config(bars=1500)
    whole = load_whole_dataset(config)
    assert len(whole.val) == len(whole.test) == 0
    result = training.train_model(recipe(epochs=9), config, whole, tmp_path, device="cpu", stop_after=2)
    assert [entry.epoch for entry in result.history] == [1, 2]
    assert result.best.epoch == 2
    report = _report(tmp_path)
    assert "no held-out figure exists" in report["note"]
    assert not {"val", "val_baselines", "gap"} & set(report)
    assert report["calibration"] is None
    assert report["forest_weight"] == EQUAL_WEIGHT
    assert report["decision_rule"]["tilt"] == 1
    assert all(line["verdict"] == "not measured" for line in report["checklist"] if line["kind"] != "advice")


def test_a_model_of_all_rows_is_called_by_what_it_predicts_on_average(tmp_path: Path) -> None:
    """Its probabilities lean to the rarer classes, which weigh more in the loss; its calls do not."""
    config = market_config(bars=1500)
    whole = load_whole_dataset(config)
    trained = training.train_model(recipe(epochs=1), config, whole, tmp_path, device="cpu").trained
    table = trained.predict(read_market(config, labelled=False))
    probabilities = table[["sell", "hold", "buy"]].to_numpy()
    last = int(whole.timestamps[whole.train].max())
    assert trained.rule is not None
    assert (trained.rule.tilt, trained.rule.bar, trained.rule.since) == (1.0, whole.bar, last)
    known = np.isin(column_microseconds(table["timestamp"]), whole.timestamps[whole.train])
    np.testing.assert_allclose(trained.rule.mean, probabilities[known].mean(axis=0), atol=1e-5)
    calls = (probabilities / np.array(trained.rule.mean)).argmax(axis=1)
    assert (np.array(CLASSES)[calls] == table["call"])[known].all()
    assert (calls != probabilities.argmax(axis=1)).any()


def test_the_last_epoch_is_the_one_kept_where_nothing_is_held_out(tmp_path: Path) -> None:
    config = market_config(bars=1500)
    whole = load_whole_dataset(config)
    result = training.train_model(recipe(epochs=3), config, whole, tmp_path, device="cpu")
    trainer = Trainer(recipe(epochs=3), whole, torch.device("cpu"))
    list(trainer)
    last = trainer.evaluated.state_dict()
    assert all(torch.equal(result.trained.weights[name], value) for name, value in last.items())


@pytest.mark.parametrize("changes", [{"patience": 3}, {"schedule": "plateau"}])
def test_what_waits_for_a_score_needs_validation_rows(changes: dict[str, Any], tmp_path: Path) -> None:
    whole = load_whole_dataset(market_config(bars=1500))
    with pytest.raises(ConfigError, match="Without validation rows"):
        training.train_model(recipe(**changes), whole.config, whole, tmp_path, device="cpu")


class _Interrupt:
    """Presses Ctrl-C once an epoch has been reported."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, result: EpochResult) -> None:
        if result.epoch == self.epoch:
            raise KeyboardInterrupt


def test_an_interrupted_training_keeps_what_it_reached_and_says_so(short: Dataset, tmp_path: Path) -> None:
    result = _train(short, tmp_path, on_epoch=_Interrupt(1))
    assert result.interrupted
    assert [entry.epoch for entry in result.history] == [1]
    report = _report(tmp_path)
    assert report["interrupted"] is True
    assert report["epochs"] == 1
    assert checkpoint.load_checkpoint(tmp_path / "checkpoint.pt")["about"]["interrupted"] is True


def test_an_interruption_before_the_first_epoch_writes_nothing(
    short: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(trainer: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr("core.training.trainer.Trainer._train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _train(short, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_training_that_fails_leaves_earlier_files_alone(short: Dataset, tmp_path: Path) -> None:
    _train(short, tmp_path)
    before = [(tmp_path / name).read_bytes() for name in FILES]
    poisoned = replace(short, returns=np.full_like(short.returns, np.nan))
    with pytest.raises(NonFiniteLossError):
        _train(poisoned, tmp_path)
    assert [(tmp_path / name).read_bytes() for name in FILES] == before


@pytest.mark.parametrize("name", FILES)
def test_an_earlier_result_is_not_replaced_unless_asked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(ConfigError, match=f"already holds {name}") as caught:
        training.check_output(tmp_path, overwrite=False)
    assert "--overwrite" in caught.value.remedy
    training.check_output(tmp_path, overwrite=True)


def test_other_files_are_no_result(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    training.check_output(tmp_path, overwrite=False)


@pytest.mark.parametrize("below", ["file", "file/new", "x" * 300], ids=["file", "below a file", "name too long"])
def test_an_output_folder_that_cannot_be_made_is_refused_before_training(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="cannot be written"):
        training.check_output(tmp_path / below, overwrite=False)


@pytest.mark.parametrize(("device", "size"), [("cpu", "quick"), ("cuda", "small")])
def test_the_default_size_suits_the_device(device: str, size: str) -> None:
    assert memory.default_size(torch.device(device)) == size


def test_a_training_does_not_know_the_first_price_of_test(dataset: Dataset, tmp_path: Path, monkeypatch: Any) -> None:
    datasets: list[Dataset] = []
    construct = Trainer.__init__

    def recorded(trainer: Trainer, config: Any, received: Dataset, *options: Any) -> None:
        datasets.append(received)
        construct(trainer, config, received, *options)

    monkeypatch.setattr(Trainer, "__init__", recorded)
    training.train_model(recipe(epochs=1), market_config(), dataset, tmp_path, device="cpu")
    assert len(datasets[0].test) == 0
    assert datasets[0].timestamps.max() < dataset.borders.val[1]


@pytest.mark.parametrize("val_rows", [200, 0])
def test_ctrl_c_within_an_epoch_keeps_the_epochs_before_it(
    short: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, val_rows: int
) -> None:
    dataset = replace(short, val=short.val[:val_rows])
    whole = _train(dataset, tmp_path / "whole", stop_after=1)
    step, steps = Trainer._step, 0

    def interrupted(trainer: Trainer, rows: torch.Tensor) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == 4:  # two steps per epoch
            raise KeyboardInterrupt
        return step(trainer, rows)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    stopped = _train(dataset, tmp_path / "stopped")
    assert stopped.interrupted
    assert [result.epoch for result in stopped.history] == [1]
    assert stopped.findings == whole.findings
    assert stopped.trained.calibration == whole.trained.calibration
    kept = TrainedModel.load(tmp_path / "stopped" / "checkpoint.pt")
    assert all(torch.equal(kept.weights[name], value) for name, value in whole.trained.weights.items())


def test_the_gates_judge_each_half_of_val_at_the_epoch_that_the_other_chose(short: Dataset) -> None:
    trainer = Trainer(recipe(epochs=2), short, torch.device("cpu"))
    halves = [
        [{"macro_f1": 0.9, "direction_auc": 0.85}, {"macro_f1": 0.1, "direction_auc": 0.5}],
        [{"macro_f1": 0.2, "direction_auc": 0.4}, {"macro_f1": 0.8, "direction_auc": 0.95}],
    ]
    history = [replace(result, halves=scores) for result, scores in zip(trainer, halves, strict=True)]
    _, findings = training.evaluate_training(short, trainer, history)
    # The earlier half chooses epoch 1, the later one epoch 2.
    assert findings["val_cross_fitted"] == pytest.approx({"macro_f1": (0.2 + 0.1) / 2, "direction_auc": 0.45})
    best = max(findings["val_baselines_by_halves"].values())
    assert findings["val_lead"]["value"] == pytest.approx(0.15 - best)
    gates = [line for line in make_checklist(recipe(), findings) if line.kind == "gate"]
    assert [line.value for line in gates[:2]] == [f"{0.15 - best:+.4f}", "0.4500"]
    assert [line.verdict for line in gates[:2]] == ["too short to tell", "fail"]


def _findings_at(macro_f1: float, dataset: Dataset, trainer: Trainer, history: list[EpochResult]) -> dict[str, Any]:
    """Measure a training as if its macro-F1 were this one on each half of val."""
    halves = [{"macro_f1": macro_f1, "direction_auc": 0.9}] * 2
    return training.evaluate_training(dataset, trainer, [replace(result, halves=halves) for result in history])[1]


def test_a_lead_over_the_best_baseline_that_luck_explains_does_not_pass(dataset: Dataset) -> None:
    # As if the bars lasted six hours: then val is long enough for an interval.
    long = cut(replace(dataset, timestamps=dataset.timestamps * 72, bar=dataset.bar * 72), train=256, val=560)
    trainer = Trainer(recipe(epochs=1), long, torch.device("cpu"))
    history = list(trainer)
    measured = _findings_at(0.5, long, trainer, history)
    best = max(measured["val_baselines_by_halves"].values())
    luck = measured["val_lead"]["value"] - measured["val_lead"]["low"]
    assert 0.01 < luck < 0.2
    assert measured["val_baselines_by_halves"][measured["val_lead"]["over"]] == best
    verdicts = []
    for lead in (1e-6, luck - 1e-6, luck + 1e-6):
        findings = _findings_at(best + lead, long, trainer, history)
        assert findings["val_lead"]["value"] == pytest.approx(lead)
        verdicts.append(next(line for line in make_checklist(recipe(), findings) if line.kind == "gate").verdict)
    assert verdicts == ["fail", "fail", "pass"]
    assert findings == _findings_at(best + lead, long, trainer, history)  # the draws are the same each time


def test_what_was_trained_is_kept_if_measuring_it_is_interrupted(
    short: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("core.evaluation.report.evaluate_baselines", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _train(short, tmp_path)
    kept = TrainedModel.load(tmp_path / "checkpoint.pt")
    assert (kept.findings, kept.about["state"]) == ({}, "trained")
    monkeypatch.undo()
    _train(short, tmp_path / "whole")
    assert TrainedModel.load(tmp_path / "whole" / "checkpoint.pt").about["state"] == "measured"


def test_a_metric_that_val_does_not_define_is_refused_before_training(tmp_path: Path) -> None:
    labels = LabelConfig(kind="fixed", fixed=(-0.001, 0.9))
    data = market_config().model_copy(update={"labels": labels})
    with pytest.raises(ConfigError, match=r"^direction_auc is not defined on val: BUY never occurs there\. Use"):
        training.train_model(recipe(metric="direction_auc"), data, load_dataset(data), tmp_path, device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_labels_of_one_class_are_trained_on_and_show_no_skill(tmp_path: Path) -> None:
    labels = LabelConfig(kind="fixed", fixed=(-0.9, 0.9))
    data = market_config().model_copy(update={"labels": labels})
    result = training.train_model(recipe(epochs=1), data, load_dataset(data), tmp_path, device="cpu")
    assert not has_skill(result.checklist)


def test_baselines_are_judged_on_the_same_halves_as_the_model(short: Dataset, tmp_path: Path) -> None:
    by_halves = _train(short, tmp_path).findings["val_baselines_by_halves"]
    halves = split_halves(short.timestamps[short.val])
    probabilities = baselines.persistence(short, short.val)
    decisions = decide_rows(short, short.val, probabilities, "macro_f1")
    expected = [metrics.macro_f1(short.labels[short.val[half]], decisions.calls[half]) for half in halves]
    assert by_halves["persistence"] == pytest.approx(np.mean(expected))
