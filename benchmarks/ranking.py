"""What ranks: how well each figure of a trial agrees with what the same configuration reaches later in time.

`python -m benchmarks.ranking [TABLE]` reads the recorded trainings of `benchmarks.record_table`. Their last fold plays
the campaign: its val is what trials are ranked by today, its later block is the truth. The earlier folds are cells that
a search could rank by instead. For each figure and each way to take it, the table shows Spearman's rank correlation
over the configurations with the truth, with a 95 % interval from drawing configurations again, and the truth of the
best tenth by that figure, in standard deviations over all configurations. The truth is that of the last epochs; where
configurations are ranked by their best epoch, it is that of this epoch, which a training would keep.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

FIGURES = ("macro_f1", "mcc", "balanced_accuracy", "auc", "direction_auc", "nll")
TRUTHS = ("auc", "direction_auc", "nll", "macro_f1")
LAST = 3
"""Number of last epochs that a curve's end is the mean of."""
DRAWS = 1000
TABLE = Path("benchmarks/tables/btc-eth-15m.parquet")


def curves(table: pd.DataFrame, column: str, fold: int) -> pd.DataFrame:
    """Return a figure of the first seed on a fold, higher is better: a row a configuration, a column an epoch."""
    part = table[(table["fold"] == fold) & (table["seed"] == 0)]
    values = part.pivot_table(index="configuration", columns="epoch", values=column)
    return -values if column.endswith("nll") else values


WAYS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "best epoch": lambda values: values.max(axis=1),
    "last epoch": lambda values: values.iloc[:, -1],
    f"mean of the last {LAST}": lambda values: values.iloc[:, -LAST:].mean(axis=1),
}
"""Ways to take one figure of a curve."""


def scores(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Return everything that configurations could be ranked by, by name."""
    *earlier, last = sorted(table["fold"].unique())
    found: dict[str, pd.Series] = {}
    for figure in FIGURES:
        for way, take in WAYS.items():
            found[f"val, {figure}, {way}"] = take(curves(table, f"val_{figure}", last))
        end = WAYS[f"mean of the last {LAST}"]
        cells = [end(curves(table, f"later_{figure}", fold)) for fold in earlier]
        found[f"first cell, {figure}"] = cells[0]
        found[f"{len(cells)} cells, {figure}"] = sum(cells[1:], cells[0]) / len(cells)
    for figure in ("nll", "auc", "direction_auc"):
        found[f"val by the network alone, {figure}"] = WAYS["last epoch"](curves(table, f"network_{figure}", last))
    cells_name = f"{len(earlier)} cells"
    for source, name_of in (("val", f"val, {{}}, mean of the last {LAST}"), (cells_name, f"{cells_name}, {{}}")):
        direction = _z(found[name_of.format("direction_auc")])
        for figure in ("macro_f1", "auc", "nll"):
            found[f"{source}, {figure} + direction_auc (z-scores)"] = _z(found[name_of.format(figure)]) + direction
    return found


def _z(values: pd.Series) -> pd.Series:
    return (values - values.mean()) / values.std()


def truth_of(table: pd.DataFrame, name: str, truth: str, at_end: pd.Series) -> pd.Series:
    """Return what configurations reach later in time that are ranked by a figure.

    Args:
        table: the recorded trainings.
        name: name of what ranks, as in `scores`.
        truth: the figure that counts later in time.
        at_end: that figure at the end of the trainings.
    """
    if not name.endswith("best epoch"):
        return at_end
    last = table["fold"].max()
    on_val, later = (curves(table, column, last) for column in (f"val_{name.split(', ')[1]}", f"later_{truth}"))
    chosen = on_val.to_numpy().argmax(axis=1)
    return pd.Series(later.to_numpy()[np.arange(len(later)), chosen], index=later.index)


def _correlations(score: np.ndarray, truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation in each draw of configurations, `[draws, N]`."""
    ranks = [rankdata(values[draws], axis=1) for values in (score, truth)]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    norms = [np.sqrt((rank**2).sum(axis=1)) for rank in centred]
    return np.asarray((centred[0] * centred[1]).sum(axis=1) / (norms[0] * norms[1]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, nargs="?", default=TABLE)
    table = pd.read_parquet(parser.parse_args().table)
    last = table["fold"].max()
    found = pd.DataFrame(scores(table)).dropna()
    at_end = {t: WAYS[f"mean of the last {LAST}"](curves(table, f"later_{t}", last)) for t in TRUTHS}
    rng = np.random.default_rng(0)
    draws = rng.integers(len(found), size=(DRAWS, len(found)))
    print(f"{len(found)} configurations\n\n| ranked by | " + " | ".join(f"later {t}" for t in TRUTHS) + " |")
    print("|" + "---|" * (1 + len(TRUTHS)))
    for name in map(str, found):
        cells = []
        for t in TRUTHS:
            score, truth = found[name].to_numpy(), truth_of(table, name, t, at_end[t])[found.index].to_numpy()
            drawn = _correlations(score, truth, draws)
            low, high = np.quantile(drawn, [0.025, 0.975])
            best = np.argsort(-score)[: max(len(score) // 10, 1)]
            gain = (truth[best].mean() - truth.mean()) / truth.std()
            whole = _correlations(score, truth, np.arange(len(score))[None])[0]
            cells.append(f"{whole:.2f} ({low:.2f} to {high:.2f}), {gain:+.1f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
