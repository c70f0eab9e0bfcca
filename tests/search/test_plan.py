from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.config import DataConfig, SyntheticConfig
from core.errors import ConfigError, DataError
from search.config import CampaignConfig, dry_run_bars
from search.plan import plan
from search.space import Choice, Range, SpaceConfig


def _config(**changes: object) -> CampaignConfig:
    start = CampaignConfig(name="try", data=DataConfig(synthetic=SyntheticConfig(bars=5000)))
    return start.model_copy(update=changes)


def test_trials_get_no_row_of_the_test_span(tmp_path: Path) -> None:
    planned = plan(_config(), tmp_path)
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
    planned = plan(_config(), tmp_path)
    assert (planned.base.trainer.epochs, planned.base.trainer.patience) == (18, None)
    assert planned.base.trainer.schedule == "cosine"


def test_the_incumbent_keeps_its_own_epochs_and_patience(tmp_path: Path) -> None:
    planned = plan(_config(), tmp_path)
    assert (planned.incumbent.trainer.epochs, planned.incumbent.trainer.patience) == (150, 20)
    assert planned.incumbent.trainer.schedule == "warm_restarts"


def test_a_dry_run_reads_few_bars(tmp_path: Path) -> None:
    long = DataConfig(synthetic=SyntheticConfig(bars=20_000))
    planned = plan(_config(dry_run=True, data=long), tmp_path)
    assert len(planned.dataset.timestamps) <= dry_run_bars(long)
    assert planned.config.trials == 4


def test_nothing_is_written_by_planning(tmp_path: Path) -> None:
    plan(_config(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "../out"}, "cannot be the name"),
        ({"incumbent": "production_smal"}, "Did you mean 'production_small'"),
        ({"base": "none_such"}, "no preset 'none_such'"),
        ({"space": SpaceConfig(batch_size=Choice(values=(64, 100_000)))}, "batch of 100000 is larger than the"),
        ({"cpus_per_trial": 4096}, "cpus_per_trial is 4096, this machine has"),
        ({"space": SpaceConfig(dropout=Range(low=0.0, high=1.5))}, "space of dropout"),
    ],
)
def test_what_cannot_run_is_refused_before_it_starts(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(_config(**changes), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_too_few_bars_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="usable"):
        plan(_config(data=DataConfig(synthetic=SyntheticConfig(bars=1200))), tmp_path)


def test_a_name_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "try").mkdir()
    with pytest.raises(ConfigError, match="already exists"):
        plan(_config(), tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be written"):
        plan(_config(), tmp_path / "file" / "results")


@pytest.mark.parametrize(("window", "horizon"), [(60, 3), (400, 3), (20, 200)])
def test_a_dry_run_reads_as_many_bars_as_its_windows_and_labels_need(tmp_path: Path, window: int, horizon: int) -> None:
    data = DataConfig(synthetic=SyntheticConfig(bars=20_000), window=window, horizon=horizon)
    assert len(plan(_config(dry_run=True, data=data), tmp_path).dataset.val) >= 500
