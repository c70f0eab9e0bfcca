from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from core.config import DataConfig, LabelConfig, SyntheticConfig, TrainingConfig
from core.errors import ConfigError, DataError
from core.presets import SHIPPED, save_preset
from search.campaign.plan import plan_campaign, plan_resume
from search.config import CampaignConfig, dry_run_bars
from search.results.folder import CONFIG_FILE, JOURNAL_FILE
from search.study.space import Choice, Range, SpaceConfig
from tests.helpers.campaigns import begin_campaign
from tests.helpers.market import random_bars
from tests.helpers.preset_files import make_preset


def _config(**changes: object) -> CampaignConfig:
    start = CampaignConfig(name="try", data=DataConfig(synthetic=SyntheticConfig(bars=5000)))
    return start.model_copy(update=changes)


def test_trials_see_no_row_of_the_test_span(tmp_path: Path) -> None:
    planned = plan_campaign(_config(), tmp_path)
    assert len(planned.dataset.test) == 0
    assert planned.data["rows"]["test"] > 500
    assert planned.dataset.timestamps.max() < planned.dataset.borders.val[1]
    # Not even through a label: the last ones before the border would look across it.
    across = (
        planned.dataset.timestamps + planned.dataset.horizon * planned.dataset.bar >= planned.dataset.borders.val[1]
    )
    assert across.any()
    assert np.all(planned.dataset.labels[across] == -1)


def test_trials_run_all_epochs_without_early_stopping(tmp_path: Path) -> None:
    planned = plan_campaign(_config(), tmp_path)
    assert (planned.base.trainer.epochs, planned.base.trainer.patience) == (18, None)
    assert planned.base.trainer.schedule == "cosine"


def test_a_trial_reads_no_more_windows_in_an_epoch_than_the_campaign_says(tmp_path: Path) -> None:
    whole, short = plan_campaign(_config(), tmp_path), plan_campaign(_config(epoch_windows=512), tmp_path)
    assert (whole.base.trainer.epoch_windows, short.base.trainer.epoch_windows) == (None, 512)
    assert short.incumbent == whole.incumbent
    assert short.identity != whole.identity


def test_the_incumbent_keeps_its_own_epochs_and_patience(tmp_path: Path) -> None:
    planned = plan_campaign(_config(), tmp_path)
    assert (planned.incumbent.trainer.epochs, planned.incumbent.trainer.patience) == (150, 20)
    assert planned.incumbent.trainer.schedule == "warm_restarts"


def test_a_dry_run_reads_few_bars(tmp_path: Path) -> None:
    long = DataConfig(synthetic=SyntheticConfig(bars=20_000))
    planned = plan_campaign(_config(dry_run=True, data=long), tmp_path)
    assert len(planned.dataset.timestamps) <= dry_run_bars(long)
    assert planned.config.trials == 4


