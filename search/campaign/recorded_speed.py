"""Finds in the results of earlier campaigns how long an epoch of a new one takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from core.errors import PresetSearchError
from search.config import CampaignConfig
from search.results.folder import CampaignFolder

_EVALUATION_COST = 1 / 3
"""Cost of evaluating a window relative to that of training on it: the backward pass takes twice the forward pass."""


class RecordedSpeed(NamedTuple):
    """Says how long a step of a trial takes, by the campaign that it was measured in.

    Attributes:
        campaign: name of that campaign.
        seconds: seconds of a step of the new campaign: an epoch, or the training of a cell.
    """

    campaign: str
    seconds: float


def find_speed(root: Path, config: CampaignConfig, device: str, rows: Mapping[str, int]) -> RecordedSpeed | None:
    """Estimate how long a step of a campaign takes, from the newest campaign like it that has results.

    Like it is one that trained a network of the same size on the same kind of device with as many cores, and ranked
    trials in the same way. The time is taken to be proportional to the number of windows and to their length.

    Args:
        root: folder of all campaigns.
        config: the settings of the new campaign.
        device: kind of device that its trials train on.
        rows: its number of windows, by split.

    Returns:
        the speed; None if there is no such campaign.
    """
    folders = [folder for folder in map(CampaignFolder, root.glob("*")) if folder.curves_table.is_file()]
    for folder in sorted(folders, key=lambda folder: folder.curves_table.stat().st_mtime, reverse=True):
        try:
            earlier, record, curves = folder.read_config(), folder.read_record(), folder.read_curves()
        except PresetSearchError:  # damaged, or of another version: the next one may do
            continue
        median = float(curves["seconds"].median())
        if _likeness(earlier, record.device) == _likeness(config, device) and math.isfinite(median):
            return RecordedSpeed(folder.name, median * _cost(config, rows) / _cost(earlier, record.data.rows))
    return None


def _likeness(config: CampaignConfig, device: str | None) -> tuple[object, ...]:
    """Return what two campaigns must have in common for their speeds to be compared."""
    return config.model, device, config.cpus_per_trial, config.cells is None


def _cost(config: CampaignConfig, rows: Mapping[str, int]) -> float:
    """Return the cost of a step, in bars that the network is trained on."""
    trained = min(rows["train"], config.epoch_windows or rows["train"])
    epochs = 1 if config.cells is None else config.max_epochs
    return epochs * config.data.window * (trained + _EVALUATION_COST * rows["val"])
