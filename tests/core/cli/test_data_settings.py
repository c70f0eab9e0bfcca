"""The data settings of a command line and of a campaign's YAML become one config."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.cli.data_settings import data_config, data_settings
from core.config import DataConfig
from core.errors import ConfigError
from core.files import to_yaml
from search.config import resolve_config


def test_flags_and_lines_of_a_file_without_effect_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text("name: x\ndata:\n  files: [binance_BTCUSDT_1h.parquet]\n  labels: {barrier_width: 2.0}\n")
    with pytest.raises(ConfigError, match=r"^labels: barrier_width has no effect on quantile labels\. Leave it out"):
        data_config({}, file)
    with pytest.raises(ConfigError, match=r"^labels: barrier_width has no effect on quantile labels\. Leave it out"):
        resolve_config(file, {}, {})
    file.write_text("name: x\ndata:\n  files: [binance_BTCUSDT_1h.parquet]\n")
    for flag in ("interval", "store"):
        with pytest.raises(ConfigError, match=f"^--{flag} has no effect: "):
            data_config({flag: "5m"}, file)
        with pytest.raises(ConfigError, match=f"^--{flag} has no effect: "):
            resolve_config(file, {flag: "5m"}, {})


def test_an_exchange_beside_files_that_all_tell_another_is_refused(tmp_path: Path) -> None:
    for name in ("binance_BTCUSDT_1h.parquet", "BTC_USDT-1h.feather"):
        (tmp_path / name).touch()
    bars, foreign = [tmp_path / "binance_BTCUSDT_1h.parquet"], [tmp_path / "BTC_USDT-1h.feather"]
    for files in (bars, [tmp_path / "*.parquet"]):
        with pytest.raises(
            ConfigError, match=r"^--exchange kraken has no effect: the names of the files tell theirs \(b"
        ):
            data_settings(data=files, exchange="kraken")
    assert data_settings(data=bars, exchange="Binance")["exchange"] == "Binance"
    assert data_settings(data=foreign, exchange="kraken")["exchange"] == "kraken"
    assert data_settings(data=[tmp_path], exchange="kraken")["exchange"] == "kraken"


def test_what_this_program_recorded_or_a_model_was_trained_with_is_not_refused(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    recorded = DataConfig(files=(Path("binance_BTCUSDT_1h.parquet"),), interval="15m", store=Path("other"))
    file.write_text(to_yaml({"config": {"data": recorded.model_dump(mode="json", exclude_none=True)}}))
    assert data_config({}, file) == recorded
    config = data_config({"files": ["binance_BTCUSDT_1h.parquet"]}, None, fixed={"interval": "1h", "window": 20})
    assert (config.interval, config.window) == ("1h", 20)
