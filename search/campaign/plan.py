"""Checks all of a campaign that can be checked before it starts or goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from core import __version__, presets
from core.config import HYPERPARAMETER_NAMES, DataConfig, TrainingConfig, check_name, parse
from core.data import summary
from core.data.dataset import Dataset, load_dataset
from core.data.sources.fetch import fetch_missing
from core.data.sources.reader import read_market
from core.errors import ConfigError
from core.files import check_writable, to_yaml
from core.models import memory
from core.models.memory import estimate_memory
from core.presets import Preset
from search.cluster.nodes import Node, describe_this_machine
from search.cluster.resources import TrialResources, allocate, choose_device
from search.config import CampaignConfig, dry_run_bars
from search.results import tables
from search.results.folder import CampaignFolder
from search.storage.filesystem import Storage
from search.study.samplers import sampler_keywords
from search.study.trial_record import TrialRecord

CHECKPOINTS = "checkpoints"
"""Folder of the trials' files in the campaign's, if no other storage is named."""


@dataclass(frozen=True)
class CampaignPlan:
    """A campaign that has been checked and can start.

    Attributes:
        config: the settings, shrunk if it is a dry run, model size resolved.
        dataset: what trials see: train and val.
        data: description of all the data, test included.
        base: the recipe of a trial.
        incumbent: the recipe of the incumbent.
        folder: where results go.
        identity: see `CampaignConfig.identity`.
        nodes: the machines that there are.
        resources: what a trial gets, and how many run at a time.
        asked_first: values to try before the sampler proposes any, with where they come from.
        earlier: campaigns of the same identity with their trials, which the sampler is told.
    """

    config: CampaignConfig
    dataset: Dataset
    data: dict[str, Any]
    base: TrainingConfig
    incumbent: TrainingConfig
    folder: CampaignFolder
    identity: str
    nodes: tuple[Node, ...]
    resources: TrialResources
    asked_first: tuple[tuple[str, dict[str, Any]], ...] = ()
    earlier: tuple[tuple[str, list[TrialRecord]], ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether other machines than this one may have a part in it."""
        return self.config.storage is not None or bool(self.nodes[0].identifier)

    @property
    def checked_node_ids(self) -> frozenset[str] | None:
        """Ray's identifiers of the nodes; None where there is this machine alone."""
        return frozenset(node.identifier for node in self.nodes) if self.nodes[0].identifier else None

    @property
    def backup_storage(self) -> Storage | None:
        """The storage that its own files are copied to; None if that is its folder."""
        return None if self.config.storage is None else self.storage

    @property
    def storage(self) -> Storage:
        """Where the files of its trainings lie."""
        return storage_of(self.config, self.folder)


def storage_of(config: CampaignConfig, folder: CampaignFolder) -> Storage:
    """Where the files of a campaign's trainings lie: in a folder of its own."""
    if config.storage is None:
        return Storage(str((folder.path / CHECKPOINTS).absolute()))
    return Storage(config.storage).subfolder(config.name)


def plan_campaign(config: CampaignConfig, root: Path, nodes: Sequence[Node] = ()) -> CampaignPlan:
    """Check all that can be checked before anything is written or started.

    Args:
        config: the settings.
        root: folder of all campaigns.
        nodes: the machines that there are; without any, this one.

    Raises:
        ConfigError: a name, a preset, a space, a folder or a size that cannot be used.
        DataError: data that cannot be used.
    """
    folder = CampaignFolder(root / check_name(config.name, "campaign"))
    check_folder_free(folder.path)
    if config.dry_run:
        config = config.shrunk()
    return _with_earlier(_plan(config, folder, nodes), root)


