"""Compute a metric of your own on the recorded predictions of a campaign, with a confidence interval.

    python examples/own_metric.py
    python examples/own_metric.py results my-campaign

The metric is the precision of the BUY and SELL calls out of fold: the share of them whose label has the same direction.
Rows are not independent: the interval resamples blocks of time, as long as the verdict's for direction AUC.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from core.data import HOLD
from core.evaluation import Interval, confidence_interval
from search import CampaignFolder
from search.results import INCUMBENT, probabilities_of
from search.statistics import resample


def precision_of_calls(table: pd.DataFrame, block: int) -> Interval:
    """Compute the share of the BUY and SELL calls that are right, with its 95 % interval.

    Args:
        table: predictions of one training on each fold.
        block: length of a block of the bootstrap, in bars.
    """
    calls = probabilities_of(table).argmax(axis=1)
    instants, position = np.unique(table["timestamp"].to_numpy(), return_inverse=True)
    called = np.bincount(position, weights=calls != HOLD)
    right = np.bincount(position, weights=(calls != HOLD) & (calls == table["label"].to_numpy()))
    resampling = resample(len(instants), block, np.random.default_rng(0))
    weights = resampling.weights  # the first row counts each instant once
    return confidence_interval((weights @ right) / (weights @ called), resampling.blocks)


def main(root: Path, name: str) -> None:
    """Print the metric of a confirmed campaign's winner and incumbent."""
    folder = CampaignFolder.find(root, name)
    verdict = folder.read_verdict()
    if verdict is None:
        sys.exit(f"{name} is not confirmed: it has no predictions out of fold")
    predictions = folder.read_predictions()
    out_of_fold = predictions[predictions["split"].str.startswith("fold")]
    for title, number in (("winner", verdict.winner.trial), ("incumbent", INCUMBENT)):
        for seed, table in out_of_fold[out_of_fold["number"] == number].groupby("seed"):
            figure = precision_of_calls(table, verdict.method.block_bars["direction_auc"])
            print(f"{title}, seed {seed}: {figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}]")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(Path(sys.argv[1]), sys.argv[2])
    else:
        main(Path(__file__).parents[1] / "results", "btc-eth-15m-8m")
