"""An import against the layers fails lint: each kind is planted into a copy of the sources and has to be found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLANTS = {
    "core reaches for Ray": ("core/training/run.py", "import ray"),
    "core reaches for search": ("core/presets/library.py", "import search.config"),
    "data reach for the training": ("core/data/dataset.py", "from core.training import trainer"),
    "bars reach for the dataset": ("core/data/bars.py", "from core.data import dataset"),
    "the study reaches for the campaign": ("search/study/controller.py", "from search.campaign import plan"),
    "results reach for the engine": ("search/results/manifest.py", "from search.engine import job"),
    "a campaign reaches for Ray": ("search/campaign/run.py", "from ray import tune"),
    "the engine reaches for Optuna": ("search/engine/tasks.py", "import optuna"),
    "the remote package reaches for Ray": ("search/remote/archive.py", "import ray"),
    "statistics reach for the settings": ("search/statistics/sharpe.py", "import search.config"),
    "a package that no layer names": ("search/reports.py", "import search.cli.app"),
    "a file of the data that no layer names": ("core/data/extra.py", "from core.data import bars"),
    "a new file in a package": ("search/statistics/extra.py", "from search.campaign import plan"),
}


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for name in ("core", "search"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    done = _lint(folder)
    assert done.returncode == 0, done.stdout
    return folder


@pytest.mark.costly
@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_import_fails_lint(sources: Path, plant: str) -> None:
    name, line = PLANTS[plant]
    path = sources / name
    before = path.read_text() if path.exists() else None
    future = "from __future__ import annotations\n"
    text = before or future
    path.write_text(text.replace(future, f"{future}\n{line}\n", 1))
    try:
        done = _lint(sources)
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert done.returncode == 1, done.stdout
    assert name.removesuffix(".py").replace("/", ".") in done.stdout