def test_planning_writes_nothing(tmp_path: Path) -> None:
    plan_campaign(_config(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../out"}, "cannot be the name"),
        ({"incumbent": "production_smal"}, "Did you mean 'production_small'"),
        ({"base": "none_such"}, "no preset 'none_such'"),
        ({"space": SpaceConfig(batch_size=Choice(values=(64, 100_000)))}, "batch of 100000 is larger than the"),
        ({"cpus_per_trial": 4096}, "cpus_per_trial is 4096, but this machine has"),
        ({"space": SpaceConfig(dropout=Range(low=0.0, high=1.5))}, "space of dropout"),
    ],
)
def test_settings_that_cannot_run_are_refused_before_the_start(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_campaign(_config(**changes), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("role", ["base", "incumbent"])
def test_a_preset_whose_network_sees_more_bars_than_windows_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    monkeypatch.chdir(tmp_path)
    preset = make_preset("wide")
    save_preset(preset.model_copy(update={"hyperparameters": preset.hyperparameters.model_copy(update={"window": 61})}))
    with pytest.raises(ConfigError, match="The network sees 61 bars, but a window of the data has 60"):
        plan_campaign(_config(**{role: "wide"}), tmp_path / "results")


def test_too_few_bars_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="usable"):
        plan_campaign(_config(data=DataConfig(synthetic=SyntheticConfig(bars=1200))), tmp_path)


def test_a_name_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "try").mkdir()
    with pytest.raises(ConfigError, match="already exists"):
        plan_campaign(_config(), tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be written"):
        plan_campaign(_config(), tmp_path / "file" / "results")


@pytest.mark.parametrize(("window", "horizon"), [(60, 3), (400, 3), (20, 200)])
def test_a_dry_run_reads_as_many_bars_as_its_windows_and_labels_need(tmp_path: Path, window: int, horizon: int) -> None:
    data = DataConfig(synthetic=SyntheticConfig(bars=20_000), window=window, horizon=horizon)
    assert len(plan_campaign(_config(dry_run=True, data=data), tmp_path).dataset.val) >= 500


def _market(folder: Path, bars: int) -> DataConfig:
    """The last days of a file that bars can be added to."""
    path = folder / "binance_BTCUSDT_5m.parquet"
    random_bars(6000).frame.head(bars).to_parquet(path)
    return DataConfig(files=(path,), days=17.0)


def test_a_campaign_resumes_with_the_settings_that_it_was_started_with(tmp_path: Path) -> None:
    planned = plan_campaign(_config(), tmp_path)
    begin_campaign(planned)
    resumed = plan_resume("try", tmp_path, trials=None, hours=None)
    assert (resumed.config, resumed.identity, resumed.folder) == (planned.config, planned.identity, planned.folder)
    assert (resumed.base, resumed.incumbent) == (planned.base, planned.incumbent)
    more = plan_resume("try", tmp_path, trials=99, hours=2.5)
    assert (more.config.trials, more.config.hours, more.identity) == (99, 2.5, planned.identity)


def test_a_dry_run_resumes_as_a_dry_run(tmp_path: Path) -> None:
    planned = plan_campaign(_config(dry_run=True, data=DataConfig(synthetic=SyntheticConfig(bars=20_000))), tmp_path)
    begin_campaign(planned)
    resumed = plan_resume("try", tmp_path, trials=None, hours=None)
    assert (resumed.config, resumed.identity) == (planned.config, planned.identity)
    assert len(resumed.dataset.timestamps) == len(planned.dataset.timestamps)


def test_bars_that_were_added_since_do_not_move_the_span(tmp_path: Path) -> None:
    planned = plan_campaign(_config(data=_market(tmp_path, 5500)), tmp_path)
    begin_campaign(planned)
    _market(tmp_path, 6000)
    resumed = plan_resume("try", tmp_path, trials=None, hours=None)
    assert resumed.data["span"] == planned.data["span"]
    assert resumed.data["fingerprint"] == planned.data["fingerprint"]


def test_other_bars_are_refused(tmp_path: Path) -> None:
    planned = plan_campaign(_config(data=_market(tmp_path, 5500)), tmp_path)
    begin_campaign(planned)
    path = tmp_path / "binance_BTCUSDT_5m.parquet"
    table = pd.read_parquet(path)
    table.loc[table.index[5000], "volume"] *= 2
    table.to_parquet(path)
    with pytest.raises(ConfigError, match="data are not those that campaign try was started on"):
        plan_resume("try", tmp_path, trials=None, hours=None)


def test_a_version_that_uses_other_rows_of_the_same_bars_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = pd.read_parquet(_market(tmp_path, 6000).files[0])
    bars.drop(index=bars.index[3000]).to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    planned = plan_campaign(_config(data=DataConfig(files=(tmp_path / "binance_BTCUSDT_5m.parquet",))), tmp_path)
    begin_campaign(planned)
    plan_resume("try", tmp_path, trials=None, hours=None)
    monkeypatch.setattr("core.data.market.BRIDGED_BARS", 0)
    monkeypatch.setenv("PRESET_SEARCH_CACHE", "")
    with pytest.raises(ConfigError, match="uses other rows of the data than campaign try was started on"):
        plan_resume("try", tmp_path, trials=None, hours=None)


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"fill_untraded": 0, "sessions": False}, True),
        ({"days": 3.0}, True),
        ({"fill_untraded": 2}, False),
        ({"sessions": True}, False),
        ({"horizon": 5}, False),
    ],
)
def test_the_identity_depends_on_what_the_settings_make_of_the_bars(changes: dict[str, Any], is_same: bool) -> None:
    config = CampaignConfig(name="a", data=DataConfig(symbols=("A",)))
    changed = CampaignConfig(name="a", data=DataConfig(symbols=("A",), **changes))
    recipe = TrainingConfig()
    identities = {item.identity("f", "0.1.0", recipe) for item in (config, changed)}
    assert len(identities) == (1 if is_same else 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"max_epochs": 20}}, "by another version of this program, or its file"),
        ({"config": {"seed": 3}}, "by another version of this program, or its file"),
        ({"config": {"trials": 0}}, "trials"),
        ({"config": {"no_such_key": 1}}, "no_such_key"),
        ({"resolved": None}, "is not a campaign's file"),
        ({"config": []}, "is not a campaign's file"),
    ],
)
def test_a_changed_campaign_file_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = begin_campaign(plan_campaign(_config(), tmp_path)) / CONFIG_FILE
    content = yaml.safe_load(path.read_text())
    for key, value in change.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=message):
        plan_resume("try", tmp_path, trials=None, hours=None)


