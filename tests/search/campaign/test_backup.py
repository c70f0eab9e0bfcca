from __future__ import annotations

import errno
import shutil
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from core.errors import ConfigError
from core.files import write_table
from search.campaign import backup
from search.campaign.backup import BACKUP_FOLDER, Copies
from search.campaign.plan import CHECKPOINTS
from search.config import study_settings
from search.results import ledger, manifest
from search.results.folder import (
    CELLS,
    CURVES_FILE,
    JOURNAL_FILE,
    LEDGER_FILE,
    MANIFEST_FILE,
    TRIALS_FILE,
    CampaignFolder,
)
from search.results.ledger_entry import LedgerEntry
from search.results.tables import check_not_behind
from search.storage.filesystem import Storage, StorageError
from search.storage.segments import read_segmented
from search.study import study
from search.study.study import CampaignStudy
from tests.helpers.campaigns import NAME, config, make_searched_campaign
from tests.helpers.processes import HANG_SECONDS

pytestmark = pytest.mark.costly


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_searched_campaign(tmp_path_factory.mktemp("mirror") / "results")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "shared" / NAME))


def _content(folder: Path | CampaignFolder) -> dict[str, bytes]:
    folder = folder.path if isinstance(folder, CampaignFolder) else folder
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name[0] != "."}


def test_a_campaign_is_restored_on_another_machine(folder: Path, storage: Storage, tmp_path: Path) -> None:
    with backup.backed_up(CampaignFolder(folder), storage):
        pass
    restored = backup.restore(tmp_path / "elsewhere", NAME, storage)
    assert _content(restored) == _content(folder)
    manifest.check_manifest(restored)
    assert not (restored.path / CHECKPOINTS).exists()  # those are in the storage


def test_changes_are_copied_while_the_campaign_runs(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "INTERVAL_SECONDS", 0.01)
    campaign = tmp_path / "c"
    campaign.mkdir()
    journal = campaign / JOURNAL_FILE
    journal.write_text("one\n")
    with backup.backed_up(CampaignFolder(campaign), storage):
        journal.write_text("one\ntwo\n")
        deadline = time.monotonic() + HANG_SECONDS
        while read_segmented(storage, f"{BACKUP_FOLDER}/{JOURNAL_FILE}") != b"one\ntwo\n":
            assert time.monotonic() < deadline, "it was never copied"
            time.sleep(0.01)


