"""Checks all of a campaign that can be checked before it starts or goes on."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from core import __version__, api, preset
from core.config import DataConfig, TrainingConfig, parse, read_yaml, to_yaml
from core.dataset import Dataset, load
from core.device import resolve_device
from core.errors import ConfigError
from core.files import check_writable
from core.market.reader import read_market
from search import results, study
from search.config import CampaignConfig, dry_run_bars
from search.sampler import sampler_keywords
from search.space import NAMES
from search.study import TrialLog


@dataclass(frozen=True)
class Plan:
    """A campaign that has been checked and can start.

    Attributes:
        config: the settings, shrunk if it is a dry run, model size resolved.
        dataset: what trials see: train and val.
        data: description of all the data, test included.
        base: the recipe of a trial.
        incumbent: the recipe of the incumbent.
        folder: where results go.
        identity: see `CampaignConfig.identity`.
        asked_first: values to try before the sampler proposes any, with where they come from.
        earlier: campaigns of the same identity with their trials, which the sampler is told.
    """

    config: CampaignConfig
    dataset: Dataset
    data: dict[str, Any]
    base: TrainingConfig
    incumbent: TrainingConfig
    folder: Path
    identity: str
    asked_first: tuple[tuple[str, dict[str, Any]], ...] = ()
    earlier: tuple[tuple[str, list[TrialLog]], ...] = ()


def plan(config: CampaignConfig, root: Path) -> Plan:
    """Check all that can be checked before anything is written or started.

    Raises:
        ConfigError: a name, a preset, a space, a folder or a size that cannot be used.
        DataError: data that cannot be used.
    """
    folder = root / preset.check_name(config.name, "campaign")
    check_folder(folder)
    if config.dry_run:
        config = config.shrunk()
    size = config.model or api.default_size(resolve_device(config.device))
    return _with_earlier(_plan(config.model_copy(update={"model": size}), folder), root)


def _with_earlier(planned: Plan, root: Path) -> Plan:
    """The same plan, with what earlier campaigns and presets give it to begin with.

    Of a campaign with the same identity the sampler is told all; of others the winner is tried first. Winners and
    presets that lie in the space make up a quarter of the trials at most.
    """
    config = planned.config
    wanted: list[tuple[str, dict[str, Any]]] = []
    earlier: list[tuple[str, list[TrialLog]]] = []
    for name in config.warm_start:
        folder = results.folder(root, name)
        resolved = read_yaml(folder / results.CONFIG_FILE).get("resolved")
        if isinstance(resolved, dict) and resolved.get("identity") == planned.identity:
            logs = study.read_trials(study.load(folder / results.JOURNAL_FILE, name))
            known = [log for log in logs if log.outcome is not None and config.space.contains(log.params)]
            earlier.append((name, known))
        elif (best := results.winner(results.read_trials(folder))) is not None:
            wanted.append((f"winner of {name}", {key: best[key] for key in NAMES}))
    wanted += [(f"preset {name}", preset.load(name).hyperparameters.model_dump()) for name in config.ask]
    inside = [(origin, params) for origin, params in wanted if config.space.contains(params)]
    different = [item for place, item in enumerate(inside) if item[1] not in [params for _, params in inside[:place]]]
    return replace(planned, asked_first=tuple(different[: config.trials // 4]), earlier=tuple(earlier))


def plan_resume(name: str, root: Path, trials: int | None, hours: float | None) -> Plan:
    """Check that a campaign can go on where its journal ends.

    Args:
        name: the campaign's.
        root: folder of all campaigns.
        trials: trials in all; naming them lifts every other budget that is not named.
        hours: hours in all; likewise, but for the trials.

    Raises:
        ConfigError: it cannot: its files are missing or damaged, or data or program are not what they were.
        DataError: the data cannot be used.
    """
    folder = results.folder(root, name)
    if not (folder / results.JOURNAL_FILE).is_file():
        raise ConfigError(f"{folder} has no journal", "There is nothing to resume; run the campaign under another name")
    path = folder / results.CONFIG_FILE
    content = read_yaml(path)
    if not isinstance(content.get("config"), dict) or not isinstance(content.get("resolved"), dict):
        raise ConfigError(f"{path} is no campaign's", "Restore it from a copy")
    config = parse(CampaignConfig, _extended(content["config"], trials, hours), str(path))
    resumed = _plan(_pinned(config, content["resolved"]), folder)
    before, now = content["resolved"].get("data", {}).get("fingerprint"), resumed.data["fingerprint"]
    if before != now:
        raise ConfigError(
            f"The data are not those that campaign {name} was started on ({str(before)[:12]}, now {now[:12]})",
            "Bring the files back, or start a new campaign",
        )
    if content["resolved"].get("identity") != resumed.identity:
        raise ConfigError(
            f"Campaign {name} was started by another version of this program, or its file or base preset was changed",
            "Resume it with the version that its file names, or start a new campaign",
        )
    if content["resolved"].get("incumbent_recipe") != resumed.incumbent.model_dump(mode="json"):
        raise ConfigError(
            f"Preset {config.incumbent}, the incumbent, is not what it was when campaign {name} was started",
            "Bring it back as it was, or start a new campaign",
        )
    return resumed


def _extended(config: dict[str, Any], trials: int | None, hours: float | None) -> dict[str, Any]:
    """The same settings with other budgets: whoever names one means it, whatever another one said."""
    changed = dict(config)
    if trials is not None or hours is not None:
        changed |= {"epochs": None, "convergence": None, "hours": hours}
    if trials is not None:
        changed["trials"] = trials
    return changed


def _pinned(config: CampaignConfig, resolved: dict[str, Any]) -> CampaignConfig:
    """The same campaign with its span's end said, so that bars that came in since do not move it."""
    data = config.data
    if data.synthetic is not None or data.until is not None:
        return config
    try:
        last = datetime.fromisoformat(resolved["data"]["span"][1])
        until = last + timedelta(microseconds=resolved["data"]["bar"])
    except (KeyError, TypeError, ValueError):
        return config  # the fingerprint decides
    return config.model_copy(update={"data": data.model_copy(update={"until": until})})


