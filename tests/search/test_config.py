from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from core.config import DataConfig, SyntheticConfig, parse
from core.errors import ConfigError
from core.presets import load_preset
from search.config import CampaignConfig, resolve_config, study_settings


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
        ({}, {"window": {"low": 8, "high": 64, "log2": True}}, 64),
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
        ({"space": {"batch_size": {"low": 64, "high": 32_768, "log2": True}}}, {}, 32_768),
    ],
)
def test_epochs_are_short_unless_the_settings_say_otherwise(
    tmp_path: Path, content: dict[str, object], flags: dict[str, object], windows: int | None
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({"name": "c", "data": {"synthetic": {}}, **content}))
    assert resolve_config(file, {}, flags).epoch_windows == windows


def test_the_study_knows_conditions_and_the_values_of_the_base_preset() -> None:
    plain = study_settings(_config())
    assert (plain.startup, plain.conditions, plain.base_values) == ("random", {}, {})
    space = {"mixup_alpha": {"low": 0.05, "high": 0.4, "only_if": {"batch_size": 64}}}
    settings = study_settings(_config(space=space, startup="sobol"))
    assert settings.startup == "sobol"
    assert settings.conditions == {"mixup_alpha": {"batch_size": (64.0,)}}
    assert settings.base_values == {"mixup_alpha": load_preset("production_small").hyperparameters.mixup_alpha}


def test_a_condition_and_a_start_do_not_change_what_a_value_depends_on() -> None:
    space = {"mixup_alpha": {"only_if": {"batch_size": 64}}}
    recipe = load_preset("production_small").training_config(size="quick", metric="auc", seed=0)
    assert _config(space=space, startup="sobol").identity("f", "1", recipe) == _config().identity("f", "1", recipe)
