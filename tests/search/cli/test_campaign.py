from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from core.errors import ConfigError
from search.cli import campaign
from search.config import resolve_config
from search.engine.in_process import InProcessEngine
from tests.helpers.campaigns import make_searched_campaign
from tests.helpers.commands import list_files, run_command


def test_flags_override_the_yaml(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text("name: yaml\ntrials: 5\nseed: 3\ndata: {symbols: [BTCUSDT], days: 10, horizon: 2}\n")
    config = resolve_config(file, {"days": 20.0}, {"trials": 7})
    assert (config.name, config.trials, config.seed) == ("yaml", 7, 3)
    assert (config.data.symbols, config.data.days, config.data.horizon) == (("BTCUSDT",), 20.0, 2)


def test_a_source_named_by_flags_replaces_the_yamls(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text("name: yaml\ndata: {symbols: [BTCUSDT], horizon: 2}\n")
    config = resolve_config(file, {"files": ["a.parquet", "b.parquet"]}, {})
    assert config.data.files == (Path("a.parquet"), Path("b.parquet"))
    assert config.data.symbols == ()
    assert config.data.horizon == 2


def test_without_data_the_market_is_synthetic() -> None:
    assert resolve_config(None, {}, {"name": "try"}).data.synthetic is not None


@pytest.mark.parametrize(("source", "window"), [({}, 16), ({"window": 60}, 60)])
def test_a_campaign_sees_16_bars_unless_it_names_another_window(
    tmp_path: Path, source: dict[str, int], window: int
) -> None:
    assert resolve_config(None, source, {"name": "try"}).data.window == window
    (tmp_path / "c.yaml").write_text("name: x\ndata: {window: 8}\n")
    assert resolve_config(tmp_path / "c.yaml", source, {}).data.window == source.get("window", 8)


@pytest.mark.parametrize("text", ["data: 3", "data: [a]"])
def test_data_settings_must_be_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(f"name: x\n{text}\n")
    with pytest.raises(ConfigError, match="'data' holds no settings"):
        resolve_config(tmp_path / "c.yaml", {}, {})


def _bars(path: Path, bars: int, **columns: Any) -> None:
    times = pd.date_range("2024-01-01", periods=bars, freq="5min", tz="UTC")
    price = pd.Series(range(bars)) * 0.01 + 100
    frame = pd.DataFrame(
        {"timestamp": times, "open": price, "high": price, "low": price, "close": price, "volume": 1.0}
    )
    frame.assign(**columns).to_parquet(path)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run"], "has no name. Add --name NAME"),
        (["run", "--name", "a/b"], "'name'"),
        (["run", "--name", "x", "--data", "gone_BTCUSDT_5m.parquet"], "gone_BTCUSDT_5m.parquet does not exist"),
        (["run", "--name", "x", "--data", "wrongly-named.parquet"], "Name it like binance_BTCUSDT_5m.parquet"),
        (["run", "--name", "x", "--data", "text_BTCUSDT_5m.parquet"], "cannot be read as Parquet"),
        (["run", "--name", "x", "--data", "less_BTCUSDT_5m.parquet"], "lacks the column(s) close"),
        (["run", "--name", "x", "--data", "few_BTCUSDT_5m.parquet"], "usable"),
        (["run", "--name", "x", "--data", "few_BTCUSDT_5m.parquet", "--days", "30"], "not the requested 30"),
        (
            ["run", "--name", "x", "--symbols", "BTCUSDT", "--store", "none", "--offline"],
            "The store none is not a folder",
        ),
        (
            ["run", "--name", "x", "--symbols", "NONE", "--store", ".", "--offline"],
            "preset-search data fetch --symbols NONE",
        ),
        (["run", "--name", "x", "--symbols", "NONE", "--store", "."], "Say how many days to fetch with --days N"),
        (["run", "--name", "x", "--synthetic", "--until", "yesterday"], "'data.until'"),
        (["run", "--name", "x", "--store", "."], "store describes the data, but no data are named"),
        (["run", "--name", "x", "--seed", "4294967296"], "'seed'"),
        (["run", "--name", "x", "--synthetic", "--interval", "9999d"], "longer than a century"),
        (["run", "--name", "x", "--incumbent", "nobody"], "no preset 'nobody'"),
        (["run", "--name", "taken"], "already exists"),
        (["run", "--name", "x", "--metric", "loss"], "'metric'"),
        (["run", "--name", "x", "--trials", "0"], "'trials'"),
        (["run", "--name", "x", "--results", "few_BTCUSDT_5m.parquet"], "cannot be written"),
        (["run", "unknown-key.yaml"], "unknown key 'trails' (did you mean 'trials'?)"),
        (["run", "broken.yaml"], "is not valid YAML"),
        (["run", "gone.yaml"], "gone.yaml cannot be read"),
        (["run", "--name", "x", "--sampler", "best"], "'sampler'"),
        (["run", "--name", "x", "--policy", "kind"], "'policy'"),
        (["run", "--name", "x", "--hours", "0"], "'hours'"),
        (["run", "warm.yaml"], "no campaign 'gone'"),
        (["export", "nothing", "--as", "x"], "no campaign 'nothing'"),
        (["resume", "nothing"], "no campaign 'nothing'"),
        (["resume", "../x"], "cannot be the name"),
        (["resume", "half"], "has no journal"),
        (["stop", "nothing"], "no campaign 'nothing'"),
        (["stop", "half"], "is not running"),
        (["replay", "nothing"], "no campaign 'nothing'"),
        (["replay", "half"], "'name' is missing"),
        (["study", "copy", "half", "--to", "sqlite:///x.db"], "journal.log cannot be read"),
    ],
)
def test_bad_input_is_one_line_exit_2_and_nothing_written(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _bars(tmp_path / "few_BTCUSDT_5m.parquet", 1000)
    _bars(tmp_path / "less_BTCUSDT_5m.parquet", 1000)
    pd.read_parquet(tmp_path / "less_BTCUSDT_5m.parquet").drop(columns="close").to_parquet(
        tmp_path / "less_BTCUSDT_5m.parquet"
    )
    (tmp_path / "text_BTCUSDT_5m.parquet").write_text("not parquet")
    (tmp_path / "unknown-key.yaml").write_text("name: x\ntrails: 3\n")
    (tmp_path / "broken.yaml").write_text("name: [x\n")
    (tmp_path / "results" / "taken").mkdir(parents=True)
    (tmp_path / "results" / "half").mkdir()
    (tmp_path / "results" / "half" / "campaign.yaml").write_text("config: {}")
    (tmp_path / "warm.yaml").write_text("name: x\nwarm_start: [gone]\n")
    before = list_files(tmp_path)
    assert run_command(monkeypatch, tmp_path, *args) == 2
    captured = capsys.readouterr()
    assert message in " ".join(captured.err.split())
    assert captured.err.startswith("error:")
    assert captured.err.count("\n") == 1, "an error is one line, however long"
    assert "Traceback" not in captured.err
    assert list_files(tmp_path) == before


def test_few_epochs_need_no_setting_of_the_first_rung() -> None:
    assert resolve_config(None, {}, {"name": "x", "max_epochs": 1}).grace == 1
    assert resolve_config(None, {}, {"name": "x", "max_epochs": 9}).grace == 2


def test_the_flag_confirm_keeps_the_settings_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("name: x\nconfirm: {top: 1, seeds: 2, folds: 2}\n")
    confirmation = resolve_config(file, {}, {"confirm": {}}).confirm
    assert confirmation is not None
    assert (confirmation.top, confirmation.seeds, confirmation.folds) == (1, 2, 2)
    file.write_text("name: x\n")
    assert resolve_config(file, {}, {}).confirm is None
    confirmation = resolve_config(file, {}, {"confirm": {}}).confirm
    assert confirmation is not None
    assert (confirmation.top, confirmation.seeds, confirmation.folds, confirmation.trainings) == (8, 3, 5, 61)


@pytest.mark.parametrize("asked", [True, False])
def test_resume_confirms_the_winner_if_the_campaign_file_says_so(
    asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_searched_campaign(tmp_path / "results")
    if not asked:
        text = yaml.safe_load((folder / "campaign.yaml").read_text())
        del text["config"]["confirm"]
        (folder / "campaign.yaml").write_text(yaml.safe_dump(text))
    confirmed: list[str] = []
    monkeypatch.setattr("search.engine.ray_engine.RayEngine", InProcessEngine)
    monkeypatch.setattr(campaign, "confirm_and_show", lambda name, *_, **__: confirmed.append(name))
    assert run_command(monkeypatch, tmp_path, "resume", folder.name) == 0
    assert confirmed == ([folder.name] if asked else [])
