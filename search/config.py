"""The settings of a campaign, as a campaign YAML and the options of `preset-search run` give them."""

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
    refuse_without_effect,
)
from core.errors import ConfigError
from core.files import read_yaml
from search.storage.location import resolve_location
from search.study.asha import rung_epochs
from search.study.settings import AshaVariant, FidelityPolicy, SamplerKind, Startup, StudySettings
from search.study.space import SpaceConfig

CAMPAIGN_WINDOW = 16
"""Number of bars that a prediction of a campaign sees, unless its settings name another: with the path from the last
bar, 60 are worth no more on recorded bars of 5 and 15 minutes, and cost 2.3 times as much."""

CAMPAIGN_EPOCH_WINDOWS = 16_384
"""Most windows that an epoch of a trial reads, unless the campaign's settings say otherwise: where train has more, the
first rung comes sooner, and models are as good after the same number of windows."""

CELL_DEFAULTS: dict[str, Any] = {"max_epochs": 6, "asha": "promotion", "policy": "pruned"}
"""Settings of a campaign whose trials are ranked by cells, unless it says otherwise. Values of trials with different
numbers of cells cannot be compared, as folds differ; the policy `pruned` compares those with equal numbers alone."""


def resolve_config(campaign_file: Path | None, source: dict[str, Any], flags: dict[str, Any]) -> CampaignConfig:
    """Return the settings of a campaign: those of its YAML file, overridden by those of the command line.

    Args:
        campaign_file: the campaign YAML; None if there is none.
        source: data settings of the command line, see `core.cli.data_settings`.
        flags: campaign settings of the command line, by name.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, missing, does not fit or can have no effect.
    """
    content = read_yaml(campaign_file) if campaign_file else {}
    where = str(campaign_file) if campaign_file else "command line"
    data = content.get("data") or {}
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: 'data' holds no settings", "Write it as lines of `key: value` below `data:`")
    data = merge_sources(data, source)
    if not any(name in data for name in SOURCES):
        stray = sorted({"store", "exchange", "days", "until", "offline", "interval"} & set(data))
        if stray:
            raise ConfigError(
                f"{', '.join(stray)} describes the data, but no data are named", "Add --symbols, --data or --synthetic"
            )
        data["synthetic"] = {}
    data.setdefault("window", _largest_choice(content.get("space"), "window", CAMPAIGN_WINDOW))
    if "max_epochs" in content | flags and "grace" not in content:
        max_epochs = (content | flags)["max_epochs"]
        flags = {**flags, "grace": min(2, max_epochs) if isinstance(max_epochs, int) and max_epochs > 0 else 2}
    if "confirm" in content:  # the flag asks for a confirmation, and the file says how to run it
        flags = {key: value for key, value in flags.items() if key != "confirm"}
    content = {**content, **flags, "data": data}
    content.setdefault(
        "epoch_windows", max(CAMPAIGN_EPOCH_WINDOWS, _largest_choice(content.get("space"), "batch_size", 0))
    )
    if content.get("cells") is not None:
        content = {**CELL_DEFAULTS, **content}
    if "name" not in content:
        raise ConfigError("The campaign has no name", "Add --name NAME")
    config = parse(CampaignConfig, content, where)
    refuse_without_effect(config.data, source, data.keys() - source.keys())
    return config


def _largest_choice(space: Any, name: str, default: int) -> int:
    """Return the largest of the integers that a space names for a hyperparameter.

    Args:
        space: the space as a campaign YAML gives it, which is not checked yet.
        name: name of the hyperparameter.
        default: what to return where the space does not name any.
    """
    choice = space.get(name) if isinstance(space, dict) else None
    values = choice.get("values", [choice.get("high")]) if isinstance(choice, dict) else None
    if not isinstance(values, list) or not values or not all(isinstance(value, int) for value in values):
        return default
    return int(max(values))


def dry_run_bars(data: DataConfig) -> int:
    """Return how many bars of each symbol a dry run reads: enough for usable validation and test splits.

    Args:
        data: the data settings, whose window, horizon and fractions decide.
    """
    unusable = 2 * data.horizon + max(data.horizon, data.window)
    return max(4500, ceil((550 + unusable) / min(data.val_fraction, data.test_fraction)))


class ConfirmConfig(Config):
    """Settings of the confirmation of the best trials."""

    top: int = Field(default=8, ge=1, le=100)
    """Number of the best full-fidelity trials that the race among them begins with."""
    seeds: int = Field(default=3, ge=1, le=100)
    """Maximum number of trainings of a candidate on each fold, each with a seed that the search did not use."""
    folds: int = Field(default=5, ge=1, le=50)
    """Number of blocks of time, each predicted by trainings on the rows before it."""
    trainings: int = Field(default=61, ge=1, le=100_000)
    """Maximum number of trainings in all, those of the neighbours and the final one included. There are more only where
    the race needs more to begin with all candidates and to train the last of them with two seeds."""
    neighbours: bool = True
    """Train up to six neighbours of the winner, one step each way in its three most important hyperparameters, to see
    whether it is a spike; never where only one trial is confirmed."""


