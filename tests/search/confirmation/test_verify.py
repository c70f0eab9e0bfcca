from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from core import presets
from core.cli.data_settings import bar_location
from core.config import DataConfig, parse
from core.data.dataset import load_dataset
from core.data.summary import describe_data
from core.errors import ConfigError
from core.presets import Figure, Preset
from search.cli.app import app
from search.confirmation import verify
from search.confirmation.recorded_data import OtherBarsError
from search.confirmation.verify import Verification, verify_preset
from search.results import ledger
from search.results.folder import LEDGER_FILE
from tests.helpers.market import random_bars

GOLDEN = Path(__file__).parents[2] / "golden" / "presets"
BARS = "binance_BTCUSDT_5m.parquet"
QUICK = {"synthetic": {"bars": 5000, "signal": 0.9}, "labels": {"kind": "quantile"}, "interval": "5m"}


@cache
def _fingerprint() -> str:
    return load_dataset(parse(DataConfig, QUICK, "test")).fingerprint


def _preset(**changes: Any) -> Preset:
    """The golden one, confirmed on a market that is quick to train on."""
    content = presets.load_preset(str(GOLDEN / "schema_2.yaml")).model_dump(mode="json")
    content["training"]["epochs"] = 1
    content["provenance"]["data"] |= {"settings": QUICK, "fingerprint": _fingerprint()}
    content["provenance"] |= changes
    return parse(Preset, content, "test")


def test_a_second_training_is_the_same_and_is_compared_with_the_record() -> None:
    verification = verify_preset(_preset(), {}, "cpu", 1)
    again = verify_preset(_preset(), {}, "cpu", 1)
    assert verification.figures == again.figures
    (first, _, _), (name, figure, value) = verification.figures
    assert (first, name, figure.value) == ("macro_f1", "direction_auc", 0.955292)
    assert not verification.is_inside(figure, value)  # one epoch on another market is no match for what is recorded


def test_other_bars_are_refused_before_anything_is_trained_or_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "Trainer", None)
    data = _recorded_bars(tmp_path) | {"fingerprint": "another"}
    path = tmp_path / LEDGER_FILE
    with pytest.raises(OtherBarsError, match="not the bars that schema_2 was confirmed on: nothing can be verified"):
        verify_preset(_preset(data=data), {"files": [str(tmp_path / BARS)]}, "cpu", 1, path)
    assert not path.exists()


def test_a_verification_is_recorded_before_test_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / LEDGER_FILE

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, "Trainer", stop)
    preset = _preset(data=_recorded_bars(tmp_path))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            verify_preset(preset, {"files": [str(tmp_path / BARS)]}, "cpu", 1, path)
    (entry,) = ledger.read_entries(path)
    assert preset.provenance is not None
    assert (entry.kind, entry.campaign, entry.symbols) == ("verification", preset.provenance.campaign, ["BTCUSDT"])
    assert entry.read_at
    later = replace(entry, campaign="later", started="2030-01-01T00:00:00+00:00", kind="confirmation", read_at="2030")
    assert [other.saw for other in ledger.earlier_overlapping([entry, later], later)] == [["test"]]


def _recorded_bars(folder: Path) -> dict[str, Any]:
    """Write bars, and return how a preset that was confirmed on them describes its data."""
    random_bars(5000).frame.to_parquet(folder / BARS)
    settings = {"labels": {"kind": "quantile"}, "interval": "5m"}
    dataset = load_dataset(parse(DataConfig, {**settings, "files": [str(folder / BARS)]}, "test"))
    described = describe_data(dataset)
    names = ("symbols", "span", "fingerprint", "window", "horizon", "bar")
    return {"synthetic": False, "settings": settings} | {name: described[name] for name in names}


def test_a_value_is_compared_with_the_interval_or_else_with_the_figure() -> None:
    wide, none = Figure(value=0.5, low=0.4, high=0.6), Figure(value=0.5, low=None, high=None)
    assert [Verification.is_inside(wide, value) for value in (0.39, 0.4, 0.6, 0.61)] == [False, True, True, False]
    assert [Verification.is_inside(none, value) for value in (0.5, 0.51)] == [True, False]


def test_a_preset_that_was_not_confirmed_cannot_be_verified() -> None:
    for name in (str(GOLDEN / "schema_1.yaml"), "production_small"):
        with pytest.raises(ConfigError, match="was not confirmed"):
            verify_preset(presets.load_preset(name), {}, "cpu", 1)
    with pytest.raises(ConfigError, match="comes from a dry run"):
        verify_preset(_preset(dry_run=True), {}, "cpu", 1)


def test_recorded_bars_must_be_named() -> None:
    preset = _preset()
    assert preset.provenance is not None
    data = preset.provenance.data.model_dump(mode="json") | {"synthetic": False, "symbols": ["BTCUSDT"]}
    with pytest.raises(ConfigError, match=r"No bars are named.*--symbols BTCUSDT --store DIR"):
        verify_preset(_preset(data=data), {}, "cpu", 1)


def test_a_feature_table_is_found_by_its_campaigns_file(tmp_path: Path) -> None:
    table = {"files": ["table.parquet"], "features": ["flow_*"], "label": "label", "returns": "ahead"}
    content = {"name": "c", "data": {"table": table, "horizon": 2, "window": 30, "interval": "1h"}}
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump({"config": content, "resolved": {}}))
    settings = bar_location(tmp_path / "campaign.yaml")
    assert list(settings) == ["table"]  # how they become windows is the preset's to say
    assert settings["table"]["files"] == ["table.parquet"]
    assert settings["table"]["returns"] == "ahead"


@pytest.mark.parametrize(("value", "code", "word"), [(0.6, 0, "inside"), (0.1, 1, "outside")])
def test_figures_are_verified_one_by_one(monkeypatch: pytest.MonkeyPatch, value: float, code: int, word: str) -> None:
    figure = Figure(value=0.6, low=0.5, high=0.7)
    verification = Verification((("macro_f1", figure, value),))
    monkeypatch.setattr(verify, "verify_preset", lambda *_: verification)
    result = CliRunner().invoke(app, ["verify", str(GOLDEN / "schema_2.yaml")])
    assert result.exit_code == code, result.output
    assert word in result.output
    assert "Only the final training (seed 1) was verified, not the out-of-fold figures." in result.output


def test_on_other_bars_no_figure_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OtherBarsError("These are not the bars", "Name others")

    monkeypatch.setattr(verify, "verify_preset", refuse)
    result = CliRunner().invoke(app, ["verify", str(GOLDEN / "schema_2.yaml")])
    assert result.exit_code == 1
    assert "These are not the bars. Name others." in result.output
    assert "inside" not in result.output
