from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.config import DataConfig, SyntheticConfig
from core.files import write_table
from search.campaign.plan import plan_campaign
from search.campaign.recorded_speed import find_speed
from search.config import CampaignConfig, CellsConfig
from search.results import tables
from search.results.folder import CONFIG_FILE, CURVES_FILE
from tests.helpers.campaigns import begin_campaign
from tests.helpers.trial_records import trial_record

DATA = DataConfig(synthetic=SyntheticConfig(bars=5000), window=16)
ROWS = {"train": 3200, "val": 600, "test": 600}


def _config(**changes: Any) -> CampaignConfig:
    return CampaignConfig(name="next", data=DATA, model="quick", ask=()).model_copy(update=changes)


def _record(root: Path, name: str = "before", seconds: tuple[float, ...] = (8.0, 9.0, 40.0)) -> Path:
    """Record a campaign on 3,000 train windows and some val windows, whose epochs took some seconds."""
    folder = begin_campaign(plan_campaign(_config(name=name), root))
    trial = trial_record(0, [0.2] * len(seconds))
    epochs = {
        epoch: replace(trial.epochs[epoch], seconds=took) for epoch, took in zip(trial.epochs, seconds, strict=True)
    }
    write_table(folder / CURVES_FILE, tables.make_curves_table([replace(trial, epochs=epochs)]))
    return folder


def _rows(root: Path, **changes: int) -> dict[str, int]:
    rows: dict[str, int] = plan_campaign(_config(name="rows"), root).data["rows"]
    return rows | changes


def test_without_earlier_campaigns_nothing_is_known(tmp_path: Path) -> None:
    assert find_speed(tmp_path, _config(), "cpu", ROWS) is None
    begin_campaign(plan_campaign(_config(name="begun"), tmp_path))  # it has no table yet
    assert find_speed(tmp_path, _config(), "cpu", ROWS) is None


def test_the_same_campaign_takes_as_long_again(tmp_path: Path) -> None:
    _record(tmp_path)
    assert find_speed(tmp_path, _config(), "cpu", _rows(tmp_path)) == ("before", pytest.approx(9.0))


def test_more_and_longer_windows_take_longer(tmp_path: Path) -> None:
    _record(tmp_path)
    rows = _rows(tmp_path)
    longer = _config(data=DATA.model_copy(update={"window": 32}))
    assert find_speed(tmp_path, longer, "cpu", rows) == ("before", pytest.approx(18.0))
    doubled = {split: 2 * number for split, number in rows.items()}
    assert find_speed(tmp_path, _config(), "cpu", doubled) == ("before", pytest.approx(18.0))
    half = _config(epoch_windows=rows["train"])
    more = rows | {"train": 5 * rows["train"]}  # of which an epoch reads a fifth
    assert find_speed(tmp_path, half, "cpu", more) == ("before", pytest.approx(9.0))
    cells = _config(cells=CellsConfig(folds=3, seeds=1), max_epochs=6)
    assert find_speed(tmp_path, cells, "cpu", rows) is None  # nothing is known of their folds


@pytest.mark.parametrize(
    ("changes", "device"), [({"model": "large"}, "cpu"), ({}, "cuda"), ({"cpus_per_trial": 2}, "cpu")]
)
def test_other_networks_devices_and_cores_do_not_count(changes: dict[str, Any], device: str, tmp_path: Path) -> None:
    _record(tmp_path)
    assert find_speed(tmp_path, _config(**changes), device, ROWS) is None


def test_the_newest_campaign_that_can_be_read_counts(tmp_path: Path) -> None:
    _record(tmp_path, "older", (1.0,))
    newer = _record(tmp_path, "newer", (2.0,))
    rows = _rows(tmp_path)
    assert find_speed(tmp_path, _config(), "cpu", rows) == ("newer", pytest.approx(2.0))
    (newer / CURVES_FILE).write_bytes(b"damaged")
    assert find_speed(tmp_path, _config(), "cpu", rows) == ("older", pytest.approx(1.0))
    (tmp_path / "older" / CONFIG_FILE).write_text("config: [")
    assert find_speed(tmp_path, _config(), "cpu", rows) is None
