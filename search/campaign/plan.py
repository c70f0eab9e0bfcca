"""Plans a campaign: checks everything that can be checked before it starts or is resumed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from core import __version__, presets
from core.config import DataConfig, TrainingConfig, check_name, parse
from core.data import summary
from core.data.dataset import Dataset, load_dataset
from core.data.file_format import interval_text, iso
from core.data.sources.fetch import fetch_missing
from core.data.sources.reader import bar_files, read_market
from core.errors import ConfigError
from core.evaluation.report import check_metric_is_defined
from core.files import check_writable, to_yaml
from core.models import memory
from core.models.memory import estimate_memory
from core.presets import Preset
from search.campaign.first_trials import collect_first_trials
from search.campaign.folds import load_folds
from search.cluster.nodes import Node, describe_this_machine
from search.cluster.resources import TrialResources, allocate, choose_device
from search.config import CampaignConfig, ConfirmConfig, dry_run_bars
from search.results.folder import CampaignFolder
from search.results.ledger_entry import Kind, LedgerEntry
from search.results.records import DataRecord
from search.storage.filesystem import Storage
from search.study.samplers import sampler_keywords
from search.study.trial_record import TrialRecord

_SEED_STEP = 1_000_003
"""Distance between the seeds of a trial's cells, which keeps them apart from those of a confirmation."""
CHECKPOINTS = "checkpoints"
"""Folder of the trials' files in the campaign's folder, where no storage is named."""


@dataclass(frozen=True)
class CampaignPlan:
    """A campaign that has been checked and can start.

    Attributes:
        config: the settings, with the model size resolved; shrunk if it is a dry run.
        dataset: the data that trials see: train and val, without test.
        data: description of all the data, test included, as `campaign.yaml` records it.
        base: recipe of a trial, before its hyperparameters are applied.
        incumbent: recipe of the incumbent.
        folder: the folder of the campaign, which receives the results.
        identity: hash of all that a trial's value depends on, see `CampaignConfig.identity`.
        nodes: the machines of the cluster, or this machine alone.
        resources: the share of a machine that each trial gets, and how many trials run at a time.
        folds: the dataset of each fold, with the block that it predicts as test, where trials are ranked by cells.
        asked_first: hyperparameters to try before the sampler proposes any, each with a text that says where they come
            from.
        earlier: names of campaigns with the same identity and their trials, which the sampler learns from.
        notices: what the settings name and the search cannot use, in sentences.
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
    folds: tuple[Dataset, ...] = ()
    asked_first: tuple[tuple[str, dict[str, Any]], ...] = ()
    earlier: tuple[tuple[str, list[TrialRecord]], ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether other machines than this one can take part in the campaign."""
        return self.config.storage is not None or bool(self.nodes[0].identifier)

    @property
    def trial_data(self) -> Dataset | tuple[Dataset, ...]:
        """The data that trials are given: train and val, or the folds before val."""
        return self.folds or self.dataset

    @property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """Fold and seed of each cell of a trial, the latest fold first, all folds before any has a second seed."""
        if self.config.cells is None:
            return ()
        seeds = [(self.config.seed + _SEED_STEP * number) % 2**32 for number in range(self.config.cells.seeds)]
        return tuple((fold, seed) for seed in seeds for fold in reversed(range(len(self.folds))))

    @property
    def checked_node_ids(self) -> frozenset[str] | None:
        """Ray's identifiers of the nodes; None where this machine is the only one."""
        return frozenset(node.identifier for node in self.nodes) if self.nodes[0].identifier else None

    @property
    def data_identity(self) -> str:
        """Hash of all that a training of this campaign depends on except its recipe, see `CampaignConfig`."""
        return self.config.data_identity(self.dataset.fingerprint, __version__, self.resources.device)

    @property
    def backup_storage(self) -> Storage | None:
        """The storage that the campaign's own files are backed up to; None where it lies in the campaign's folder."""
        return None if self.config.storage is None else self.storage

    @property
    def storage(self) -> Storage:
        """The storage that holds the files of all trainings."""
        return storage_of(self.config, self.folder)

    @property
    def common_storage(self) -> Storage | None:
        """The storage that holds the folders of all campaigns; None where files go to this machine's own disk."""
        return None if self.config.storage is None else Storage(self.config.storage)


def storage_of(config: CampaignConfig, folder: CampaignFolder) -> Storage:
    """Return the storage that holds the files of a campaign's trainings.

    Args:
        config: the settings of the campaign.
        folder: the folder of the campaign, which holds the storage where the settings name none.
    """
    if config.storage is None:
        return Storage(str((folder.path / CHECKPOINTS).absolute()))
    return Storage(config.storage).subfolder(config.name)