def test_a_torn_campaign_file_is_refused(tmp_path: Path) -> None:
    path = begin_campaign(plan_campaign(_config(), tmp_path)) / CONFIG_FILE
    path.write_text(path.read_text()[:200] + "\n  : [")
    with pytest.raises(ConfigError, match=r"campaign\.yaml"):
        plan_resume("try", tmp_path, trials=None, hours=None)


def test_a_campaign_without_a_journal_is_refused(tmp_path: Path) -> None:
    (begin_campaign(plan_campaign(_config(), tmp_path)) / JOURNAL_FILE).unlink()
    with pytest.raises(ConfigError, match="has no journal"):
        plan_resume("try", tmp_path, trials=None, hours=None)


def test_a_metric_that_val_does_not_define_is_refused_before_the_start(tmp_path: Path) -> None:
    labels = LabelConfig(kind="fixed", fixed=(-0.9, 0.001))
    data = _config().data.model_copy(update={"labels": labels})
    with pytest.raises(ConfigError, match="direction_auc is not defined on val: SELL never occurs there"):
        plan_campaign(_config(data=data, metric="direction_auc"), tmp_path)


def _own_preset(path: Path, smoothing: float) -> str:
    content = yaml.safe_load((SHIPPED / "quick_experiment.yaml").read_text())
    content |= {"name": path.stem, "training": {**content["training"], "label_smoothing": smoothing}}
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize(
    ("role", "message"), [("base", "base preset was changed"), ("incumbent", "the incumbent, was changed")]
)
def test_a_preset_that_was_changed_since_is_refused(tmp_path: Path, role: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    begin_campaign(plan_campaign(_config(**{role: _own_preset(path, 0.1)}), tmp_path))
    plan_resume("try", tmp_path, trials=None, hours=None)
    _own_preset(path, 0.4)
    with pytest.raises(ConfigError, match=message):
        plan_resume("try", tmp_path, trials=None, hours=None)


def test_naming_a_budget_lifts_the_others(tmp_path: Path) -> None:
    begin_campaign(plan_campaign(_config(trials=8, hours=1.0, epochs=50, convergence=4), tmp_path))
    same = plan_resume("try", tmp_path, trials=None, hours=None).config
    assert (same.trials, same.hours, same.epochs, same.convergence) == (8, 1.0, 50, 4)
    more = plan_resume("try", tmp_path, trials=16, hours=None).config
    assert (more.trials, more.hours, more.epochs, more.convergence) == (16, None, None, None)
    longer = plan_resume("try", tmp_path, trials=None, hours=2.0).config
    assert (longer.trials, longer.hours, longer.epochs, longer.convergence) == (8, 2.0, None, None)
