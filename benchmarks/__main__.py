"""Run every benchmark: `python -m benchmarks`."""

from __future__ import annotations

from benchmarks import campaign, check, data, gaps, proposals, scale, search, training

for benchmark in (data, check, gaps, training, search, proposals, campaign, scale):
    print(f"== {benchmark.__name__}: {(benchmark.__doc__ or '').splitlines()[0]}")
    benchmark.main()