def plan_campaign(config: CampaignConfig, root: Path, nodes: Sequence[Node] = ()) -> CampaignPlan:
    """Plan a new campaign: check everything that can be checked before a file is written or a process started.

    Args:
        config: the settings of the campaign.
        root: folder of all campaigns.
        nodes: the machines of the cluster; without any, this machine.

    Raises:
        ConfigError: a name, a preset, the search space, the folder or a size cannot be used.
        DataError: the data cannot be used.
    """
    folder = CampaignFolder(root / check_name(config.name, "campaign"))
    check_folder_free(folder.path)
    if config.dry_run:
        config = config.shrunk()
    plan = _plan(config, folder, nodes)
    begin = collect_first_trials(plan.config, plan.identity, root)
    return replace(plan, asked_first=begin.asked_first, earlier=begin.earlier, notices=begin.notices)


def plan_resume(
    name: str, root: Path, trials: int | None, hours: float | None, nodes: Sequence[Node] = ()
) -> CampaignPlan:
    """Plan to resume a campaign where its journal ends: check that it can continue as the same campaign.

    Args:
        name: name of the campaign.
        root: folder of all campaigns.
        trials: new budget of trials, those that have ended included; lifts every other budget that is not named.
        hours: new budget of hours, those of earlier runs included; lifts the budgets of epochs and convergence.
        nodes: the machines of the cluster; without any, this machine.

    Raises:
        ConfigError: a file of the campaign is missing or damaged, or data, presets or program have changed.
        DataError: the data cannot be used.
    """
    folder = CampaignFolder.find(root, name)
    if not folder.journal.is_file():
        raise ConfigError(
            f"{folder.path} has no journal: there is nothing to resume", "Run the campaign under another name"
        )
    config, record = _with_budgets(folder.read_config(), trials, hours), folder.read_record()
    pinned = _with_fixed_end(config, record.data)
    fetch_missing(pinned.data)  # this may be another machine than the one it was started on, still without bars
    resumed = _plan(pinned, folder, nodes)
    recorded, present = record.data.fingerprint, resumed.data["fingerprint"]
    if recorded != present:
        raise ConfigError(
            f"The data are not those that campaign {name} was started on ({recorded[:12]}, now {present[:12]})",
            "Restore the files of bars, or start a new campaign",
        )
    if record.identity != resumed.identity:
        raise ConfigError(
            f"Campaign {name} was started by another version of this program, or its file or base preset was changed",
            "Resume it with the version that its campaign.yaml names, or start a new campaign",
        )
    if record.data.rows and record.data.rows != resumed.data["rows"]:
        raise ConfigError(
            f"This version of the program uses other rows of the data than campaign {name} was started on "
            f"({record.data.rows}, now {resumed.data['rows']})",
            "Resume it with the version that its campaign.yaml names, or start a new campaign",
        )
    if record.incumbent_recipe != resumed.incumbent.model_dump(mode="json"):
        raise ConfigError(
            f"Preset {config.incumbent}, the incumbent, was changed after campaign {name} was started",
            "Restore the preset, or start a new campaign",
        )
    return resumed


def _with_budgets(config: CampaignConfig, trials: int | None, hours: float | None) -> CampaignConfig:
    """Return the settings with new budgets, of which naming one lifts those that are not named."""
    changes: dict[str, Any] = {}
    if trials is not None or hours is not None:
        changes = {"epochs": None, "convergence": None, "hours": hours}
    if trials is not None:
        changes["trials"] = trials
    return parse(CampaignConfig, {**config.model_dump(mode="json"), **changes}, "command line") if changes else config


def _with_fixed_end(config: CampaignConfig, recorded: DataRecord) -> CampaignConfig:
    """Return the settings with the recorded end of the span, so that bars that were added since do not move it.

    Args:
        config: the settings of the campaign.
        recorded: the description of the data in its file.
    """
    data = config.data
    if data.synthetic is not None or data.until is not None or recorded.bar is None:
        return config  # without a recorded bar, the fingerprint tells whether bars were added
    try:
        until = datetime.fromisoformat(recorded.span[1]) + timedelta(microseconds=recorded.bar)
    except ValueError:
        return config
    return config.model_copy(update={"data": data.model_copy(update={"until": until})})