def test_unchanged_files_are_not_copied_again(folder: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = Copies(storage)
    backup.copy_campaign(folder, storage, copies)
    written: list[str] = []
    monkeypatch.setattr(Storage, "write", lambda _, name, content: written.append(name))
    backup.copy_campaign(folder, storage, copies)
    assert written == []
    assert {*copies.states, JOURNAL_FILE} == set(_content(folder))


def test_an_unavailable_storage_ends_nothing_and_is_caught_up_later(
    folder: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise StorageError("away", "Wait")

    with monkeypatch.context() as away:
        away.setattr(Storage, "write", down)
        with backup.backed_up(CampaignFolder(folder), storage):
            away.undo()
    assert len(storage.list_files(BACKUP_FOLDER)) == len(_content(folder))


def test_a_backup_that_fails_unexpectedly_is_tried_again_and_still_notices_a_takeover(
    folder: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backup, "INTERVAL_SECONDS", 0.01)
    failures = iter([OSError(errno.EMFILE, "Too many open files"), OSError(errno.EMFILE, "Too many open files")])
    copy_campaign = backup.copy_campaign

    def fail_twice(path: Path, to: Storage, copies: Copies) -> None:
        if (failure := next(failures, None)) is not None:
            raise failure
        copy_campaign(path, to, copies)

    monkeypatch.setattr(backup, "copy_campaign", fail_twice)
    token = storage.claim()
    deadline = time.monotonic() + HANG_SECONDS
    with backup.backed_up(CampaignFolder(folder), storage, owner_token=token) as is_taken_over:
        while len(storage.list_files(BACKUP_FOLDER)) < len(_content(folder)):
            assert time.monotonic() < deadline, "it was never copied"
            time.sleep(0.01)
        storage.claim()
        while not is_taken_over():
            assert time.monotonic() < deadline, "the takeover was never noticed"
            time.sleep(0.01)
    assert capsys.readouterr().err.count("Too many open files") == 1


def test_files_of_attempts_that_the_backup_does_not_know_are_removed(
    folder: Path, storage: Storage, tmp_path: Path
) -> None:
    lost = tmp_path / "lost"
    shutil.copytree(folder, lost)
    backup.copy_campaign(lost, storage, Copies(storage))
    known = [trial.number for trial in study.read_trials(study.load_study(lost / JOURNAL_FILE, NAME))]
    for name in ("0/1/1.pt", "0/2/2.pt", f"{max(known) + 1}/1/1.pt", "incumbent/1/1.pt"):
        storage.write(name, b"")
    backup.restore(tmp_path / "elsewhere", NAME, storage)
    remaining = [name for name in storage.list_files() if not name.startswith(BACKUP_FOLDER)]
    assert remaining == ["0/1/1.pt", "incumbent/1/1.pt"]


def test_attempts_of_the_old_driver_and_of_the_new_one_never_share_an_identifier(
    folder: Path, storage: Storage, tmp_path: Path
) -> None:
    backup.copy_campaign(folder, storage, Copies(storage))
    restored = backup.restore(tmp_path / "elsewhere", NAME, storage)
    study.take_over(restored.journal, NAME)  # as `resume` does
    old_driver, new_driver = (
        CampaignStudy(path, study_settings(config()))
        for path in (_copied(folder, tmp_path) / JOURNAL_FILE, restored.journal)
    )
    old_trial, new_trial = old_driver.ask(), new_driver.ask()
    assert (old_trial.number, old_trial.attempts) == (new_trial.number, new_trial.attempts)
    assert old_trial.attempt_id < new_trial.attempt_id
    assert new_driver.restart(new_trial.number).attempt_id > old_driver.restart(old_trial.number).attempt_id
    old_driver.close()
    new_driver.close()
    again = CampaignStudy(restored.journal, study_settings(config()))
    assert again.trials[new_trial.number].attempt_id == new_trial.attempt_id
    again.close()


def _copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copied"))


@pytest.mark.parametrize("written", range(9))
def test_wherever_copying_is_cut_off_the_backup_can_be_resumed(
    folder: Path, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    campaign = _copied(folder, tmp_path)
    copies = Copies(storage)
    tables = (TRIALS_FILE, CURVES_FILE)
    table_contents = {name: (campaign / name).read_bytes() for name in tables}
    for name in tables:  # as they were before the last trial
        table = pd.read_parquet(campaign / name)
        write_table(campaign / name, table[table["number"] < 2])
    journal = campaign / JOURNAL_FILE
    whole_journal = journal.read_bytes()
    journal.write_bytes(
        whole_journal[: whole_journal.index(b'"kind":"ask","at"', whole_journal.index(b'"trial":1,"epoch"'))]
    )
    backup.copy_campaign(campaign, storage, copies)
    journal.write_bytes(whole_journal)
    for name, content in table_contents.items():
        (campaign / name).write_bytes(content)
    write, writes_left = Storage.write, [written]

    def going_away(storage: Storage, name: str, content: bytes) -> None:
        writes_left[0] -= 1
        if writes_left[0] < 0:
            raise StorageError("away", "Wait")
        write(storage, name, content)

    monkeypatch.setattr(Storage, "write", going_away)
    with suppress(StorageError):
        backup.copy_campaign(campaign, storage, copies)
    monkeypatch.undo()
    restored = backup.restore(tmp_path / "elsewhere", NAME, storage)
    opened = CampaignStudy(restored.journal, study_settings(config()))
    opened.close()
    check_not_behind(restored, list(opened.trials.values()))


def test_a_journal_that_was_copied_while_it_was_written_is_restored_whole(
    folder: Path, storage: Storage, tmp_path: Path
) -> None:
    backup.copy_campaign(folder, storage, Copies(storage))
    name = f"{BACKUP_FOLDER}/{JOURNAL_FILE}"
    storage.write(name, storage.read(name)[:-20])
    restored = backup.restore(tmp_path / "elsewhere", NAME, storage)
    opened = CampaignStudy(restored.journal, study_settings(config()), must_exist=True)
    opened.close()
    assert len(opened.trials) == 3


def test_ledger_entries_are_restored_on_another_machine(folder: Path, storage: Storage, tmp_path: Path) -> None:
    entry = LedgerEntry(
        NAME, "2024-05-01", "x", ["BTCUSDT"], "5m", ["2024-01", "2024-02"], ["2024-02", "2024-03"], 3, "r"
    )
    campaign = tmp_path / "own"
    ledger.append_entry(campaign / LEDGER_FILE, entry)
    backup.copy_campaign(folder, storage, Copies(storage))
    backup.backup_ledger(CampaignFolder(campaign / NAME), storage)
    backup.restore(tmp_path / "elsewhere", NAME, storage)
    assert ledger.has_read_test(tmp_path / "elsewhere" / LEDGER_FILE, NAME, "2024-05-01")


def test_finished_cells_of_a_confirmation_are_restored_too(folder: Path, storage: Storage, tmp_path: Path) -> None:
    campaign = tmp_path / NAME
    shutil.copytree(folder, campaign)
    row = campaign / CELLS / "0a1b" / "row.json"
    row.parent.mkdir(parents=True)
    row.write_text("{}")
    copies = Copies(storage)
    backup.copy_campaign(campaign, storage, copies)
    restored = backup.restore(tmp_path / "elsewhere", NAME, storage)
    assert (restored.cells / "0a1b" / "row.json").read_text() == "{}"
    shutil.rmtree(campaign / CELLS)  # it has its verdict
    backup.copy_campaign(campaign, storage, copies)
    assert not [name for name in storage.list_files(BACKUP_FOLDER) if CELLS in name.split("/")]


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_the_backup_outlives_the_drivers_disk(folder: Path, storage: Storage, tmp_path: Path, how: str) -> None:
    campaign = _copied(folder, tmp_path)
    copies = Copies(storage)
    backup.copy_campaign(campaign, storage, copies)
    shutil.rmtree(campaign)
    if how == "emptied":
        campaign.mkdir()
    backup.copy_campaign(campaign, storage, copies)
    assert len(storage.list_files(BACKUP_FOLDER)) == len(_content(folder))


def test_nothing_is_copied_to_a_storage_that_has_lost_its_owner_token(folder: Path, storage: Storage) -> None:
    owner_token = storage.claim()
    storage.remove(".mark")
    with backup.backed_up(CampaignFolder(folder), storage, owner_token) as taken_over:
        pass
    assert not taken_over()
    assert storage.list_files() == []


def test_files_with_foreign_names_are_not_restored(folder: Path, storage: Storage, tmp_path: Path) -> None:
    backup.copy_campaign(folder, storage, Copies(storage))
    for name in ("x.sh", f"{CELLS}/a.b/row.json", f"{CELLS}/row.json.sh"):
        storage.write(f"{BACKUP_FOLDER}/{name}", b"")
    assert _content(backup.restore(tmp_path / "elsewhere", NAME, storage)) == _content(folder)
    assert not (tmp_path / "elsewhere" / NAME / CELLS).exists()


def test_nothing_is_copied_after_another_driver_has_claimed_the_storage(
    folder: Path, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "INTERVAL_SECONDS", 0.01)
    campaign = tmp_path / "own"
    shutil.copytree(folder, campaign)
    with backup.backed_up(CampaignFolder(campaign), storage, storage.claim()) as taken_over:
        assert not taken_over()
        backup.restore(tmp_path / "elsewhere", NAME, storage)
        deadline = time.monotonic() + HANG_SECONDS
        while not taken_over():
            assert time.monotonic() < deadline, "it was never noticed"
            time.sleep(0.01)
        (campaign / JOURNAL_FILE).write_text("mine")
    assert read_segmented(storage, f"{BACKUP_FOLDER}/{JOURNAL_FILE}") == (folder / JOURNAL_FILE).read_bytes()


def test_a_removed_file_is_removed_from_the_backup(folder: Path, storage: Storage, tmp_path: Path) -> None:
    campaign = tmp_path / NAME
    shutil.copytree(folder, campaign)
    backup.copy_campaign(campaign, storage, Copies(storage))
    (campaign / MANIFEST_FILE).unlink()  # as `resume` does
    with backup.backed_up(CampaignFolder(campaign), storage):
        assert f"{BACKUP_FOLDER}/{MANIFEST_FILE}" not in storage.list_files()


def test_a_name_that_the_storage_holds_already_is_refused(folder: Path, storage: Storage) -> None:
    backup.check_name_free(storage, NAME)
    backup.copy_campaign(folder, storage, Copies(storage))
    with pytest.raises(ConfigError, match=rf"already holds a campaign {NAME}\. .*resume {NAME}"):
        backup.check_name_free(storage, NAME)


def test_restoring_needs_a_backup_and_a_free_folder(folder: Path, storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"There is no campaign '{NAME}' in"):
        backup.restore(tmp_path / "elsewhere", NAME, storage)
    backup.copy_campaign(folder, storage, Copies(storage))
    with pytest.raises(ConfigError, match=r"already exists\. Leave out --storage"):
        backup.restore(folder.parent, NAME, storage)
    assert not (tmp_path / "elsewhere").exists()


def test_a_driver_does_not_clear_the_backup_of_another_driver(folder: Path, storage: Storage) -> None:
    owner_token = storage.claim()
    backup.copy_campaign(folder, storage, Copies(storage))
    backup.clear_backup(storage, "of another driver")
    assert len(storage.list_files(BACKUP_FOLDER)) == len(_content(folder))
    backup.clear_backup(storage, owner_token)
    assert storage.list_files(BACKUP_FOLDER) == []
