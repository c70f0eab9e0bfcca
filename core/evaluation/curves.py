"""Draws the curves of a training: its loss and its scores over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.evaluation.history import EpochResult
from core.files import writing


def draw_curves(
    path: Path, title: str, metric: str, history: Sequence[EpochResult], baselines: Mapping[str, float]
) -> None:
    """Draw the curves of a training into a PNG file, which is written whole or not at all.

    Args:
        path: the file to write; its folder is made if it is missing.
        title: the text above the curves.
        metric: the name of the ranking metric.
        history: the results of all epochs, without scores where nothing was held out.
        baselines: score of each baseline in the ranking metric, by its name.

    Raises:
        ConfigError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # it takes half a second to import: only where curves are drawn
    from matplotlib.ticker import MaxNLocator

    has_scores = bool(history[-1].metrics)
    figure = Figure(figsize=(11, 4.2) if has_scores else (6, 4.2), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, 2 if has_scores else 1, squeeze=False)[0]
    epochs = [result.epoch for result in history]
    marker = "o" if len(epochs) < 30 else ""
    panels[0].plot(epochs, [result.train_loss for result in history], marker=marker, markersize=3)
    panels[0].set(title="training loss (comparable within this training only)", xlabel="epoch")
    if has_scores:
        best = history[history[-1].best_epoch - 1]
        scores = panels[1]
        scores.plot(epochs, [result.score for result in history], marker=marker, markersize=3, label=f"model: {metric}")
        scores.plot(best.epoch, best.score, "*", markersize=13, color="C0", label=f"kept: epoch {best.epoch}")
        for colour, (name, score) in enumerate(baselines.items(), start=1):
            scores.axhline(score, linestyle="--", linewidth=1, color=f"C{colour}", label=name)
        scores.set(title=f"{metric} on val (chose the epoch: optimistic)", xlabel="epoch")
        scores.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for panel in panels:
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
    with writing(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
