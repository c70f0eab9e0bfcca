"""A trained model with all it needs to predict new bars: made by a training, kept in a checkpoint.

Shapes: N rows, S symbols, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, softmax
from torch import Tensor

from core.config import DataConfig, TrainingConfig, parse, recorded_recipe
from core.data import file_format
from core.data.dataset import Dataset, scale_features
from core.data.labels import CLASSES, FittedLabels
from core.data.market import Market, SymbolData
from core.errors import ConfigError, DataError
from core.evaluation.calibration import Calibration
from core.evaluation.checklist import make_checklist
from core.evaluation.decision import DecisionRule
from core.models import checkpoint
from core.models.build import build_model
from core.models.forest import Forest, as_tensors, from_tensors
from core.models.network import Network
from core.models.windows import predict_windows

N = TypeVar("N", int, float)
CPU = torch.device("cpu")
_HOW_BARS_ARE_READ = ("interval", "window", "horizon", "labels", "features", "fill_untraded", "sessions")
_MAX_TEMPERATURE, _MAX_BIAS, _MAX_TILT = 1e3, 100.0, 10.0
_LAST_INSTANT = 2**62
"""Limits of what a checkpoint may hold, far beyond what is fitted."""
_RENAMED_FINDINGS = {
    "val_yardsticks": "val_baselines",
    "val_yardsticks_by_halves": "val_baselines_by_halves",
}
"""Present keys of findings whose keys were others in checkpoints of earlier versions."""


@dataclass(frozen=True)
class TrainedModel:
    """Holds the weights of a trained network, and what its inputs and outputs mean.

    Attributes:
        config: the recipe of the training.
        data: the data settings of the training.
        weights: the network's weights by parameter name.
        forest: what predictions of the network are blended with; None without one.
        calibration: calibration fitted on val; None if nothing was held out.
        rule: decision rule fitted on val, which makes the calls; None if nothing was held out, or in a checkpoint of a
            version that had none. Then the class of the largest raw score is called. In an updated model, it follows
            from where the update ended.
        features: names of the features, in the order of the network's inputs, `[F]`.
        symbols: names of the symbols that the network was trained on, `[S]`.
        bar: length of a bar in microseconds.
        center, scale: what each symbol's features are scaled by, float64 `[S, F]`.
        return_scale: unit of each symbol's forecast return, as a log return, float64 `[S]`.
        train, val: start and stop of these splits, in epoch microseconds. In an updated model, train reaches to where
            the update ended, and val is empty there: the update may have trained on any row before.
        findings: measurements of the training on val, see `core.evaluation.checklist.Findings`; empty if nothing was
            held out.
        about: what else the checkpoint says about the training, by key (preset, version, epoch).
        labels: what was fitted for the labels; None in a checkpoint of a version that did not keep it.
    """

    config: TrainingConfig
    data: DataConfig
    weights: dict[str, Tensor]
    calibration: Calibration | None
    rule: DecisionRule | None
    features: tuple[str, ...]
    symbols: tuple[str, ...]
    bar: int
    center: np.ndarray
    scale: np.ndarray
    return_scale: np.ndarray
    train: tuple[int, int]
    val: tuple[int, int]
    findings: dict[str, Any]
    about: dict[str, Any]
    labels: FittedLabels | None = None
    forest: Forest | None = None

    @classmethod
    def from_dataset(cls, dataset: Dataset, config: TrainingConfig, data: DataConfig, **results: Any) -> TrainedModel:
        """Make the model of a training on a dataset, which knows features, symbols, scales and splits.

        Args:
            dataset: the dataset trained on.
            config: the recipe of the training.
            data: the settings that the dataset was made with.
            results: what the training has made: `weights`, `forest`, `calibration`, `rule`, `findings` and `about`.
        """
        interval = file_format.interval_text(dataset.bar)  # files may have another than the settings
        return cls(
            config=config,
            data=data.model_copy(update={"interval": interval}),
            features=dataset.feature_names,
            symbols=dataset.symbol_names,
            bar=dataset.bar,
            center=dataset.center,
            scale=dataset.scale,
            return_scale=dataset.return_scale,
            train=dataset.borders.train,
            val=dataset.borders.val,
            labels=FittedLabels(dataset.thresholds, np.bincount(dataset.labels[dataset.train], minlength=len(CLASSES))),
            **results,
        )

    def save(self, path: Path) -> None:
        """Write the model to a checkpoint, whole or not at all.

        Raises:
            ConfigError: the file cannot be written.
        """
        fitted = {name: torch.from_numpy(getattr(self, name)) for name in ("center", "scale", "return_scale")}
        content = {
            "config": self.config.model_dump(mode="json"),
            "data": self.data.model_dump(mode="json", exclude_none=True),
            "model": self.weights,
            "forest": as_tensors(self.forest),
            "calibration": asdict(self.calibration) if self.calibration else None,
            "decision_rule": asdict(self.rule) if self.rule else None,
            "features": list(self.features),
            "symbols": list(self.symbols),
            "bar": self.bar,
            "fitted": fitted,
            "train": list(self.train),
            "val": list(self.val),
            "findings": self.findings,
            "about": self.about,
            "labels": {name: value.tolist() for name, value in asdict(self.labels).items()} if self.labels else None,
        }
        checkpoint.save_checkpoint(path, content)

    @classmethod
    def load(cls, path: Path) -> TrainedModel:
        """Read a model from a checkpoint; code in it is never run.

        Raises:
            ConfigError: the file is missing, damaged, hostile, or no trained model.
        """
        content = checkpoint.load_checkpoint(path)
        try:
            trained = _from_content(content, str(path))
            path_of_model = trained.build(torch.device("cpu")).last_bar_path  # weights that do not fit fail here
            if path_of_model is not None and not (path_of_model.loss_scale > 0).all():
                raise ValueError("a loss on a scale that is not positive")
            make_checklist(trained.config, trained.findings)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise ConfigError(f"{path} is not a complete trained model ({reason[:100]})", "Train again") from None
        return trained

    @property
    def bars_seen(self) -> int:
        """Return how many bars the network sees: all of a window, or the last ones of it."""
        return self.config.model.bars_seen(self.data.window)

    def build(self, device: torch.device) -> Network:
        """Build the network on a device, with its weights, ready to predict."""
        model = build_model(self.config.model, len(self.features), self.bars_seen, 0, device)
        model.load_state_dict(self.weights)
        return model.eval()

    def with_forest(self, logits: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Blend the logits of the network, `[N, 3]`, with those of the forest, if there is one.

        Args:
            logits: what the network predicts for some bars.
            features: scaled features of these bars, `[N, F]`.
        """
        return logits if self.forest is None else self.forest.blended(logits, features)

    def check(self, market: Market) -> None:
        """Check that a market is one that the network can read; it may have further features, in any order.

        Raises:
            DataError: it lacks a feature, or its symbols or bars are not those of the training.
        """
        if market.span.bar != self.bar:
            raise DataError(
                f"The bars last {market.span.bar / 1e6:g} s, the model was trained on {self.bar / 1e6:g} s",
                "Use bars of the interval it was trained on",
            )
        missing = [name for name in self.features if name not in market.feature_names]
        if missing:
            raise DataError(
                f"The market lacks features of the training: {', '.join(missing)}",
                "Use files with the columns of the training, or train again on files with these",
            )
        unknown = [rows.symbol for rows in market.symbols if rows.symbol not in self.symbols]
        if unknown:
            raise DataError(
                f"The model was not trained on {', '.join(unknown)}; it knows {', '.join(self.symbols)}",
                "Drop these symbols, or train a model on them",
            )

    @property
    def bar_settings(self) -> dict[str, Any]:
        """Data settings that bars to predict must share with those of the training, as plain values by name."""
        settings: dict[str, Any] = self.data.model_dump(mode="json", exclude_none=True)
        return {name: settings[name] for name in _HOW_BARS_ARE_READ if name in settings}

    def predict(self, market: Market, device: torch.device = CPU) -> pd.DataFrame:
        """Predict every bar at which a whole window ends.

        Args:
            market: bars with their features, best read by `read_market(..., labelled=False, features=self.features)`:
                further features do not matter but for a longer warm-up. Labels and returns are not read.
            device: device to predict on.

        Returns:
            one row per bar and symbol: `timestamp` (bar opening, UTC), `symbol`, `sell`, `hold`, `buy` (calibrated
            probabilities), `call` (the class that the decision rule calls given these probabilities, as the metrics
            judge it), `confidence` (probability that the call is right, as its head predicts),
            `forecast_return` (log return over the horizon), `split` (train, val, or new: not used in the training).
            `confidence` and `forecast_return` are NaN if the loss of the training did not train their heads.
            It has no rows if no window is whole; `core.data.newest_bars` then gives the reasons.

        Raises:
            DataError: the market is not like the training's.
        """
        self.check(market)
        model = self.build(device)
        columns = [market.feature_names.index(name) for name in self.features]
        tables = [self._predict(model, rows, columns, device) for rows in market.symbols]
        table = pd.concat([part for part in tables if len(part)] or tables[:1], ignore_index=True)
        if self.rule is not None:  # it compares with what was predicted for all symbols before
            probabilities = table[[name.lower() for name in CLASSES]].to_numpy()
            calls = self.rule.calls(probabilities, file_format.column_microseconds(table["timestamp"]))
            table["call"] = np.array(CLASSES)[calls]
        return table.sort_values(["timestamp", "symbol"], ignore_index=True)

    def _predict(self, model: Network, rows: SymbolData, columns: Sequence[int], device: torch.device) -> pd.DataFrame:
        """Predict the bars of one symbol; a table without rows if no window is whole.

        Args:
            model: the network.
            rows: the rows of the symbol.
            columns: where each of the network's inputs is among the features of the rows, `[F]`.
            device: device to predict on.
        """
        symbol = self.symbols.index(rows.symbol)
        ends = np.flatnonzero(rows.window_ok)
        logits, confidence, forecast = np.zeros((0, len(CLASSES))), np.zeros(0), np.zeros(0)
        if len(ends):
            scaled = scale_features(rows.features[:, columns], self.center[symbol], self.scale[symbol])
            features = torch.from_numpy(scaled).to(device)
            prediction = predict_windows(model, features, torch.from_numpy(ends).to(device), self.bars_seen)
            logits, confidence, forecast = (output.numpy() for output in prediction)
            logits = self.with_forest(logits, scaled[ends])
        probabilities = self.calibration.apply(logits) if self.calibration else softmax(logits, axis=1)
        timestamps = rows.timestamps[ends]
        return pd.DataFrame(
            {
                "timestamp": pd.to_datetime(timestamps, unit="us", utc=True),
                "symbol": rows.symbol,
                **{name.lower(): probabilities[:, k] for k, name in enumerate(CLASSES)},
                "call": np.array(CLASSES)[logits.argmax(axis=1)],
                "confidence": expit(confidence) if self.config.loss.trains_confidence else np.nan,
                "forecast_return": forecast * self.return_scale[symbol] if self.config.loss.trains_return else np.nan,
                "split": np.select(
                    [_inside(timestamps, self.train), _inside(timestamps, self.val)], ["train", "val"], "new"
                ),
            }
        )


