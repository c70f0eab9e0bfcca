"""The settings of a campaign: what a campaign YAML may say."""

from __future__ import annotations

import hashlib
import json
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from core.config import (
    SOURCES,
    Config,
    DataConfig,
    Device,
    ModelSize,
    Name,
    RankingMetric,
    Schedule,
    TrainingConfig,
    merge_sources,
    parse,
)
from core.errors import ConfigError
from core.files import read_yaml
from search.storage.location import resolve_location
from search.study.settings import FidelityPolicy, SamplerKind, StudySettings
from search.study.space import SpaceConfig


def resolve_config(campaign_file: Path | None, source: dict[str, Any], flags: dict[str, Any]) -> CampaignConfig:
    """The settings of a campaign: the YAML's, overridden by the flags.

    Args:
        campaign_file: the campaign YAML, if any.
        source: data settings named by flags.
        flags: campaign settings named by flags.

    Raises:
        ConfigError: a setting is unknown, missing or does not fit.
    """
    content = read_yaml(campaign_file) if campaign_file else {}
    where = str(campaign_file) if campaign_file else "command line"
    data = content.get("data") or {}
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: 'data' holds no settings", "Write it as lines of `key: value` below `data:`")
    data = merge_sources(data, source)
    if not any(kind in data for kind in SOURCES):
        stray = sorted({"store", "exchange", "days", "until", "offline", "interval"} & set(data))
        if stray:
            raise ConfigError(
                f"{', '.join(stray)} was said of the data, but not which data", "Add --symbols, --data or --synthetic"
            )
        data["synthetic"] = {}
    if "max_epochs" in content | flags and "grace" not in content:
        most = (content | flags)["max_epochs"]
        flags = {**flags, "grace": min(2, most) if isinstance(most, int) and most > 0 else 2}
    if "confirm" in content:  # the flag only asks for what the file says how to do
        flags = {key: value for key, value in flags.items() if key != "confirm"}
    content = {**content, **flags, "data": data}
    if "name" not in content:
        raise ConfigError("The campaign has no name", "Add --name NAME")
    return parse(CampaignConfig, content, where)


def dry_run_bars(data: DataConfig) -> int:
    """Bars a symbol that a dry run reads: the fewest with a usable validation window, and some."""
    lost = 2 * data.horizon + max(data.horizon, data.window)
    return max(4500, ceil((550 + lost) / min(data.val_fraction, data.test_fraction)))


class ConfirmConfig(Config):
    """How the best trials are confirmed."""

    top: int = Field(default=3, ge=1, le=100)
    """How many of the best full-fidelity trials are trained again."""
    seeds: int = Field(default=3, ge=1, le=100)
    """Trainings of each fold, each with a seed that the search did not use."""
    folds: int = Field(default=5, ge=1, le=50)
    """Blocks of time that are predicted by trainings on what came before them."""


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
    hours: float | None = Field(default=None, gt=0)
    """Wall-clock hours of all runs of the campaign after which no more trials are asked for."""
    epochs: int | None = Field(default=None, ge=1)
    """Epochs of all trials in all after which no more trials are asked for."""
    convergence: int | None = Field(default=None, ge=1)
    """Trials that end without improving on the best, after which no more are asked for."""
    sampler: SamplerKind = "tpe"
    """tpe (Tree-structured Parzen Estimator), random, or gp (Gaussian process)."""
    policy: FidelityPolicy = "complete"
    """What the sampler is told of a stopped trial: complete (its last value), pruned (its values so far), full_only
    (nothing)."""
    ask: tuple[str, ...] = ("production_small",)
    """Presets whose six values are tried first, a quarter of the trials at most."""
    warm_start: tuple[Name, ...] = ()
    """Earlier campaigns: of one with the same identity the sampler is told all; of others the winner is tried first."""
    concurrency: int | None = Field(default=None, ge=1)
    """Most trials at a time; as many as there is room for if not given. A cluster that grows when it is asked to grows
    to this."""
    attempts: int = Field(default=4, ge=1)
    """How often a trial's process may die; it goes on elsewhere until then."""
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
    gpus_per_trial: float | None = Field(default=None, ge=0.01)
    """GPUs of one trial, or the share of one, where trials train on GPUs; what the model needs if not given."""
    storage: Annotated[str, AfterValidator(resolve_location)] | None = None
    """Where checkpoints go: a folder that all nodes share, s3://BUCKET/… or gs://BUCKET/…; the campaign's folder if not
    given, which does for one machine."""
    space: SpaceConfig = SpaceConfig()
    """Where each of the six hyperparameters is searched."""
    confirm: ConfirmConfig | None = None
    """Confirm the best trials as soon as the search has ended; not before asked to if not given."""
    dry_run: bool = False
    """A small version of the same campaign, to see that everything works here."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.gpus_per_trial is not None and self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
            raise ValueError(f"gpus_per_trial is {self.gpus_per_trial:g}: beyond one, GPUs are given whole")
        if self.grace > self.max_epochs:
            raise ValueError(f"grace ({self.grace}) is beyond max_epochs ({self.max_epochs})")
        return self

    def identity(self, fingerprint: str, version: str, recipe: TrainingConfig) -> str:
        """Hash of all that a trial's value depends on: of two campaigns with the same, values can be compared.

        Args:
            fingerprint: of the data.
            version: of core.
            recipe: of a trial, but for what is searched.
        """
        apart = {
            "name", "trials", "hours", "epochs", "convergence", "concurrency", "sampler", "policy", "ask",
            "warm_start", "attempts", "incumbent", "incumbent_epochs", "device",
            "cpus_per_trial", "gpus_per_trial", "storage", "space", "base", "confirm",
        }  # fmt: skip
        content = self.model_dump(mode="json", exclude=apart)
        # Where the bars lie says nothing of what they are; the fingerprint does.
        for place in ("files", "store", "offline", "until", "days"):
            content["data"].pop(place, None)
        text = json.dumps([content, recipe.model_dump(mode="json"), fingerprint, version], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

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


def study_settings(config: CampaignConfig) -> StudySettings:
    """What the proposals of a campaign depend on."""
    return StudySettings(config.name, config.space.distributions(), config.sampler, config.policy, config.seed)
