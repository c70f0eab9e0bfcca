"""Each change that a campaign makes to a file fails once: nothing is lost, and `resume` brings the same tables."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from core.config import DataConfig, SyntheticConfig
from core.errors import PresetSearchError
from core.training.trainer import Trainer
from search.campaign.plan import plan_campaign, plan_resume
from search.campaign.run import resume_campaign, run_campaign
from search.config import ConfirmConfig
from search.confirmation.plan import plan_confirmation
from search.confirmation.run import run_confirmation
from search.engine.in_process import InProcessEngine
from search.results import manifest
from search.results.folder import VERDICT_FILE, CampaignFolder
from tests.helpers.campaigns import NAME, config
from tests.helpers.failing_files import FailingFiles

TRANSIENT = (errno.EIO, errno.EMFILE)
CONFIG = config(DataConfig(synthetic=SyntheticConfig(bars=3800))).model_copy(
    update={"confirm": ConfirmConfig(top=1, seeds=1, folds=2)}
)
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


def _failing(root: Path, number: int, is_persistent: bool) -> FailingFiles:
    """Return files of which one change fails, or it and all after it, as on a full disk."""
    if is_persistent:
        return FailingFiles(root, lambda call: call >= number, errno.ENOSPC)
    return FailingFiles(root, lambda call: call == number, TRANSIENT[number % 2])


def _run_disturbed(
    root: Path, run: Callable[[Path], None], files: FailingFiles, is_done: Callable[[], bool] = lambda: False
) -> None:
    """Run something, and once more if an error, which is one line, ended it before it was done."""
    message = ""
    try:
        with files.installed():
            run(root)
    except PresetSearchError as error:
        message = str(error)
        if not is_done():
            run(root)
    assert "\n" not in message


def _check_search(undisturbed: tuple[list[pd.DataFrame], int], root: Path, number: int, is_persistent: bool) -> None:
    expected, count = undisturbed
    assert count < LAST_CALL
    if number >= count:
        return
    _run_disturbed(root, _search, _failing(root, number, is_persistent))
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


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CampaignFolder, int]:
    """The root of a searched campaign, the folder of the same one confirmed, and the number of calls."""
    root, other = tmp_path_factory.mktemp("searched"), tmp_path_factory.mktemp("confirmed")
    _search(root)
    shutil.copytree(root / NAME, other / NAME)
    files = FailingFiles(other)
    with files.installed():
        _confirm(other)
    return root, CampaignFolder(other / NAME), len(files.calls)


def _confirm(root: Path) -> None:
    run_confirmation(plan_confirmation(NAME, root), InProcessEngine())


def _check_confirmation(
    confirmed: tuple[Path, CampaignFolder, int], root: Path, number: int, is_persistent: bool
) -> None:
    searched, expected, count = confirmed
    assert count < LAST_CALL
    if number >= count:
        return
    shutil.copytree(searched / NAME, root / NAME)
    folder = CampaignFolder(root / NAME)
    files = _failing(root, number, is_persistent)
    _run_disturbed(root, _confirm, files, is_done=lambda: manifest.manifest_lists(folder, VERDICT_FILE))
    manifest.check_manifest(folder)
    assert folder.verdict.read_bytes() == expected.verdict.read_bytes()
    for name in ("read_predictions", "read_returns"):
        pd.testing.assert_frame_equal(getattr(folder, name)(), getattr(expected, name)())


@pytest.mark.parametrize("number", range(1, LAST_CALL, 3 * EVERY))
def test_an_error_of_some_file_ends_a_confirmation_in_one_line_and_loses_nothing(
    confirmed: tuple[Path, CampaignFolder, int], tmp_path: Path, number: int
) -> None:
    _check_confirmation(confirmed, tmp_path, number, is_persistent=number % 2 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("is_persistent", [False, True])
@pytest.mark.parametrize("number", range(LAST_CALL))
def test_an_error_of_any_file_ends_a_confirmation_in_one_line_and_loses_nothing(
    confirmed: tuple[Path, CampaignFolder, int], tmp_path: Path, number: int, is_persistent: bool
) -> None:
    _check_confirmation(confirmed, tmp_path, number, is_persistent)