def _inside(timestamps: np.ndarray, border: Sequence[int]) -> np.ndarray:
    """Return which instants lie in [start, stop), bool `[N]`."""
    return np.asarray((timestamps >= border[0]) & (timestamps < border[1]))


def _from_content(content: dict[str, Any], path: str) -> TrainedModel:
    """Make the model from the content of a checkpoint; whatever is wrong with that raises."""
    features, symbols = tuple(map(str, content["features"])), tuple(map(str, content["symbols"]))
    weights = dict(content["model"])
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise ValueError("weights that are not finite")
    by_feature = (len(symbols), len(features))
    shapes = {"center": by_feature, "scale": by_feature, "return_scale": by_feature[:1]}
    fitted = {name: content["fitted"][name].double().numpy() for name in shapes}
    for name, shape in shapes.items():
        if fitted[name].shape != shape or not np.isfinite(fitted[name]).all():
            raise ValueError(f"a {name} that does not fit")
        if name != "center" and (fitted[name] <= 0).any():
            raise ValueError(f"a {name} that is not positive")
    config = parse(TrainingConfig, recorded_recipe(content["config"]), path)
    return TrainedModel(
        config=config,
        data=parse(DataConfig, content["data"], path),
        weights=weights,
        calibration=_calibration(content["calibration"]),
        rule=_rule(content.get("decision_rule"), int(content["bar"])),
        features=features,
        symbols=symbols,
        bar=_positive(int(content["bar"]), "bar"),
        center=fitted["center"],
        scale=fitted["scale"],
        return_scale=fitted["return_scale"],
        train=_border(content["train"]),
        val=_border(content["val"]),
        findings={_RENAMED_FINDINGS.get(str(key), str(key)): value for key, value in dict(content["findings"]).items()},
        about=dict(content["about"]),
        labels=_labels(content.get("labels"), len(symbols)),
        forest=_forest(content.get("forest"), config, len(features)),
    )


