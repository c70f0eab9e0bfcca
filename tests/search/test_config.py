from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from core.config import DataConfig, SyntheticConfig, parse
from core.errors import ConfigError
from search.config import CampaignConfig, resolve_config


def _config(**changes: object) -> CampaignConfig:
    return parse(CampaignConfig, {"name": "try", "data": {"synthetic": {}}, **changes}, "campaign.yaml")


def test_the_defaults_are_those_of_the_design() -> None:
    config = _config()
    assert (config.max_epochs, config.grace, config.reduction) == (18, 2, 3)
    assert config.metric == "auc"
    assert config.incumbent == "production_small"
    assert not config.train_incumbent


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trails": 3}, "did you mean 'trials'"),
        ({"trials": 0}, "'trials'"),
        ({"trials": "three"}, "'trials'"),
        ({"name": "../escape"}, "'name'"),
        ({"metric": "loss"}, "'metric'"),
        ({"epoch_windows": 32}, r"epoch_windows \(32\) is less than a batch of 512"),
        ({"grace": 19}, r"grace \(19\) is greater than max_epochs"),
        ({"data": {"synthetic": {}, "symbols": ["BTCUSDT"]}}, "exactly one source"),
        ({"data": {}}, "exactly one source"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _config(**changes)


def test_a_dry_run_is_never_larger_than_the_campaign() -> None:
    tiny = CampaignConfig(
        name="try", data=DataConfig(synthetic=SyntheticConfig()), trials=2, max_epochs=2, incumbent_epochs=1
    )
    assert (tiny.shrunk().trials, tiny.shrunk().max_epochs, tiny.shrunk().incumbent_epochs) == (2, 2, 1)
    large = _config(trials=100, model="large")
    assert (large.shrunk().trials, large.shrunk().max_epochs, large.shrunk().model) == (4, 3, "quick")
    assert large.shrunk().dry_run


@pytest.mark.parametrize(
    ("data", "space", "window"),
    [
        ({}, {}, 16),
        ({}, {"window": {"values": [8, 32]}}, 32),
        ({"window": 60}, {"window": {"values": [8, 32]}}, 60),
    ],
)
def test_windows_of_the_data_are_as_long_as_the_network_may_see(
    tmp_path: Path, data: dict[str, object], space: dict[str, object], window: int
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({"name": "c", "data": {"synthetic": {}, **data}, "space": space}))
    assert resolve_config(file, {}, {}).data.window == window


def test_a_network_cannot_see_more_bars_than_a_window_has() -> None:
    with pytest.raises(ConfigError, match=r"space\.window has 32 bars, but a window of the data has 16"):
        _config(data={"synthetic": {}, "window": 16}, space={"window": {"values": [8, 32]}})


@pytest.mark.parametrize(
    ("content", "flags", "windows"),
    [
        ({}, {}, 16_384),
        ({"epoch_windows": 4096}, {}, 4096),
        ({"epoch_windows": None}, {}, None),
        ({"epoch_windows": 4096}, {"epoch_windows": 8192}, 8192),
    ],
)
def test_epochs_are_short_unless_the_settings_say_otherwise(
    tmp_path: Path, content: dict[str, object], flags: dict[str, object], windows: int | None
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({"name": "c", "data": {"synthetic": {}}, **content}))
    assert resolve_config(file, {}, flags).epoch_windows == windows
