"""Whatever happened to a file of a campaign, every command that reads it ends in its result or in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from search.results import manifest
from search.results.folder import CampaignFolder
from tests.helpers.commands import list_files, run_command

NAME = "btc-eth-15m-8m"
RESULTS = Path(__file__).parents[3] / "results"
FILES = sorted(path.name for path in (RESULTS / NAME).iterdir())
DAMAGE = {
    "missing": None,
    "empty": b"",
    "torn": b'{"a": [1, 2',
    "a list": b"[1, 2]\n",
    "nested too deep": b"[" * 100_000,
    "bytes": bytes(range(256)) * 10,
}
COMMANDS = {
    "status": ["status", NAME],
    "stop": ["stop", NAME],
    "replay": ["replay", NAME],
    "study copy": ["study", "copy", NAME, "--to", "sqlite:///copy.db"],
    "export": ["export", NAME, "--as", "copied"],
    "regenerate": ["regenerate", NAME, "--check"],
}


OFTEN = ("missing", "torn")
"""Kinds of damage that are tried in every run of the tests; the others take as long again each."""


@pytest.mark.costly
@pytest.mark.parametrize(
    ("damage", "is_listed"),
    [
        pytest.param(damage, is_listed, marks=[] if is_listed and damage in OFTEN else pytest.mark.slow)
        for damage in DAMAGE
        for is_listed in (True, False)
    ],
)
@pytest.mark.parametrize("file", FILES)
def test_damage_is_one_line_and_nothing_is_written(
    file: str,
    damage: str,
    is_listed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = CampaignFolder(tmp_path / "results" / NAME)
    shutil.copytree(RESULTS / NAME, folder.path)
    content = DAMAGE[damage]
    if content is None:
        (folder.path / file).unlink()
    else:
        (folder.path / file).write_bytes(content)
    if is_listed and file != folder.manifest.name:
        manifest.write_manifest(folder)
    before = list_files(tmp_path)
    for command in COMMANDS.values():
        code = run_command(monkeypatch, tmp_path, *command)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        if code == 2:
            assert captured.err.startswith("error: "), captured
            assert captured.err.count("error: ") == 1
            assert str(Path("results") / NAME) in captured.err.replace("\n", "") or NAME in captured.err
            assert list_files(tmp_path) == before
        else:
            assert code in (0, 1), captured
            for path in (tmp_path / "copy.db", tmp_path / "presets"):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
