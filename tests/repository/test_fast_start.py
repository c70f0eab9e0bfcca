"""What commands that only look at files may import: a second of imports is a second that a person waits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.costly

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "sklearn", "scipy", "pandas", "pyarrow", "matplotlib", "ccxt", "ray", "talib")
RUN = """
import atexit, json, os, sys
listed = os.dup(2)
atexit.register(lambda: os.write(listed, ("\\nIMPORTED " + json.dumps(sorted(sys.modules))).encode()))
sys.argv = json.loads(sys.argv[1])
if sys.argv[0] == "preset-search":
    from search.__main__ import main
else:
    from core.cli.app import main
main()
"""


def _imported(folder: Path, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(words)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    modules: list[str] = json.loads(done.stderr.rpartition("IMPORTED ")[2])
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize(
    "line",
    [
        "preset-search --help",
        "preset-search run --help",
        "preset-search resume --help",
        "preset-search stop --help",
        "preset-search export --help",
        "preset-search verify --help",
        "preset-search launch --help",
        "preset-search confirm --help",
        "preset-search data --help",
        "preset-search status btc-eth-15m-8m --results {results}",
        "preset-search presets list",
        "preset-search presets show production_small",
        "preset-search presets diff production_small conservative",
        "preset-search presets check",
        "preset-train --help",
        "preset-train predict --help",
        "preset-train update --help",
    ],
)
def test_it_starts_without_what_takes_long_to_import(line: str, tmp_path: Path) -> None:
    assert _imported(tmp_path, *line.format(results=ROOT / "results").split()).isdisjoint({*HEAVY, "optuna", "numpy"})


def test_a_command_that_needs_them_imports_them(tmp_path: Path) -> None:
    words = ("preset-search", "replay", "btc-eth-15m-8m", "--results", str(ROOT / "results"))
    assert {"optuna", "numpy"} <= _imported(tmp_path, *words)  # or this file shows nothing


def test_the_guides_functions_can_be_imported_from_core() -> None:
    code = (
        "import sys, core; assert 'torch' not in sys.modules; from core import quick_start_training as q; q.__doc__[0]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
