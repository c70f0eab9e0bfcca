"""Checkpoints of earlier versions load, and predict what they predicted; they are never written anew.

`format_2.pt` was trained for two epochs by a version whose network had no path from the last bar, and whose calls
followed no decision rule; `format_2.csv` holds some of what it predicted of its own market then.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from core.config import DataConfig, SyntheticConfig
from core.data.sources.reader import read_market
from core.inference import TrainedModel

HERE = Path(__file__).parent / "checkpoints"


@pytest.mark.parametrize("name", ["format_2"])
def test_an_earlier_checkpoint_predicts_as_before(name: str) -> None:
    trained = TrainedModel.load(HERE / f"{name}.pt")
    assert (trained.config.model.last_bar, trained.config.trainer.ema_decay, trained.rule) == ("none", 0.0, None)
    assert (trained.config.model.forest, trained.forest) == ("none", None)
    market = read_market(DataConfig(synthetic=SyntheticConfig(bars=4000, seed=5), window=16, horizon=3))
    recorded = pd.read_csv(HERE / f"{name}.csv", parse_dates=["timestamp"])
    table = trained.predict(market, torch.device("cpu")).set_index("timestamp").loc[recorded["timestamp"]]
    assert table["call"].tolist() == recorded["call"].tolist()
    for column in ("sell", "hold", "buy", "confidence", "forecast_return"):
        np.testing.assert_allclose(table[column], recorded[column], atol=1e-5)


def test_an_earlier_checkpoint_is_saved_as_what_it_is(tmp_path: Path) -> None:
    trained = TrainedModel.load(HERE / "format_2.pt")
    trained.save(tmp_path / "again.pt")
    again = TrainedModel.load(tmp_path / "again.pt")
    assert (again.config, again.rule, again.calibration) == (trained.config, trained.rule, trained.calibration)