def _plan(config: CampaignConfig, folder: CampaignFolder, nodes: Sequence[Node]) -> CampaignPlan:
    """Check settings, presets, data and machines, and resolve what the settings leave open."""
    config.space.check()
    nodes = tuple(nodes) or (describe_this_machine(),)
    device = choose_device(config, nodes)
    config = config.model_copy(update={"model": config.model or memory.default_size(torch.device(device))})
    base, incumbent = presets.load_preset(config.base), presets.load_preset(config.incumbent)
    for name in config.ask:
        presets.load_preset(name)
    data = data_config_of(config)
    dataset, folds = load_dataset(data), () if config.cells is None else load_folds(data, config.cells.folds)
    check_metric_is_defined(dataset, config.metric)
    for fold in folds:
        check_metric_is_defined(replace(fold, val=fold.test), config.metric)
    if folds and not config.dry_run:  # before hours of search, not after them
        load_folds(data, (config.confirm or ConfirmConfig()).folds, dataset.borders.val)
    for part in (dataset, *folds):
        for batch_size in config.space.batch_size.values:
            part.check_batch_size(batch_size)
    assert config.model is not None  # resolved by now
    base_config = base.training_config(size=config.model, metric=config.metric, seed=config.seed)
    incumbent_config = make_incumbent_recipe(incumbent, config)
    dataset.check_batch_size(incumbent_config.trainer.batch_size)
    for recipe in (base_config, incumbent_config):
        recipe.model.bars_seen(dataset.window)
    windows = {} if config.epoch_windows is None else {"epoch_windows": config.epoch_windows}
    recipe = base_config.with_trainer(epochs=config.max_epochs, patience=None, schedule=config.schedule, **windows)
    max_batch_size = max(*config.space.batch_size.values, incumbent_config.trainer.batch_size)
    memory_bytes = estimate_memory(recipe.model, dataset.features.shape[1], dataset.window, max_batch_size)
    return CampaignPlan(
        config=config,
        dataset=dataset.without_test(),
        data=summary.describe_data(dataset),
        base=recipe,
        incumbent=incumbent_config,
        folder=folder,
        folds=folds,
        identity=config.identity(dataset.fingerprint, __version__, recipe),
        nodes=nodes,
        resources=allocate(config, nodes, device, memory_bytes, sum(part.nbytes for part in (dataset, *folds))),
    )


def make_incumbent_recipe(preset: Preset, config: CampaignConfig) -> TrainingConfig:
    """Make the recipe of an incumbent: the preset's, with no more epochs than the campaign allows.

    Args:
        preset: the preset that is the incumbent.
        config: the settings of the campaign, with the model size resolved.
    """
    assert config.model is not None  # resolved by now
    recipe = preset.training_config(size=config.model, metric=config.metric, seed=config.seed)
    epochs = min(recipe.trainer.epochs, config.incumbent_epochs or recipe.trainer.epochs)
    return recipe.with_trainer(epochs=epochs)


def check_folder_free(folder: Path) -> None:
    """Check that a new campaign can use this folder.

    Args:
        folder: path of the folder, named after the campaign.

    Raises:
        ConfigError: the folder exists already, or cannot be written.
    """
    check_writable(folder)
    if folder.exists():
        raise ConfigError(f"{folder} already exists", "Choose another --name, or remove that folder")


def make_ledger_entry(plan: CampaignPlan, started: str, kind: Kind, read_at: datetime) -> LedgerEntry | None:
    """Make the ledger entry of a campaign; None on the synthetic market.

    Args:
        plan: the planned campaign.
        started: when the campaign was started, in ISO 8601.
        kind: what reads the data.
        read_at: when it does.
    """
    if plan.dataset.is_synthetic:
        return None
    data, borders = plan.config.data, plan.dataset.borders
    paths = bar_files(data)
    blocks = [plan.folds[0].borders.test[0], plan.folds[-1].borders.test[1]] if plan.folds else []
    return LedgerEntry(
        campaign=plan.config.name,
        started=started,
        exchange=",".join(sorted({path.name.split("_")[0] for path in paths})),
        symbols=list(plan.dataset.symbol_names),
        interval=interval_text(plan.dataset.bar),
        val=[iso(edge) for edge in borders.val],
        test=[iso(edge) for edge in borders.test],
        trials=plan.config.trials,
        reads="",
        kind=kind,
        read_at=read_at.isoformat(timespec="seconds"),
        folds=[iso(edge) for edge in blocks],
    )


def data_config_of(config: CampaignConfig) -> DataConfig:
    """Return the data settings that a campaign trains on; a dry run reads the last few bars only.

    Args:
        config: the settings of the campaign.

    Raises:
        DataError: the bars cannot be used.
    """
    data = config.data
    if config.dry_run:
        market = read_market(data)
        bars = dry_run_bars(data)
        days = bars * market.span.bar / 86_400e6
        if market.span.bars > bars:
            data = data.model_copy(update={"days": days})
    return data


def _installed_versions(*packages: str) -> dict[str, str]:
    """Return the versions of those packages that are installed: without Ray, a campaign runs in this process."""
    versions = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def make_campaign_yaml(plan: CampaignPlan, started: datetime) -> str:
    """Make the text of `campaign.yaml`: the settings as given, and what was resolved from them.

    Args:
        plan: the planned campaign, from `plan_campaign` or `plan_resume`.
        started: when the campaign is started.
    """
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
            "versions": _installed_versions("preset-search", "torch", "ray", "optuna"),
        },
    }
    return to_yaml(content)
