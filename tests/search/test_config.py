from __future__ import annotations

import pytest

from core.config import DataConfig, SyntheticConfig, parse
from core.errors import ConfigError
from search.config import CampaignConfig


def _config(**changes: object) -> CampaignConfig:
    return parse(CampaignConfig, {"name": "try", "data": {"synthetic": {}}, **changes}, "campaign.yaml")


def test_the_defaults_are_those_of_the_design() -> None:
    config = _config()
    assert (config.max_epochs, config.grace, config.reduction) == (18, 2, 3)
    assert config.metric == "macro_f1"
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