def _with_earlier(plan: CampaignPlan, root: Path) -> CampaignPlan:
    """The same plan, with what earlier campaigns and presets give it to begin with.

    Of a campaign with the same identity the sampler is told all; of others the winner is tried first. Winners and
    presets that lie in the space make up a quarter of the trials at most.
    """
    config = plan.config
    wanted: list[tuple[str, dict[str, Any]]] = []
    earlier: list[tuple[str, list[TrialRecord]]] = []
    for name in config.warm_start:
        folder = CampaignFolder.find(root, name)
        if folder.read_record().identity == plan.identity:
            trials = folder.read_journal()
            known = [trial for trial in trials if trial.outcome is not None and config.space.contains(trial.params)]
            earlier.append((name, known))
        elif (best := tables.find_winner(folder.read_trials())) is not None:
            wanted.append((f"winner of {name}", {key: best[key] for key in HYPERPARAMETER_NAMES}))
    wanted += [(f"preset {name}", presets.load_preset(name).hyperparameters.model_dump()) for name in config.ask]
    inside = [(origin, params) for origin, params in wanted if config.space.contains(params)]
    different = [item for place, item in enumerate(inside) if item[1] not in [params for _, params in inside[:place]]]
    return replace(plan, asked_first=tuple(different[: config.trials // 4]), earlier=tuple(earlier))


def plan_resume(
    name: str, root: Path, trials: int | None, hours: float | None, nodes: Sequence[Node] = ()
) -> CampaignPlan:
    """Check that a campaign can go on where its journal ends.

    Args:
        name: the campaign's.
        root: folder of all campaigns.
        trials: trials in all; naming them lifts every other budget that is not named.
        hours: hours in all; likewise, but for the trials.
        nodes: the machines that there are; without any, this one.

    Raises:
        ConfigError: it cannot: its files are missing or damaged, or data or program are not what they were.
        DataError: the data cannot be used.
    """
    folder = CampaignFolder.find(root, name)
    if not folder.journal.is_file():
        raise ConfigError(
            f"{folder.path} has no journal", "There is nothing to resume; run the campaign under another name"
        )
    config, record = _with_budgets(folder.read_config(), trials, hours), folder.read_record()
    pinned = _pinned(config, record.data)
    fetch_missing(pinned.data)  # on another machine than the one that it was begun on, there may be no store yet
    resumed = _plan(pinned, folder, nodes)
    before, now = record.data.get("fingerprint"), resumed.data["fingerprint"]
    if before != now:
        raise ConfigError(
            f"The data are not those that campaign {name} was started on ({str(before)[:12]}, now {now[:12]})",
            "Bring the files back, or start a new campaign",
        )
    if record.identity != resumed.identity:
        raise ConfigError(
            f"Campaign {name} was started by another version of this program, or its file or base preset was changed",
            "Resume it with the version that its file names, or start a new campaign",
        )
    if record.incumbent_recipe != resumed.incumbent.model_dump(mode="json"):
        raise ConfigError(
            f"Preset {config.incumbent}, the incumbent, is not what it was when campaign {name} was started",
            "Bring it back as it was, or start a new campaign",
        )
    return resumed


def _with_budgets(config: CampaignConfig, trials: int | None, hours: float | None) -> CampaignConfig:
    """Return the settings with other budgets: naming one lifts those that are not named."""
    changes: dict[str, Any] = {}
    if trials is not None or hours is not None:
        changes = {"epochs": None, "convergence": None, "hours": hours}
    if trials is not None:
        changes["trials"] = trials
    return parse(CampaignConfig, {**config.model_dump(mode="json"), **changes}, "command line") if changes else config


def _pinned(config: CampaignConfig, recorded: Mapping[str, Any]) -> CampaignConfig:
    """The same campaign with its span's end said, so that bars that came in since do not move it."""
    data = config.data
    if data.synthetic is not None or data.until is not None:
        return config
    try:
        last = datetime.fromisoformat(recorded["span"][1])
        until = last + timedelta(microseconds=recorded["bar"])
    except (KeyError, TypeError, ValueError):
        return config  # the fingerprint decides
    return config.model_copy(update={"data": data.model_copy(update={"until": until})})


def _plan(config: CampaignConfig, folder: CampaignFolder, nodes: Sequence[Node]) -> CampaignPlan:
    config.space.check()
    nodes = tuple(nodes) or (describe_this_machine(),)
    device = choose_device(config, nodes)
    config = config.model_copy(update={"model": config.model or memory.default_size(torch.device(device))})
    base, incumbent = presets.load_preset(config.base), presets.load_preset(config.incumbent)
    for asked in config.ask:
        presets.load_preset(asked)
    dataset = load_dataset(data_config_of(config))
    for batch_size in config.space.batch_size.values:
        dataset.check_batch_size(batch_size)
    assert config.model is not None  # resolved by now
    base_config = base.training_config(size=config.model, metric=config.metric, seed=config.seed)
    incumbent_config = incumbent_recipe(incumbent, config)
    dataset.check_batch_size(incumbent_config.trainer.batch_size)
    recipe = base_config.with_trainer(epochs=config.max_epochs, patience=None, schedule=config.schedule)
    largest = max(*config.space.batch_size.values, incumbent_config.trainer.batch_size)
    need = estimate_memory(recipe.model, dataset.features.shape[1], dataset.window, largest)
    return CampaignPlan(
        config=config,
        dataset=dataset.without_test(),
        data=summary.describe_data(dataset),
        base=recipe,
        incumbent=incumbent_config,
        folder=folder,
        identity=config.identity(dataset.fingerprint, __version__, recipe),
        nodes=nodes,
        resources=allocate(config, nodes, device, need, dataset.nbytes),
    )


def incumbent_recipe(preset: Preset, config: CampaignConfig) -> TrainingConfig:
    """Return the recipe of an incumbent: the preset's own, with no more epochs than the campaign allows it."""
    assert config.model is not None  # resolved by now
    recipe = preset.training_config(size=config.model, metric=config.metric, seed=config.seed)
    epochs = min(recipe.trainer.epochs, config.incumbent_epochs or recipe.trainer.epochs)
    return recipe.with_trainer(epochs=epochs)


def check_folder_free(folder: Path) -> None:
    """Make sure that a campaign can have this folder.

    Raises:
        ConfigError: the name is taken, or the folder cannot be written.
    """
    check_writable(folder)
    if folder.exists():
        raise ConfigError(f"{folder} already exists", "Choose another --name, or remove that folder")


def data_config_of(config: CampaignConfig) -> DataConfig:
    """The data settings that a campaign trains on; a dry run's name its last few bars."""
    data = config.data
    if config.dry_run:
        market = read_market(data)
        bars = dry_run_bars(data)
        days = bars * market.span.bar / 86_400e6
        if market.span.bars > bars:
            data = data.model_copy(update={"days": days})
    return data


def campaign_yaml(plan: CampaignPlan, started: datetime) -> str:
    """The text of `campaign.yaml`."""
    content = {
        "config": plan.config.model_dump(mode="json", exclude_none=True),
        "resolved": {
            "started": started.isoformat(timespec="seconds"),
            "device": plan.resources.device,
            "identity": plan.identity,
            "data": plan.data,
            "base_recipe": plan.base.model_dump(mode="json"),
            "incumbent_recipe": plan.incumbent.model_dump(mode="json"),
            "sampler": sampler_keywords(plan.config.sampler),
            "versions": {name: version(name) for name in ("preset-search", "torch", "ray", "optuna")},
        },
    }
    return to_yaml(content)
