"""The settings of a campaign: what a campaign YAML may say."""

from __future__ import annotations

from math import ceil
from typing import Any, Self

from pydantic import Field, model_validator

from core.config import Config, DataConfig, Device, ModelSize, RankingMetric, Schedule
from core.preset import Name
from search.space import SpaceConfig


def dry_run_bars(data: DataConfig) -> int:
    """Bars a symbol that a dry run reads: the fewest with a usable validation window, and some."""
    lost = 2 * data.horizon + max(data.horizon, data.window)
    return max(4500, ceil((550 + lost) / min(data.val_fraction, data.test_fraction)))


class CampaignConfig(Config):
    """One campaign."""

    name: Name
    """Name of the campaign and of its folder under results/."""
    data: DataConfig
    """Which bars, and how they become windows, labels and splits."""
    trials: int = Field(default=16, ge=1, le=100_000)
    """How many trials to run."""
    max_epochs: int = Field(default=18, ge=1, le=10_000)
    """Epochs of a trial that is not stopped: full fidelity."""
    grace: int = Field(default=2, ge=1)
    """The first rung: epochs before ASHA may stop a trial."""
    reduction: int = Field(default=3, ge=2)
    """ASHA's factor: a rung lies at this many times the one before, and keeps the best of this many trials."""
    metric: RankingMetric = "macro_f1"
    """Validation metric that ranks trials; higher is better."""
    schedule: Schedule = "cosine"
    """Learning-rate schedule of every trial, over max_epochs."""
    base: str = "production_small"
    """Preset that gives what is not searched: smoothing, and augmentation beside mixup."""
    incumbent: str = "production_small"
    """Preset to beat, trained once with its own epochs and patience."""
    incumbent_epochs: int | None = Field(default=None, ge=1)
    """Most epochs of the incumbent, if fewer than its preset says."""
    model: ModelSize | None = None
    """Size of the network; quick without a GPU, small with one if not given."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of the sampler and of every training."""
    device: Device = "auto"
    """Where trials train; auto takes a GPU if there is one."""
    cpus_per_trial: int = Field(default=1, ge=1)
    """CPU cores, and threads, of one trial."""
    gpus_per_trial: float = Field(default=1.0, gt=0)
    """GPUs of one trial, where trials train on GPUs."""
    space: SpaceConfig = SpaceConfig()
    """Where each of the six hyperparameters is searched."""
    dry_run: bool = False
    """A small version of the same campaign, to see that everything works here."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.grace > self.max_epochs:
            raise ValueError(f"grace ({self.grace}) is beyond max_epochs ({self.max_epochs})")
        return self

    def shrunk(self) -> CampaignConfig:
        """The dry run of this campaign: few trials, few epochs, the quick model."""
        smaller: dict[str, Any] = {
            "trials": min(self.trials, 4),
            "max_epochs": min(self.max_epochs, 3),
            "grace": 1,
            "incumbent_epochs": min(self.incumbent_epochs or 3, 3),
            "model": "quick",
            "dry_run": True,
        }
        return self.model_copy(update=smaller)
