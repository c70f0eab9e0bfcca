"""A trained model with all it needs to read new bars: from a training, to a checkpoint, to predictions.

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

from core.config import DataConfig, TrainingConfig, parse
from core.data import file_format
from core.data.dataset import Dataset, scale_features
from core.data.labels import CLASSES
from core.data.market import Market, SymbolData
from core.errors import ConfigError, DataError
from core.evaluation.calibration import Calibration
from core.evaluation.checklist import make_checklist
from core.models import checkpoint
from core.models.cnn_lstm import HybridCNNLSTM, build_model
from core.models.windows import predict_windows

N = TypeVar("N", int, float)


@dataclass(frozen=True)
class TrainedModel:
    """Weights, and what their inputs and outputs mean.

    Attributes:
        config: the recipe.
        data: the data settings of the training.
        weights: the network's.
        calibration: fitted on val; None if nothing was held out.
        features: names, in the order of the network's inputs, `[F]`.
        symbols: those that the scaler knows, `[S]`.
        bar: length of a bar in microseconds.
        center, scale: of each symbol's features, `[S, F]`.
        return_scale: of each symbol's forward returns, `[S]`.
        train, val: start and stop of these splits, in epoch microseconds.
        findings: what the training found on val; empty if nothing was held out.
        about: what else the checkpoint tells (preset, version, epoch).
    """

    config: TrainingConfig
    data: DataConfig
    weights: dict[str, Tensor]
    calibration: Calibration | None
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

    @classmethod
    def of(cls, dataset: Dataset, config: TrainingConfig, data: DataConfig, **rest: Any) -> TrainedModel:
        """Take from the dataset what it knows; `rest` is weights, calibration, findings and about."""
        interval = file_format.interval_text(dataset.bar)  # files may say another than the settings
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
            **rest,
        )

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all.

        Raises:
            ConfigError: it cannot be written.
        """
        fitted = {name: torch.from_numpy(getattr(self, name)) for name in ("center", "scale", "return_scale")}
        content = {
            "config": self.config.model_dump(mode="json"),
            "data": self.data.model_dump(mode="json", exclude_none=True),
            "model": self.weights,
            "calibration": asdict(self.calibration) if self.calibration else None,
            "features": list(self.features),
            "symbols": list(self.symbols),
            "bar": self.bar,
            "fitted": fitted,
            "train": list(self.train),
            "val": list(self.val),
            "findings": self.findings,
            "about": self.about,
        }
        checkpoint.save_checkpoint(path, content)

    @classmethod
    def load(cls, path: Path) -> TrainedModel:
        """Read a checkpoint. Code in it is never run.

        Raises:
            ConfigError: the file is missing, damaged, hostile, or no trained model.
        """
        content = checkpoint.load_checkpoint(path)
        try:
            loaded = _from_content(content, str(path))
            loaded.build(torch.device("cpu"))  # so that weights that do not fit are found here
            make_checklist(loaded.config, loaded.findings)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
            first = (str(error).strip().splitlines() or [""])[0]
            raise ConfigError(f"{path} holds no whole trained model ({first[:100]})", "Train again") from None
        return loaded

    def build(self, device: torch.device) -> HybridCNNLSTM:
        """The network with its weights, ready to predict."""
        model = build_model(self.config.model, len(self.features), self.data.window, 0, device)
        model.load_state_dict(self.weights)
        return model.eval()

    def check(self, market: Market) -> None:
        """Refuse a market that the network cannot read.

        Raises:
            DataError: its features, symbols or bars are not those of the training.
        """
        if market.span.bar != self.bar:
            raise DataError(
                f"The bars last {market.span.bar / 1e6:g} s, the model was trained on {self.bar / 1e6:g} s",
                "Give bars of that interval",
            )
        given, wanted = market.feature_names, self.features
        if given != wanted:
            raise DataError(
                f"The features are not those of the training: {_difference(given, wanted)}",
                "Give files with the same columns as the training's, or train again on such as these",
            )
        unknown = [rows.symbol for rows in market.symbols if rows.symbol not in self.symbols]
        if unknown:
            raise DataError(
                f"The model was not trained on {', '.join(unknown)}; it knows {', '.join(self.symbols)}",
                "Leave these symbols out, or train with them",
            )

    def predict(self, market: Market, device: torch.device) -> pd.DataFrame:
        """Calibrated probabilities at every bar at which a whole window ends.

        Args:
            market: bars with their features; labels and returns are not looked at.
            device: where to run.

        Returns:
            a row a bar and symbol: `timestamp` (bar opening, UTC), `symbol`, `sell`, `hold`, `buy` (probabilities),
            `call` (what the metrics judge: the class of the largest raw score, before calibration undoes the class
            weights), `confidence` (probability that the call is right, as its head says), `forecast_return` (log return
            over the horizon), `split` (train, val, or new: not used in the training).

        Raises:
            DataError: the market is not like the training's, or too short for one window.
        """
        self.check(market)
        model = self.build(device)
        tables = [self._predict(model, rows, device) for rows in market.symbols]
        table = pd.concat(tables, ignore_index=True)
        if table.empty:
            raise DataError(
                f"No window of {self.data.window} bars is whole behind the features' warm-up", "Give more bars"
            )
        return table.sort_values(["timestamp", "symbol"], ignore_index=True)

    def _predict(self, model: HybridCNNLSTM, rows: SymbolData, device: torch.device) -> pd.DataFrame:
        place = self.symbols.index(rows.symbol)
        ends = np.flatnonzero(rows.window_ok)
        if len(ends) == 0:
            return pd.DataFrame()
        features = torch.from_numpy(scale_features(rows.features, self.center[place], self.scale[place])).to(device)
        prediction = predict_windows(model, features, torch.from_numpy(ends).to(device), self.data.window)
        logits, confidence, forecast = (output.numpy() for output in prediction)
        probabilities = self.calibration.apply(logits) if self.calibration else softmax(logits, axis=1)
        times = rows.timestamps[ends]
        return pd.DataFrame(
            {
                "timestamp": pd.to_datetime(times, unit="us", utc=True),
                "symbol": rows.symbol,
                **{name.lower(): probabilities[:, k] for k, name in enumerate(CLASSES)},
                "call": np.array(CLASSES)[logits.argmax(axis=1)],
                "confidence": expit(confidence),
                "forecast_return": forecast * self.return_scale[place],
                "split": np.select([_in(times, self.train), _in(times, self.val)], ["train", "val"], "new"),
            }
        )


