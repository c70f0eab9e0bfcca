"""From bar files to a ready dataset: seconds and memory at 1, 2 and 4 symbols, and from the cache.

Files of 72,000 synthetic 5-minute bars with taker flow (250 days) are written to a temporary folder.
Each size runs in a process of its own, so that the peak of memory is its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.memory import peak

BARS = 72_000


def measure(paths: list[Path]) -> tuple[float, float, float, int]:
    """Seconds of a first and of a second load, added peak memory in MiB, and rows."""
    from core.config import DataConfig
    from core.data.dataset import load_dataset

    before = peak()
    config = DataConfig(files=tuple(paths))
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        dataset = load_dataset(config)
        seconds.append(time.perf_counter() - started)
    added = peak() - before
    return seconds[0], seconds[1], added, len(dataset.timestamps)


def main() -> None:
    """Print a line a size, each beside the smallest."""
    from core.config import SyntheticConfig
    from core.data.sources import synthetic

    with tempfile.TemporaryDirectory() as folder:
        names = ("AAA", "BBB", "CCC", "DDD")
        paths = []
        for bars in synthetic.make_bars(SyntheticConfig(bars=BARS, symbols=names, correlation=0.6), "5m"):
            paths.append(Path(folder) / f"synthetic_{bars.symbol}_5m.parquet")
            bars.frame.to_parquet(paths[-1])
        first: float | None = None
        for count in (1, 2, 4):
            command = [sys.executable, "-m", "benchmarks.data", *map(str, paths[:count])]
            environment = {**os.environ, "PRESET_SEARCH_CACHE": str(Path(folder) / "cache")}
            output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
            fresh, cached, added, rows = map(float, output.split())
            first = first or fresh
            print(
                f"{rows:9,.0f} rows: {fresh:6.2f} s ({fresh / first:4.2f}x the smallest), cached {cached:5.3f} s "
                f"({fresh / cached:4.0f}x faster), {added:5.0f} MiB added at the peak"
            )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(*measure([Path(name) for name in sys.argv[1:]]))
    else:
        main()