class CellsConfig(Config):
    """Settings of a search whose fidelity is the number of cells: short trainings, each on one fold with one seed."""

    folds: int = Field(default=3, ge=1, le=50)
    """Number of blocks of time before val, each predicted by trainings on the rows before it."""
    seeds: int = Field(default=3, ge=1, le=100)
    """Number of trainings on each fold at full fidelity."""


class CampaignConfig(Config):
    """The settings of one campaign."""

    name: Name
    """Name of the campaign and of its folder under results/."""
    data: DataConfig
    """Settings of the bars, and of the windows, labels and splits made from them."""
    trials: int = Field(default=16, ge=1, le=100_000)
    """Number of trials to run."""
    max_epochs: int = Field(default=18, ge=1, le=10_000)
    """Number of epochs of a trial that is not stopped: full fidelity; where cells are given, that of each cell."""
    cells: CellsConfig | None = None
    """Rank trials by the mean score of their cells, not by their best epoch on val: a trial is trained on one fold
    after the other, then again with further seeds, and ASHA decides after 1, 3, 9, … cells."""
    grace: int = Field(default=2, ge=1)
    """The first rung: the number of epochs after which ASHA may stop a trial."""
    reduction: int = Field(default=3, ge=2)
    """ASHA's reduction factor r: each rung lies at r times the epochs of the one before, and the best 1/r continue."""
    hours: float | None = Field(default=None, gt=0)
    """Total wall-clock hours of all runs of the campaign after which no more trials are started."""
    epochs: int | None = Field(default=None, ge=1)
    """Total number of epochs of all trials after which no more trials are started."""
    convergence: int | None = Field(default=None, ge=1)
    """Number of trials in a row without improving on the best after which no more trials are started."""
    asha: AshaVariant = "stopping"
    """stopping (a trial goes on or ends when it reaches a rung) or promotion (it is paused there, and the best go on
    whenever a process is free)."""
    sampler: SamplerKind = "tpe"
    """tpe (Tree-structured Parzen Estimator), random, or gp (Gaussian process)."""
    startup: Startup = "random"
    """How trials are proposed until the sampler has ten to learn from: random, or sobol (a scrambled Sobol sequence,
    which spreads them evenly over the space; with the sampler random, all trials)."""
    policy: FidelityPolicy = "complete"
    """What the sampler learns of a stopped trial: complete (its last value), pruned (its values so far), full_only
    (nothing)."""
    ask: tuple[str, ...] = ("production_small",)
    """Presets whose hyperparameters are tried first, in at most a quarter of the trials."""
    warm_start: tuple[Name, ...] = ()
    """Earlier campaigns to learn from: the sampler sees all trials of those with the same identity; the winners of
    others are tried first."""
    concurrency: int | None = Field(default=None, ge=1)
    """Maximum number of concurrent trials; as many as the machines have room for if not given. An autoscaling cluster
    grows to this number."""
    attempts: int = Field(default=4, ge=1)
    """Number of deaths in a row of a trial's process, without a new epoch between them, after which the trial fails;
    until then it continues elsewhere. The loss of a node does not count."""
    metric: RankingMetric = "auc"
    """Validation metric that ranks trials; higher is better."""
    schedule: Schedule = "cosine"
    """Learning-rate schedule of every trial, over max_epochs."""
    epoch_windows: int | None = Field(default=None, ge=1)
    """Most windows that an epoch of a trial reads: where train has more, several epochs read all of them once, so that
    the first rung comes sooner. null reads as many as the base preset."""
    base: str = "production_small"
    """Preset that gives the settings that are not searched: label smoothing, and augmentation other than mixup."""
    incumbent: str = "production_small"
    """Preset to beat. The confirmation trains it, with its own epochs and patience, beside the candidates."""
    train_incumbent: bool = False
    """Train the incumbent once in the search, too, to show what it reaches on val; that decides nothing."""
    incumbent_epochs: int | None = Field(default=None, ge=1)
    """Maximum number of epochs of the incumbent, if lower than that of its preset."""
    model: ModelSize | None = None
    """Size of the network; if not given, quick without a GPU and small with one."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of the sampler and of every training."""
    device: Device = "auto"
    """Device on which trials train; auto takes a GPU if there is one."""
    cpus_per_trial: int = Field(default=1, ge=1)
    """Number of CPU cores, and of threads, of one trial."""
    gpus_per_trial: float | None = Field(default=None, ge=0.01)
    """Number of GPUs of one trial, or the share of one, where trials train on GPUs; set by the model if not given."""
    storage: Annotated[str, AfterValidator(resolve_location)] | None = None
    """Storage of the checkpoints: a folder that all nodes share, s3://BUCKET/… or gs://BUCKET/…; the folder of the
    campaign if not given, which is enough for one machine."""
    space: SpaceConfig = SpaceConfig()
    """Range in which each of the six hyperparameters is searched."""
    confirm: ConfirmConfig | None = None
    """Settings of a confirmation right after the search; if not given, `preset-search confirm` starts it."""
    dry_run: bool = False
    """Run a small version of the campaign, to see that everything works on this machine."""

    @property
    def steps(self) -> int:
        """Full fidelity: the number of epochs of a trial, or of its cells."""
        return self.max_epochs if self.cells is None else self.cells.folds * self.cells.seeds

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which ASHA decides, or the numbers of cells."""
        return rung_epochs(self.grace if self.cells is None else 1, self.reduction, self.steps)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.cells is not None and self.train_incumbent:
            raise ValueError("train_incumbent has no effect beside cells: nothing is trained on val then")
        if self.gpus_per_trial is not None and self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
            raise ValueError(f"gpus_per_trial is {self.gpus_per_trial:g}: above 1 it must be an integer")
        if self.cells is None and self.grace > self.max_epochs:
            raise ValueError(f"grace ({self.grace}) is greater than max_epochs ({self.max_epochs})")
        if self.space.window is not None and max(self.space.window.values) > self.data.window:
            raise ValueError(
                f"space.window has {max(self.space.window.values)} bars, but a window of the data has "
                f"{self.data.window}"
            )
        largest = max(self.space.batch_size.values)
        if self.epoch_windows is not None and self.epoch_windows < largest:
            raise ValueError(f"epoch_windows ({self.epoch_windows}) is less than a batch of {largest}")
        return self

    def identity(self, fingerprint: str, version: str, recipe: TrainingConfig) -> str:
        """Return a hash of everything that the value of a trial depends on, except its hyperparameters.

        The values of two campaigns with the same identity can be compared.

        Args:
            fingerprint: fingerprint of the dataset.
            version: `core.__version__`, which stands for the code of the training.
            recipe: training recipe of the trials, with the hyperparameters of the base preset.

        Returns:
            SHA-256, in hexadecimal digits.
        """
        without_effect = {
            "name", "trials", "hours", "epochs", "convergence", "concurrency", "asha", "sampler", "startup", "policy",
            "ask", "warm_start", "attempts", "incumbent", "incumbent_epochs", "train_incumbent", "epoch_windows",
            "device", "cpus_per_trial", "gpus_per_trial", "storage", "space", "base", "confirm",
        }  # fmt: skip
        content = {**self.model_dump(mode="json", exclude=without_effect), "data": self._data_content()}
        if self.cells is None:
            del content["cells"]  # which campaigns begun by earlier versions do not have
        return _hash([content, recipe.model_dump(mode="json"), fingerprint, version])

    def data_identity(self, fingerprint: str, version: str, device: str) -> str:
        """Return a hash of everything that a training depends on, except its recipe.

        Args:
            fingerprint: fingerprint of the dataset.
            version: `core.__version__`, which stands for the code of the training.
            device: kind of device that it runs on: `cpu` or `cuda`.

        Returns:
            SHA-256, in hexadecimal digits.
        """
        return _hash([self._data_content(), fingerprint, version, device])

    def _data_content(self) -> dict[str, Any]:
        """Return the data settings that make a difference, given the fingerprint of the bars."""
        content = self.data.model_dump(mode="json")
        # The fingerprint says which bars these are; where they were read from does not matter.
        for name in ("files", "store", "offline", "until", "days"):
            content.pop(name, None)
        # Settings that campaigns begun by earlier versions do not have.
        for name in ("fill_untraded", "sessions"):
            if not content[name]:
                del content[name]
        return content

    def shrunk(self) -> CampaignConfig:
        """Return the settings of a dry run of this campaign: few trials, few epochs, the quick model."""
        changes: dict[str, Any] = {
            "trials": min(self.trials, 4),
            "max_epochs": min(self.max_epochs, 3),
            "grace": 1,
            "cells": self.cells and CellsConfig(folds=min(self.cells.folds, 3), seeds=1),
            "incumbent_epochs": min(self.incumbent_epochs or 3, 3),
            "model": "quick",
            "dry_run": True,
        }
        return self.model_copy(update=changes)


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def base_values(config: CampaignConfig) -> dict[str, float]:
    """Return the values that hyperparameters have whose conditions do not hold: those of the campaign's base preset.

    Args:
        config: the settings of the campaign.

    Raises:
        ConfigError: the space has conditions, and the base preset is missing or damaged.
    """
    conditions = config.space.conditions()
    if not conditions:
        return {}
    from core.presets import load_preset  # only where it is needed: commands start faster without it

    values = load_preset(config.base).hyperparameters.model_dump()
    return {name: values[name] for name in conditions if name in values}


def study_settings(config: CampaignConfig) -> StudySettings:
    """Return the settings that the proposals of a campaign depend on."""
    pauses = config.rungs if config.asha == "promotion" else ()
    return StudySettings(
        config.name,
        config.space.distributions(),
        config.sampler,
        config.policy,
        config.seed,
        pauses,
        config.startup,
        config.space.conditions(),
        base_values(config),
    )
