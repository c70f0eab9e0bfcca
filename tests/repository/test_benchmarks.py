"""Every benchmark can be started; what it measures is not tested, because machines differ."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if not path.stem.startswith("__"))
WITH_OPTIONS = [name for name in MODULES if "argparse" in (ROOT / "benchmarks" / f"{name}.py").read_text()]


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_can_be_imported(name: str) -> None:
    """An import that is gone, or a signature that its decorators no longer fit, fails here."""
    if name in ("stock_loop",):
        pytest.importorskip("lightning", reason="the side that others would write needs lightning")
    assert importlib.import_module(f"benchmarks.{name}").__doc__


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_a_benchmark_with_options_says_what_they_are(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
