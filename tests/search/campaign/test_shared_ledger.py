from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.config import is_name
from core.errors import ConfigError
from search.campaign.shared_ledger import SHARED_LEDGER, join_ledgers
from search.results import ledger
from search.results.folder import LEDGER_FILE
from search.storage.filesystem import Storage, StorageError
from tests.search.results.test_ledger import ENTRY

OTHER = replace(ENTRY, campaign="b", started="2024-09-03T10:00:00+00:00")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))


def test_two_machines_know_what_the_other_has_read(tmp_path: Path, storage: Storage) -> None:
    first, second = tmp_path / "one" / LEDGER_FILE, tmp_path / "two" / LEDGER_FILE
    assert join_ledgers(first, [ENTRY], storage) == [ENTRY]
    assert set(map(repr, join_ledgers(second, [OTHER], storage))) == {repr(ENTRY), repr(OTHER)}
    assert len(join_ledgers(first, [], storage)) == 2
    for path in (first, second):
        assert len(ledger.read_entries(path)) == 2
    assert len(storage.list_files(SHARED_LEDGER)) == 2


def test_without_a_storage_the_ledger_of_this_machine_is_all(tmp_path: Path) -> None:
    assert join_ledgers(tmp_path / LEDGER_FILE, [ENTRY, OTHER], None) == [ENTRY, OTHER]


def test_no_campaign_can_take_the_folder_of_the_shared_ledger() -> None:
    assert not is_name(SHARED_LEDGER)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"campaign": 1}', b"[" * 100_000])
def test_a_damaged_shared_entry_is_one_line_and_changes_nothing(
    tmp_path: Path, storage: Storage, content: bytes
) -> None:
    path = tmp_path / LEDGER_FILE
    join_ledgers(path, [ENTRY], storage)
    storage.write(f"{SHARED_LEDGER}/00.json", content)
    before = path.read_bytes()
    if content:
        with pytest.raises(ConfigError) as caught:
            join_ledgers(path, [], storage)
        assert "\n" not in str(caught.value)
    else:
        join_ledgers(path, [], storage)
    assert path.read_bytes() == before


def test_an_entry_is_published_before_others_are_read(
    tmp_path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise StorageError("It is not available", "Wait")

    join_ledgers(tmp_path / "one" / LEDGER_FILE, [OTHER], storage)
    monkeypatch.setattr(Storage, "read", fail)
    with pytest.raises(StorageError):
        join_ledgers(tmp_path / "two" / LEDGER_FILE, [ENTRY], storage)
    assert len(storage.list_files(SHARED_LEDGER)) == 2
