from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from core.errors import ConfigError
from core.files import write_table
from search.campaign import backup
from search.campaign.backup import BACKUP_FOLDER
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
from search.study import study
from search.study.study import CampaignStudy
from tests.helpers.campaigns import NAME, config, searched
from tests.helpers.processes import HANG_SECONDS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return searched(tmp_path_factory.mktemp("mirror") / "results")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "shared" / NAME))


def _content(folder: Path | CampaignFolder) -> dict[str, bytes]:
    folder = folder.path if isinstance(folder, CampaignFolder) else folder
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name[0] != "."}


def test_all_of_a_campaign_comes_back_on_another_machine(folder: Path, storage: Storage, tmp_path: Path) -> None:
    with backup.backed_up(CampaignFolder(folder), storage):
        pass
    restored = backup.restore(tmp_path / "elsewhere", NAME, storage)
    assert _content(restored) == _content(folder)
    manifest.check_manifest(restored)
    assert not (restored.path / CHECKPOINTS).exists()  # those are in the storage


def test_what_changes_is_copied_while_it_changes(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "INTERVAL_SECONDS", 0.01)
    own = tmp_path / "c"
    own.mkdir()
    journal = own / JOURNAL_FILE
    journal.write_text("one\n")
    with backup.backed_up(CampaignFolder(own), storage):
        journal.write_text("one\ntwo\n")
        deadline = time.monotonic() + HANG_SECONDS
        while storage.read(f"{BACKUP_FOLDER}/{JOURNAL_FILE}") != b"one\ntwo\n":
            assert time.monotonic() < deadline, "it was never copied"
            time.sleep(0.01)


