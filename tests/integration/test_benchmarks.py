"""Every benchmark starts and does what it claims to do, at the smallest size; timings are not checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import HANG_SECONDS, environment, owned

ROOT = Path(__file__).parents[2]


def _python(folder: Path, code: str) -> Any:
    """Run code in a process of its own; returns the JSON in the last line that it prints."""
    with owned(folder):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment(folder) | {"OMP_NUM_THREADS": "1"},
            capture_output=True, text=True, timeout=HANG_SECONDS,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(next(line for line in reversed(done.stdout.splitlines()) if line.startswith(("{", "["))))


def _has_lightning() -> bool:
    try:
        import lightning  # noqa: F401
    except ImportError:
        return False
    return True


needs_lightning = pytest.mark.skipif(not _has_lightning(), reason="lightning, of the bench extra, is not installed")


@pytest.mark.parametrize("side", ["ours", "stock"])
def test_search(tmp_path: Path, side: str) -> None:
    code = (
        f"from pathlib import Path; from benchmarks import search; search.run_{side}(Path({str(tmp_path)!r}), 3, 3, 3)"
    )
    found = _python(tmp_path, code)
    assert (found["results"], found["seconds"] > 0, found["peak"] > 0) == (9, True, True)


def test_asks_of_the_search(tmp_path: Path) -> None:
    code = (
        f"from pathlib import Path; from benchmarks import search; search.ASKS = 20; "
        f"print([search.ask_times(kind, Path({str(tmp_path)!r}), 1) for kind in ('random', 'tpe')])"
    )
    assert all(milliseconds > 0 for milliseconds in _python(tmp_path, code))


@pytest.mark.parametrize("side", ["ours", "stock"])
def test_scale(tmp_path: Path, side: str) -> None:
    (tmp_path / "notes").mkdir()
    code = (
        "import json, time; from pathlib import Path; from benchmarks import scale; scale.WORKERS = 2; "
        f"scale.EPOCH_SECONDS = 0.05; folder = Path({str(tmp_path)!r}); began = time.time(); "
        f"scale.run_{side}(folder, 4, 'random'); print(json.dumps(scale.measure(folder / 'notes', began)))"
    )
    found = _python(tmp_path, code)
    assert found["trials"] == 4
    assert 1 <= found["workers"] <= 4


@pytest.mark.parametrize("side", ["ours", pytest.param("stock", marks=needs_lightning)])
def test_campaign(tmp_path: Path, side: str) -> None:
    code = (
        "import json; from pathlib import Path; from benchmarks import campaign; "
        "from core.config import DataConfig, SyntheticConfig; "
        "campaign.TRIALS, campaign.MAX_EPOCHS, campaign.GRACE, campaign.FOLDS = 2, 1, 1, 1; "
        "campaign._data = lambda bars, window: DataConfig(synthetic=SyntheticConfig(bars=4500), window=window); "
        f"found = campaign.run_{side}(Path({str(tmp_path)!r}), '', 3600); "
        f"print(json.dumps([found, campaign.judge({side!r}, '', found['pick'])]))"
    )
    found, figures = _python(tmp_path, code)
    assert (found["epochs"], found["trials"], len(found["pick"])) == (2, 2, 6)
    assert 0 < figures["macro_f1"] < 1


def test_data(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from benchmarks import data; from core.config import SyntheticConfig; "
        "from core.data.sources import synthetic; "
        f"bars, = synthetic.make_bars(SyntheticConfig(bars=5000), '5m'); path = Path({str(tmp_path)!r}, "
        "f'synthetic_{bars.symbol}_5m.parquet'); bars.frame.to_parquet(path); print(list(data.measure([path])))"
    )
    fresh, cached, _, rows = _python(tmp_path, code)
    assert (fresh > 0, cached > 0, rows > 4000) == (True, True, True)


TRAINING = (
    "import json; from benchmarks import training; from core.config import DataConfig, SyntheticConfig; "
    "from core.data.dataset import load_dataset; training.EPOCHS = 1; "
    "training.data = lambda: load_dataset(DataConfig(synthetic=SyntheticConfig(bars=4500))).without_test(); "
)


@pytest.mark.parametrize("side", ["ours", pytest.param("lightning0", marks=needs_lightning)])
def test_training(tmp_path: Path, side: str) -> None:
    found = _python(tmp_path, f"{TRAINING} print(json.dumps(training.measure({side!r}, 1)))")
    assert found["samples"] > 0


@pytest.mark.parametrize(
    "name", ["network", "network_changes", "campaign", "record_table", "ranking", "simulation", "peers"]
)
def test_a_benchmark_with_options_says_what_they_are(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_check(tmp_path: Path) -> None:
    code = (
        "import json; from pathlib import Path; from benchmarks import check; "
        f"path = Path({str(tmp_path)!r}) / 'binance_BTCUSDT_1m.parquet'; check.write_bars(path, 20_000); "
        "sides = [check.measure(side, path) for side in check.SIDES]; "
        "print(json.dumps([*sides, (check.piece_seconds(path, 4096), 1)]))"
    )
    assert all(seconds > 0 and memory > 0 for seconds, memory in _python(tmp_path, code))