def _in(times: np.ndarray, border: Sequence[int]) -> np.ndarray:
    return np.asarray((times >= border[0]) & (times < border[1]))


def _difference(given: Sequence[str], wanted: Sequence[str]) -> str:
    missing, more = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    parts = [f"{what} {', '.join(names)}" for what, names in (("missing", missing), ("not known", more)) if names]
    return "; ".join(parts) or "they come in another order"


def _from_content(content: dict[str, Any], where: str) -> TrainedModel:
    """The model of a checkpoint's content; whatever is wrong with that raises."""
    features, symbols = tuple(map(str, content["features"])), tuple(map(str, content["symbols"]))
    weights = dict(content["model"])
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise ValueError("weights that are not finite")
    table = (len(symbols), len(features))
    shapes = {"center": table, "scale": table, "return_scale": table[:1]}
    fitted = {name: content["fitted"][name].double().numpy() for name in shapes}
    for name, shape in shapes.items():
        if fitted[name].shape != shape or not np.isfinite(fitted[name]).all():
            raise ValueError(f"a {name} that does not fit")
        if name != "center" and (fitted[name] <= 0).any():
            raise ValueError(f"a {name} that is not positive")
    return TrainedModel(
        config=parse(TrainingConfig, content["config"], where),
        data=parse(DataConfig, content["data"], where),
        weights=weights,
        calibration=_calibration(content["calibration"]),
        features=features,
        symbols=symbols,
        bar=_positive(int(content["bar"]), "bar"),
        center=fitted["center"],
        scale=fitted["scale"],
        return_scale=fitted["return_scale"],
        train=_border(content["train"]),
        val=_border(content["val"]),
        findings=dict(content["findings"]),
        about=dict(content["about"]),
    )


def _calibration(content: dict[str, Any] | None) -> Calibration | None:
    if content is None:
        return None
    sell, hold, buy = map(float, content["bias"])
    if not np.isfinite([sell, hold, buy]).all():
        raise ValueError("a bias that is not finite")
    return Calibration(_positive(float(content["temperature"]), "temperature"), (sell, hold, buy))


def _positive(value: N, name: str) -> N:
    if not 0 < value < float("inf"):
        raise ValueError(f"a {name} of {value}")
    return value


def _border(pair: Sequence[int]) -> tuple[int, int]:
    start, stop = pair
    return int(start), int(stop)
