"""`preset-search data check` of one large file: seconds and peak memory, beside those of the dataset that it speaks of.

The file holds 5,000,000 bars of a minute (nine and a half years) with taker flow: a random walk, written to a temporary
folder. Each side runs in a process of its own, so that the peak of memory is its own; the check's seconds include the
start of the program.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.memory import peak

BARS = 5_000_000
PIECES = (4096, 16_384, 65_536, 262_144)


def write_bars(path: Path, count: int) -> None:
    """Write a random walk of `count` bars of a minute, with taker flow."""
    import pandas as pd

    rng = np.random.default_rng(7)
    close = 30_000 * np.exp(np.cumsum(rng.normal(0, 7e-4, count)))
    opened = np.concatenate([close[:1], close[:-1]])
    above, below = np.abs(rng.normal(0, 3e-4, (2, count)))
    volume = rng.lognormal(2, 1, count)
    bought = volume * rng.beta(5, 5, count)
    columns = {
        "timestamp": pd.date_range("2015-01-01", periods=count, freq="1min", tz="UTC"),
        "open": opened,
        "high": np.maximum(opened, close) * (1 + above),
        "low": np.minimum(opened, close) * (1 - below),
        "close": close,
        "volume": volume,
        "quote_volume": volume * close,
        "trades": np.ceil(3 * volume),
        "taker_buy_base": bought,
        "taker_buy_quote": bought * close,
    }
    pd.DataFrame(columns).to_parquet(path)


def run_check(path: Path) -> None:
    """Run the command, as the command line does."""
    from search.cli.app import main as command

    sys.argv = ["preset-search", "data", "check", str(path)]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            command()
        except SystemExit as ended:
            if ended.code:
                raise


def run_dataset(path: Path) -> None:
    """Make the whole dataset of the same file, with all its features."""
    from core.config import DataConfig
    from core.data.dataset import load_dataset

    load_dataset(DataConfig(files=(path,)))


SIDES = {"check": run_check, "dataset": run_dataset}


def measure(side: str, path: Path) -> tuple[float, float]:
    """Seconds of a process that runs one side, and its peak memory in MiB."""
    environment = {**os.environ, "PRESET_SEARCH_CACHE": ""}
    command = [sys.executable, "-m", "benchmarks.check", side, str(path)]
    started = time.perf_counter()
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return time.perf_counter() - started, float(output.split()[-1])


def piece_seconds(path: Path, rows: int) -> float:
    """Seconds of a processor that all features of a file take, computed in pieces of so many rows."""
    from core.data.bars import read_bar_file
    from core.data.features import registry

    bars = read_bar_file(path)
    columns = {name: bars.frame[name].to_numpy() for name in bars.frame.columns[1:]} | {"timestamp": bars.opened}
    features = registry.available_features(list(columns))
    registry._PIECE = rows
    started = time.process_time()
    for _ in registry.compute_in_pieces(columns, features):
        pass
    return time.process_time() - started


def main(count: int = BARS) -> None:
    """Print a line for each side, how much less the check takes, and what pieces of several lengths take."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "binance_BTCUSDT_1m.parquet"
        write_bars(path, count)
        found = {side: measure(side, path) for side in SIDES}
        write_bars(path, count // 10)
        pieces = {rows: piece_seconds(path, rows) for rows in PIECES}
    for side, (seconds, memory) in found.items():
        print(f"{side:8s} of {count:,} bars: {seconds:6.2f} s, {memory:6.0f} MiB at the peak")
    (seconds, memory), (all_seconds, all_memory) = found["check"], found["dataset"]
    print(f"the check takes {seconds / all_seconds:.2f}x the seconds and {memory / all_memory:.2f}x the memory")
    for rows, seconds in pieces.items():
        print(f"features of {count // 10:,} bars in pieces of {rows:7,} rows: {seconds:5.2f} s of a processor")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        SIDES[sys.argv[1]](Path(sys.argv[2]))
        print(peak())
    else:
        main()