def test_what_has_not_changed_is_not_copied_again(
    folder: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: dict[str, tuple[int, int]] = {}
    backup.copy_campaign(folder, storage, copied)
    written: list[str] = []
    monkeypatch.setattr(Storage, "write", lambda _, name, content: written.append(name))
    backup.copy_campaign(folder, storage, copied)
    assert written == []
    assert set(copied) == set(_content(folder))


def test_a_storage_that_is_away_ends_nothing_and_gets_all_when_it_is_back(
    folder: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise StorageError("away", "Wait")

    with monkeypatch.context() as away:
        away.setattr(Storage, "write", down)
        with backup.backed_up(CampaignFolder(folder), storage):
            away.undo()
    assert len(storage.list_files(BACKUP_FOLDER)) == len(_content(folder))


def test_what_the_copy_does_not_know_of_is_forgotten(folder: Path, storage: Storage, tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    shutil.copytree(folder, lost)
    backup.copy_campaign(lost, storage, {})
    known = [log.number for log in study.read_trials(study.load_study(lost / JOURNAL_FILE, NAME))]
    for name in ("0/1/1.pt", "0/2/2.pt", f"{max(known) + 1}/1/1.pt", "incumbent/1/1.pt"):
        storage.write(name, b"")
    backup.restore(tmp_path / "elsewhere", NAME, storage)
    left = [name for name in storage.list_files() if not name.startswith(BACKUP_FOLDER)]
    assert left == ["0/1/1.pt", "incumbent/1/1.pt"]


def test_a_driver_that_runs_on_does_not_write_into_what_is_begun_elsewhere(
    folder: Path, storage: Storage, tmp_path: Path
) -> None:
    backup.copy_campaign(folder, storage, {})
    restored = backup.restore(tmp_path / "elsewhere", NAME, storage)
    study.take_over(restored.journal, NAME)  # as `resume` does
    there, here = (
        CampaignStudy(path, study_settings(config()))
        for path in (_copied(folder, tmp_path) / JOURNAL_FILE, restored.journal)
    )
    theirs, ours = there.ask(), here.ask()
    assert (theirs.number, theirs.attempts) == (ours.number, ours.attempts)
    assert theirs.attempt_id < ours.attempt_id
    assert here.restart(ours.number).attempt_id > there.restart(theirs.number).attempt_id
    there.close()
    here.close()
    again = CampaignStudy(restored.journal, study_settings(config()))
    assert again.trials[ours.number].attempt_id == ours.attempt_id
    again.close()


def _copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copied"))


@pytest.mark.parametrize("written", range(9))
def test_wherever_copying_ends_the_copy_can_be_gone_on_with(
    folder: Path, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    own = _copied(folder, tmp_path)
    copied: dict[str, tuple[int, int]] = {}
    tables = (TRIALS_FILE, CURVES_FILE)
    kept = {name: (own / name).read_bytes() for name in tables}
    for name in tables:  # as they were before the last trial
        table = pd.read_parquet(own / name)
        write_table(own / name, table[table["number"] < 2])
    journal = own / JOURNAL_FILE
    whole = journal.read_bytes()
    journal.write_bytes(whole[: whole.index(b'"kind":"ask","at"', whole.index(b'"trial":1,"epoch"'))])
    backup.copy_campaign(own, storage, copied)
    journal.write_bytes(whole)
    for name, content in kept.items():
        (own / name).write_bytes(content)
    write, left = Storage.write, [written]

    def going_away(at: Storage, name: str, content: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise StorageError("away", "Wait")
        write(at, name, content)

    monkeypatch.setattr(Storage, "write", going_away)
    with suppress(StorageError):
        backup.copy_campaign(own, storage, copied)
    monkeypatch.undo()
    restored = backup.restore(tmp_path / "elsewhere", NAME, storage)
    opened = CampaignStudy(restored.journal, study_settings(config()))
    opened.close()
    check_not_behind(restored, list(opened.trials.values()))


def test_a_journal_that_was_being_written_comes_back_whole(folder: Path, storage: Storage, tmp_path: Path) -> None:
    backup.copy_campaign(folder, storage, {})
    name = f"{BACKUP_FOLDER}/{JOURNAL_FILE}"
    storage.write(name, storage.read(name)[:-20])
    restored = backup.restore(tmp_path / "elsewhere", NAME, storage)
    opened = CampaignStudy(restored.journal, study_settings(config()), must_exist=True)
    opened.close()
    assert len(opened.trials) == 3


def test_what_was_looked_at_is_known_on_another_machine(folder: Path, storage: Storage, tmp_path: Path) -> None:
    look = LedgerEntry(
        NAME, "2024-05-01", "x", ["BTCUSDT"], "5m", ["2024-01", "2024-02"], ["2024-02", "2024-03"], 3, "r"
    )
    own = tmp_path / "own"
    ledger.append_entry(own / LEDGER_FILE, look)
    backup.copy_campaign(folder, storage, {})
    backup.backup_ledger(CampaignFolder(own / NAME), storage)
    backup.restore(tmp_path / "elsewhere", NAME, storage)
    assert ledger.has_read_test(tmp_path / "elsewhere" / LEDGER_FILE, NAME, "2024-05-01")


def test_trainings_of_a_confirmation_that_is_under_way_come_back_too(
    folder: Path, storage: Storage, tmp_path: Path
) -> None:
    own = tmp_path / NAME
    shutil.copytree(folder, own)
    row = own / CELLS / "0a1b" / "row.json"
    row.parent.mkdir(parents=True)
    row.write_text("{}")
    copied: dict[str, tuple[int, int]] = {}
    backup.copy_campaign(own, storage, copied)
    restored = backup.restore(tmp_path / "elsewhere", NAME, storage)
    assert (restored.cells / "0a1b" / "row.json").read_text() == "{}"
    shutil.rmtree(own / CELLS)  # it has its verdict
    backup.copy_campaign(own, storage, copied)
    assert not [name for name in storage.list_files(BACKUP_FOLDER) if CELLS in name.split("/")]


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_the_copy_outlives_the_drivers_disk(folder: Path, storage: Storage, tmp_path: Path, how: str) -> None:
    own = _copied(folder, tmp_path)
    copied: dict[str, tuple[int, int]] = {}
    backup.copy_campaign(own, storage, copied)
    shutil.rmtree(own)
    if how == "emptied":
        own.mkdir()
    backup.copy_campaign(own, storage, copied)
    assert len(storage.list_files(BACKUP_FOLDER)) == len(_content(folder))


def test_nothing_is_copied_to_where_the_storage_is_no_more(folder: Path, storage: Storage) -> None:
    owner_token = storage.claim()
    storage.remove(".mark")
    with backup.backed_up(CampaignFolder(folder), storage, owner_token) as taken:
        pass
    assert not taken()
    assert storage.list_files() == []


def test_a_name_that_leads_elsewhere_is_not_brought(folder: Path, storage: Storage, tmp_path: Path) -> None:
    backup.copy_campaign(folder, storage, {})
    for name in ("x.sh", f"{CELLS}/a.b/row.json", f"{CELLS}/row.json.sh"):
        storage.write(f"{BACKUP_FOLDER}/{name}", b"")
    assert _content(backup.restore(tmp_path / "elsewhere", NAME, storage)) == _content(folder)
    assert not (tmp_path / "elsewhere" / NAME / CELLS).exists()


def test_where_another_driver_has_left_its_mark_nothing_more_is_copied(
    folder: Path, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "INTERVAL_SECONDS", 0.01)
    own = tmp_path / "own"
    shutil.copytree(folder, own)
    with backup.backed_up(CampaignFolder(own), storage, storage.claim()) as taken:
        assert not taken()
        backup.restore(tmp_path / "elsewhere", NAME, storage)
        deadline = time.monotonic() + HANG_SECONDS
        while not taken():
            assert time.monotonic() < deadline, "it was never noticed"
            time.sleep(0.01)
        (own / JOURNAL_FILE).write_text("mine")
    assert storage.read(f"{BACKUP_FOLDER}/{JOURNAL_FILE}") == (folder / JOURNAL_FILE).read_bytes()


def test_what_is_taken_back_here_is_taken_back_there(folder: Path, storage: Storage, tmp_path: Path) -> None:
    own = tmp_path / NAME
    shutil.copytree(folder, own)
    backup.copy_campaign(own, storage, {})
    (own / MANIFEST_FILE).unlink()  # as `resume` does
    with backup.backed_up(CampaignFolder(own), storage):
        assert f"{BACKUP_FOLDER}/{MANIFEST_FILE}" not in storage.list_files()


def test_a_name_that_is_taken_in_the_storage_is_refused(folder: Path, storage: Storage) -> None:
    backup.check_name_free(storage, NAME)
    backup.copy_campaign(folder, storage, {})
    with pytest.raises(ConfigError, match=rf"already holds a campaign {NAME}\. .*resume {NAME}"):
        backup.check_name_free(storage, NAME)


def test_nothing_is_brought_over_what_is_there_or_from_nowhere(folder: Path, storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"There is no campaign '{NAME}' in"):
        backup.restore(tmp_path / "elsewhere", NAME, storage)
    backup.copy_campaign(folder, storage, {})
    with pytest.raises(ConfigError, match=r"already exists\. Leave out --storage"):
        backup.restore(folder.parent, NAME, storage)
    assert not (tmp_path / "elsewhere").exists()


def test_who_never_came_to_copy_anything_does_not_clear_what_another_driver_copied(
    folder: Path, storage: Storage
) -> None:
    mine = storage.claim()
    backup.copy_campaign(folder, storage, {})
    backup.clear_backup(storage, "of another driver")
    assert len(storage.list_files(BACKUP_FOLDER)) == len(_content(folder))
    backup.clear_backup(storage, mine)
    assert storage.list_files(BACKUP_FOLDER) == []
