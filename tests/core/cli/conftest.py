"""What the tests of the commands share."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from core import presets
from core.config import DataConfig, SyntheticConfig
from core.data.dataset import load_dataset
from core.training.run import train_model
from search.cli.app import main
from tests.helpers.training_commands import Command, Run


@pytest.fixture(autouse=True)
def _own_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A progress bar that thinks it has a terminal would draw over its lines.
    monkeypatch.setenv("TERM", "dumb")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(monkeypatch, capsys)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `preset-search` with these arguments in an empty folder, and return exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRESET_SEARCH_CACHE", "")

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["preset-search", *args])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def one_training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("training")
    data = DataConfig(synthetic=SyntheticConfig(), window=16)
    recipe = presets.load_preset("quick_experiment").training_config(size="quick", metric="macro_f1", seed=0)
    train_model(recipe.with_trainer(epochs=1), data, load_dataset(data), output, device="cpu")
    return output


@pytest.fixture
def trained(one_training: Path) -> Path:
    shutil.copytree(one_training, "out")
    return Path("out/checkpoint.pt")
