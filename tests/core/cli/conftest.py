"""What the tests of the commands share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core import presets
from core.config import DataConfig, SyntheticConfig
from core.data.dataset import load_dataset
from core.training.run import train_model
from tests.helpers.training_commands import Run


@pytest.fixture(autouse=True)
def _own_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A progress bar that thinks it has a terminal would draw over its lines.
    monkeypatch.setenv("TERM", "dumb")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(monkeypatch, capsys)


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
