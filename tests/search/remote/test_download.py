"""Fetched results are installed: nothing local is lost, nothing unchecked gets in."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import ConfigError
from search.remote.archive import pack, unpack
from search.remote.download import install_results
from search.results import ledger, manifest
from search.results.folder import CONFIG_FILE, JOURNAL_FILE, LEDGER_FILE, MANIFEST_FILE, VERDICT_FILE, CampaignFolder
from search.results.ledger_entry import LedgerEntry
from search.study.journal.backend import Journal
from tests.helpers.campaigns import NAME, make_searched_campaign

pytestmark = pytest.mark.costly

ENTRY = LedgerEntry(
    campaign=NAME, started="2024-05-01T00:00:00+00:00", exchange="binance", symbols=["BTCUSDT"], interval="5m",
    val=["2024-01-01", "2024-01-02"], test=["2024-01-03", "2024-01-04"], trials=3, reads="abc",
)  # fmt: skip


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_searched_campaign(tmp_path_factory.mktemp("remote"))


@pytest.fixture
def files(remote: Path) -> dict[str, bytes]:
    return unpack(pack(remote, ""))


def _tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_folder_is_installed_whole_and_again_without_harm(files: dict[str, bytes], tmp_path: Path) -> None:
    for _ in range(2):
        installed = install_results(files, tmp_path, NAME)
        assert installed.concluded
        assert installed.new_ledger_entries == 0
        manifest.check_manifest(CampaignFolder(installed.folder))
        assert sorted(path.name for path in tmp_path.iterdir()) == [NAME]


def test_a_file_that_does_not_agree_with_the_manifest_is_refused_and_nothing_is_left(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    for name in set(files) - {MANIFEST_FILE, LEDGER_FILE, CONFIG_FILE}:
        with pytest.raises(ConfigError, match="The received results do not agree with their manifest"):
            install_results({**files, name: files[name] + b" "}, tmp_path, NAME)
        with pytest.raises(ConfigError, match="The received results do not agree with their manifest"):
            install_results({key: value for key, value in files.items() if key != name}, tmp_path, NAME)
    assert list(tmp_path.iterdir()) == []


def test_another_campaigns_files_are_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="The received campaign is 'small', not 'other'"):
        install_results(files, tmp_path, "other")
    for content in (b"3", b"config: {}", b": :", b"\xff\xfe"):
        with pytest.raises(ConfigError, match=r"The received campaign\.yaml is damaged"):
            install_results({**files, CONFIG_FILE: content}, tmp_path, NAME)


def test_results_without_a_manifest_are_not_concluded(files: dict[str, bytes], tmp_path: Path) -> None:
    del files[MANIFEST_FILE]
    assert not install_results(files, tmp_path, NAME).concluded


def _without(files: dict[str, bytes], lines: int) -> dict[str, bytes]:
    """Return the same campaign at an earlier time, before its last journal `lines`."""
    journal_lines = files[JOURNAL_FILE].splitlines(keepends=True)
    earlier = {**files, JOURNAL_FILE: b"".join(journal_lines[:-lines])}
    del earlier[MANIFEST_FILE]
    return earlier


def test_a_longer_journal_replaces_a_shorter_one_and_not_the_reverse(files: dict[str, bytes], tmp_path: Path) -> None:
    install_results(_without(files, 1), tmp_path, NAME)
    install_results(files, tmp_path, NAME)
    before = _tree(tmp_path)
    with pytest.raises(ConfigError, match="is ahead of the cluster"):
        install_results(_without(files, 1), tmp_path, NAME)
    assert _tree(tmp_path) == before


def _other_start(folder: Path) -> None:
    content = yaml.safe_load((folder / CONFIG_FILE).read_text())
    content["resolved"]["started"] = "2020-01-01T00:00:00+00:00"
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(content))


LOCAL_CHANGES: dict[str, tuple[Any, str]] = {
    "another journal": (lambda f: _replace(f / JOURNAL_FILE, b'"op_code"', b'"op_code" '), "another campaign"),
    "another start": (_other_start, "another campaign"),
    "no journal": (lambda f: (f / JOURNAL_FILE).unlink(), "another campaign"),
    "no settings": (lambda f: (f / CONFIG_FILE).unlink(), "another campaign"),
    "checkpoints": (lambda f: (f / "checkpoints").mkdir(), "worked on here: it holds checkpoints"),
    "a verdict": (lambda f: (f / VERDICT_FILE).write_text("{}"), "a verdict of its own"),
}


def _replace(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new, 1))


@pytest.mark.parametrize("kind", LOCAL_CHANGES)
def test_a_folder_with_local_changes_stays(kind: str, files: dict[str, bytes], tmp_path: Path) -> None:
    install_results(files, tmp_path, NAME)
    change, message = LOCAL_CHANGES[kind]
    change(tmp_path / NAME)
    before = _tree(tmp_path)
    with pytest.raises(ConfigError, match=message):
        install_results(files, tmp_path, NAME)
    assert _tree(tmp_path) == before


def test_a_campaign_that_is_running_here_stays(files: dict[str, bytes], tmp_path: Path) -> None:
    install_results(files, tmp_path, NAME)
    held = Journal(tmp_path / NAME / JOURNAL_FILE)
    with pytest.raises(ConfigError, match="is running here"):
        install_results(files, tmp_path, NAME)
    held.close()


def _line(**changes: Any) -> bytes:
    return (json.dumps({**asdict(ENTRY), **changes}) + "\n").encode()


def test_ledger_entries_are_appended_once_and_local_ones_stay(files: dict[str, bytes], tmp_path: Path) -> None:
    local = _line(campaign="mine").decode()
    (tmp_path / LEDGER_FILE).write_text(local)
    for new in (1, 0):
        assert install_results({**files, LEDGER_FILE: _line() * 2}, tmp_path, NAME).new_ledger_entries == new
    assert (tmp_path / LEDGER_FILE).read_text() == local + _line().decode()


def test_a_verdict_brings_its_ledger_entry_even_where_the_clusters_ledger_lost_it(remote: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(remote, tmp_path / "remote" / NAME, ignore=shutil.ignore_patterns("checkpoints"))
    (folder / VERDICT_FILE).write_text(json.dumps({"look": asdict(ENTRY)}))
    manifest.write_manifest(CampaignFolder(folder))
    home = tmp_path / "home"
    install_results(unpack(pack(folder, "")), home, NAME)
    # The next confirmation here finds a ledger with the entries of all verdicts beside it.
    ledger.append_entry(home / LEDGER_FILE, LedgerEntry(**{**asdict(ENTRY), "campaign": "next"}))
    assert len((home / LEDGER_FILE).read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "line",
    [_line(campaign="other"), b"[]\n", b'{"campaign": "small"}\n', _line(val=["one"]), _line(symbols="BTCUSDT"),
     _line(reads=3), _line(test=[1, 2]), b"\xff\n", _line(more=1)],
)  # fmt: skip
def test_lines_that_are_no_ledger_entries_of_this_campaign_are_refused(
    line: bytes, files: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError):
        install_results({**files, LEDGER_FILE: line}, tmp_path, NAME)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [CONFIG_FILE, VERDICT_FILE, MANIFEST_FILE, JOURNAL_FILE, LEDGER_FILE])
def test_a_deeply_nested_file_is_refused(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        install_results({**files, name: b"[" * 100_000}, tmp_path, NAME)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_local_folder_as_it_was(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_results(_without(files, 1), tmp_path, NAME)
    before = _tree(tmp_path)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.parent.name.startswith(".fetched-") and path.name == NAME:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(ConfigError, match="No space left"):
        install_results(files, tmp_path, NAME)
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("interrupted_at", [0, 1, 2])
def test_an_interruption_between_the_renames_loses_no_folder(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted_at: int
) -> None:
    install_results(_without(files, 1), tmp_path, NAME)
    before = _tree(tmp_path)
    rename, renamed = Path.rename, 0

    def interrupt(path: Path, target: Path) -> Path:
        nonlocal renamed
        if NAME not in path.name:
            return rename(path, target)
        if renamed == interrupted_at:
            raise KeyboardInterrupt
        renamed += 1
        result = rename(path, target)
        if renamed == interrupted_at:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupt)
        with pytest.raises(KeyboardInterrupt):
            install_results(files, tmp_path, NAME)
    folder = {path: content for path, content in _tree(tmp_path).items() if path.startswith(NAME)}
    if interrupted_at < 2:
        # Even a second interruption, while the folder is moved back, leaves it for the next call.
        hidden = {path[1:].replace(".replaced/", "/", 1): content for path, content in _tree(tmp_path).items()}
        assert before in (folder, hidden)
    install_results(files, tmp_path, NAME)
    assert _tree(tmp_path) == {f"{NAME}/{name}": content for name, content in files.items() if name != LEDGER_FILE}
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
