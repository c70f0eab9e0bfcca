"""Each change that a campaign makes to a file fails once: nothing is lost, and `resume` brings the same tables."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from core.config import DataConfig, SyntheticConfig
from core.errors import PresetSearchError
from core.training.trainer import Trainer
from search.campaign.plan import plan_campaign, plan_resume
from search.campaign.run import resume_campaign, run_campaign
from search.engine.in_process import InProcessEngine
from search.results import manifest
from search.results.folder import CampaignFolder
from tests.helpers.campaigns import NAME, config
from tests.helpers.failing_files import FailingFiles

TRANSIENT = (errno.EIO, errno.EMFILE)
CONFIG = config(DataConfig(synthetic=SyntheticConfig(bars=3800)))
LAST_CALL = 200
"""More calls than a campaign makes; that there are fewer is checked."""
EVERY = 17
"""`make test` tries one call of this many; all of them are slow."""


@pytest.fixture(scope="module", autouse=True)
def _short_steps() -> Iterator[None]:
    """Train on the first rows of each batch only: what is tested are files."""
    step = Trainer._step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_step", lambda trainer, rows: step(trainer, rows[:8]))
        yield


def _search(root: Path) -> None:
    if (root / NAME).exists():
        resume_campaign(plan_resume(NAME, root, None, None), InProcessEngine())
    else:
        run_campaign(plan_campaign(CONFIG, root), InProcessEngine())


def _tables(folder: CampaignFolder) -> list[pd.DataFrame]:
    trials = folder.read_trials().drop(columns=["seconds", "attempts"])
    return [trials, folder.read_curves().drop(columns=["seconds"]), folder.read_predictions(), folder.read_returns()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[pd.DataFrame], int]:
    root = tmp_path_factory.mktemp("undisturbed")
    files = FailingFiles(root)
    with files.installed():
        _search(root)
    return _tables(CampaignFolder(root / NAME)), len(files.calls)


def _search_disturbed(root: Path, files: FailingFiles) -> None:
    """Search until an error ends it, then resume."""
    message = ""
    try:
        with files.installed():
            _search(root)
    except PresetSearchError as error:
        message = str(error)
        _search(root)
    assert "\n" not in message


def _check_search(undisturbed: tuple[list[pd.DataFrame], int], root: Path, number: int, is_persistent: bool) -> None:
    expected, count = undisturbed
    assert count < LAST_CALL
    if number >= count:
        return
    if is_persistent:
        files = FailingFiles(root, lambda call: call >= number, errno.ENOSPC)
    else:
        files = FailingFiles(root, lambda call: call == number, TRANSIENT[number % 2])
    _search_disturbed(root, files)
    folder = CampaignFolder(root / NAME)
    manifest.check_manifest(folder)
    for table, expected_table in zip(_tables(folder), expected, strict=True):
        pd.testing.assert_frame_equal(table, expected_table)
    assert not any(folder.read_trials()["deaths"])


@pytest.mark.parametrize("number", range(0, LAST_CALL, EVERY))
def test_an_error_of_some_file_ends_a_search_in_one_line_and_loses_nothing(
    undisturbed: tuple[list[pd.DataFrame], int], tmp_path: Path, number: int
) -> None:
    _check_search(undisturbed, tmp_path, number, is_persistent=number % 2 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("is_persistent", [False, True])
@pytest.mark.parametrize("number", range(LAST_CALL))
def test_an_error_of_any_file_ends_a_search_in_one_line_and_loses_nothing(
    undisturbed: tuple[list[pd.DataFrame], int], tmp_path: Path, number: int, is_persistent: bool
) -> None:
    _check_search(undisturbed, tmp_path, number, is_persistent)