def _plan(config: CampaignConfig, folder: Path) -> Plan:
    config.space.check()
    _check_resources(config)
    base, incumbent = preset.load(config.base), preset.load(config.incumbent)
    for asked in config.ask:
        preset.load(asked)
    dataset = load(data_of(config))
    for batch_size in config.space.batch_size.values:
        dataset.check_batch_size(batch_size)
    assert config.model is not None  # resolved by now
    base_config = base.training_config(size=config.model, metric=config.metric, seed=config.seed)
    incumbent_config = incumbent.training_config(size=config.model, metric=config.metric, seed=config.seed)
    dataset.check_batch_size(incumbent_config.trainer.batch_size)
    epochs = min(incumbent_config.trainer.epochs, config.incumbent_epochs or incumbent_config.trainer.epochs)
    recipe = base_config.with_trainer(epochs=config.max_epochs, patience=None, schedule=config.schedule)
    return Plan(
        config=config,
        dataset=dataset.without_test(),
        data=api.describe_data(dataset),
        base=recipe,
        incumbent=incumbent_config.with_trainer(epochs=epochs),
        folder=folder,
        identity=config.identity(dataset.fingerprint, __version__, recipe),
    )


def _check_resources(config: CampaignConfig) -> None:
    """Refuse a trial that this machine has no room for: it would wait for ever."""
    cpus, gpus = os.cpu_count() or 1, torch.cuda.device_count()
    if config.cpus_per_trial > cpus:
        raise ConfigError(f"cpus_per_trial is {config.cpus_per_trial}, this machine has {cpus}", "Ask for fewer")
    if resolve_device(config.device).type == "cuda" and config.gpus_per_trial > gpus:
        raise ConfigError(f"gpus_per_trial is {config.gpus_per_trial:g}, this machine has {gpus}", "Ask for fewer")


def check_folder(folder: Path) -> None:
    """Make sure that a campaign can have this folder.

    Raises:
        ConfigError: the name is taken, or the folder cannot be written.
    """
    check_writable(folder)
    if folder.exists():
        raise ConfigError(f"{folder} already exists", "Choose another --name, or remove that folder")


def data_of(config: CampaignConfig) -> DataConfig:
    """The data settings that a campaign trains on; a dry run's name its last few bars."""
    data = config.data
    if config.dry_run:
        market = read_market(data)
        bars = dry_run_bars(data)
        days = bars * market.span.bar / 86_400e6
        if market.span.bars > bars:
            data = data.model_copy(update={"days": days})
    return data


def describe(planned: Plan, started: datetime) -> str:
    """The text of `campaign.yaml`."""
    content = {
        "config": planned.config.model_dump(mode="json", exclude_none=True),
        "resolved": {
            "started": started.isoformat(timespec="seconds"),
            "identity": planned.identity,
            "data": planned.data,
            "base_recipe": planned.base.model_dump(mode="json"),
            "incumbent_recipe": planned.incumbent.model_dump(mode="json"),
            "sampler": sampler_keywords(planned.config.sampler),
            "versions": {name: version(name) for name in ("preset-search", "torch", "ray", "optuna")},
        },
    }
    return to_yaml(content)
