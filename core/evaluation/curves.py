"""The picture of a training: its loss and its scores over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.evaluation.history import EpochResult
from core.files import writing


def draw_curves(
    path: Path, title: str, metric: str, history: Sequence[EpochResult], yardsticks: Mapping[str, float]
) -> None:
    """Write the training curves as PNG, whole or not at all.

    Args:
        path: the file.
        title: above the picture.
        metric: the ranking metric.
        history: a result an epoch; without scores where nothing was held out.
        yardsticks: the ranking metric of what needs no network, by name.

    Raises:
        ConfigError: it cannot be written.
    """
    from matplotlib.figure import Figure  # it takes half a second to import: only where a picture is drawn
    from matplotlib.ticker import MaxNLocator

    scored = bool(history[-1].metrics)
    figure = Figure(figsize=(11, 4.2) if scored else (6, 4.2), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(1, 2 if scored else 1, squeeze=False)[0]
    epochs = [result.epoch for result in history]
    marker = "o" if len(epochs) < 30 else ""
    axes[0].plot(epochs, [result.train_loss for result in history], marker=marker, markersize=3)
    axes[0].set(title="training loss (its scale is this recipe's own)", xlabel="epoch")
    if scored:
        best = history[history[-1].best_epoch - 1]
        right = axes[1]
        right.plot(epochs, [result.score for result in history], marker=marker, markersize=3, label=f"model: {metric}")
        right.plot(best.epoch, best.score, "*", markersize=13, color="C0", label=f"kept: epoch {best.epoch}")
        for place, (name, value) in enumerate(yardsticks.items(), start=1):
            right.axhline(value, linestyle="--", linewidth=1, color=f"C{place}", label=name)
        right.set(title=f"{metric} on val (chose the epoch: optimistic)", xlabel="epoch")
        right.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for each in axes:
        each.xaxis.set_major_locator(MaxNLocator(integer=True))
        each.grid(alpha=0.3)
    with writing(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