def _forest(content: dict[str, Tensor] | None, config: TrainingConfig, features: int) -> Forest | None:
    forest = from_tensors(content)
    if (forest is None) != (config.model.forest == "none"):
        raise ValueError("a forest that its recipe does not name, or none that it names")
    if forest is not None:
        forest.check_features(features)
    return forest


def _calibration(content: dict[str, Any] | None) -> Calibration | None:
    if content is None:
        return None
    temperature = float(content["temperature"])
    if not 1 / _MAX_TEMPERATURE <= temperature <= _MAX_TEMPERATURE:
        raise ValueError(f"a temperature of {temperature}")
    return Calibration(temperature, _bias(content))


def _labels(content: dict[str, Any] | None, symbols: int) -> FittedLabels | None:
    if content is None:
        return None
    thresholds, counts = np.array(content["thresholds"], dtype=np.float64), np.array(content["counts"], dtype=np.int64)
    if thresholds.shape != (symbols, 2) or not np.isfinite(thresholds).all():
        raise ValueError("label thresholds that do not fit")
    if (thresholds[:, 0] > thresholds[:, 1]).any():
        raise ValueError("label thresholds in the wrong order")
    if counts.shape != (len(CLASSES),) or (counts < 0).any():
        raise ValueError("class counts that do not fit")
    return FittedLabels(thresholds, counts)


def _rule(content: dict[str, Any] | None, bar: int) -> DecisionRule | None:
    if content is None:
        return None
    sell, hold, buy = (_positive(float(value), "mean probability") for value in content["mean"])
    tilt, since = float(content["tilt"]), _instant(content["since"])
    if not 0 <= tilt <= _MAX_TILT:
        raise ValueError(f"a tilt of {tilt}")
    if content["bar"] != bar:
        raise ValueError("a decision rule for other bars")
    return DecisionRule((sell, hold, buy), tilt, bar, since)


def _bias(content: dict[str, Any]) -> tuple[float, float, float]:
    sell, hold, buy = map(float, content["bias"])
    if not max(map(abs, (sell, hold, buy))) <= _MAX_BIAS:
        raise ValueError("a bias without bounds")
    return sell, hold, buy


def _positive(value: N, name: str) -> N:
    if not 0 < value < float("inf"):
        raise ValueError(f"a {name} of {value}")
    return value


def _border(pair: Sequence[int]) -> tuple[int, int]:
    start, stop = pair
    return _instant(start), _instant(stop)


def _instant(value: float) -> int:
    if not abs(value) <= _LAST_INSTANT:
        raise ValueError(f"an instant of {value}")
    return int(value)
