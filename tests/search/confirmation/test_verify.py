from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from core import presets
from core.cli.data_settings import bar_location
from core.config import parse
from core.errors import ConfigError
from core.presets import Figure, Preset
from search.cli.app import app
from search.confirmation import verify
from search.confirmation.verify import Verification, verify_preset

GOLDEN = Path(__file__).parents[2] / "golden" / "presets"
QUICK = {"synthetic": {"bars": 5000, "signal": 0.9}, "labels": {"kind": "quantile"}, "interval": "5m"}


def _preset(**changes: Any) -> Preset:
    """The golden one, confirmed on a market that is quick to train on."""
    content = presets.load_preset(str(GOLDEN / "schema_2.yaml")).model_dump(mode="json")
    content["training"]["epochs"] = 1
    content["provenance"]["data"]["settings"] = QUICK
    content["provenance"] |= changes
    return parse(Preset, content, "test")


def test_a_second_training_is_the_same_and_is_compared_with_the_record() -> None:
    verification = verify_preset(_preset(), {}, "cpu", 1)
    again = verify_preset(_preset(), {}, "cpu", 1)
    assert verification.figures == again.figures
    (name, figure, value), _ = verification.figures
    assert (name, figure.value) == ("macro_f1", 0.604466)
    assert not verification.is_inside(figure, value)  # one epoch on another market is no match for what is recorded
    assert not verification.same_data


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


def test_the_named_bars_are_cut_to_the_recorded_span() -> None:
    preset = _preset()
    assert preset.provenance is not None
    data = preset.provenance.data.model_dump(mode="json") | {"synthetic": False}
    config = verify._data_config(_preset(data=data), {"symbols": ["BTCUSDT"], "store": "data"})
    assert config.symbols == ("BTCUSDT",)
    assert config.until is not None
    assert config.until.isoformat() == "2024-03-10T10:40:00+00:00"
    assert config.days == pytest.approx(69.0 + (10 * 60 + 40) / 1440)


def test_a_feature_table_is_found_by_its_campaigns_file(tmp_path: Path) -> None:
    table = {"files": ["table.parquet"], "features": ["flow_*"], "label": "label", "returns": "ahead"}
    content = {"name": "c", "data": {"table": table, "horizon": 2, "window": 30, "interval": "1h"}}
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump({"config": content, "resolved": {}}))
    settings = bar_location(tmp_path / "campaign.yaml")
    assert list(settings) == ["table"]  # how they become windows is the preset's to say
    assert settings["table"]["files"] == ["table.parquet"]
    assert settings["table"]["returns"] == "ahead"


@pytest.mark.parametrize(
    ("same_data", "value", "code", "texts"),
    [
        (True, 0.6, 0, ["inside", "Only the final training (seed 1) was verified, not the out-of-fold figures."]),
        (True, 0.1, 1, ["outside", "Only the final training (seed 1) was verified, not the out-of-fold figures."]),
        (False, 0.6, 1, ["other bars", "nothing was verified"]),
        (False, 0.1, 1, ["other bars", "nothing was verified"]),
    ],
)
def test_only_figures_on_the_recorded_bars_are_verified(
    monkeypatch: pytest.MonkeyPatch, same_data: bool, value: float, code: int, texts: list[str]
) -> None:
    figure = Figure(value=0.6, low=0.5, high=0.7)
    verification = Verification((("macro_f1", figure, value),), same_data)
    monkeypatch.setattr(verify, "verify_preset", lambda *_: verification)
    result = CliRunner().invoke(app, ["verify", str(GOLDEN / "schema_2.yaml")])
    assert result.exit_code == code, result.output
    for text in texts:
        assert text in result.output
    if not same_data:
        assert "inside" not in result.output
        assert "was verified, not" not in result.output
