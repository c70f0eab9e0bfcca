"""Plans a confirmation: checks the campaign and lists the trainings, candidates x seeds x folds, before any starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from core import presets
from core.config import TrainingConfig, parse
from core.data import file_format
from core.data.dataset import Dataset, load_dataset
from core.errors import ConfigError
from core.files import write_json
from search.campaign.folds import load_folds
from search.campaign.plan import (
    CampaignPlan,
    data_config_of,
    make_incumbent_recipe,
    make_ledger_entry,
    plan_resume,
)
from search.cluster.nodes import Node
from search.config import ConfirmConfig
from search.confirmation.shared_cells import is_shared
from search.confirmation.subject import ConfirmationSubject, Contender
from search.results import manifest, tables
from search.results.folder import VERDICT_FILE
from search.results.ledger_entry import LedgerEntry
from search.results.manifest import SEARCH_FILES
from search.results.predictions import INCUMBENT, TEST
from search.results.records import ConfirmationRecord, RankedTrial

COST_OF_EVALUATION = 0.35
"""Time that evaluating a row takes, as a fraction of the time that training on a row takes."""


@dataclass(frozen=True)
class Candidate(Contender):
    """A contender with the recipe to confirm.

    Attributes:
        recipe: the whole recipe; its seed is replaced in each cell.
        expected_epochs: number of epochs that a training is expected to run, for the estimate of the time.
    """

    recipe: TrainingConfig
    expected_epochs: int


@dataclass(frozen=True)
class Cell:
    """One training of a confirmation.

    Attributes:
        candidate: the candidate that is trained.
        seed: seed of the training.
        split: `fold 1` and so on for the out-of-fold trainings, or `test` for the final one.
    """

    candidate: Candidate
    seed: int
    split: str

    @property
    def recipe(self) -> TrainingConfig:
        """The whole recipe, with the seed of the cell."""
        return self.candidate.recipe.with_trainer(seed=self.seed)

    def key(self, identity: str, folds: int, within: tuple[int, int] | None = None) -> str:
        """Return a hash of all that the result of the cell depends on, by which a finished cell is found again.

        Args:
            identity: hash of the data and the program, see `CampaignConfig.data_identity`.
            folds: number of folds, which decides where each of them lies.
            within: where their blocks begin and end, in microseconds since 1970; None if they lie before val.
        """
        content = [
            self.recipe.model_dump(mode="json"),
            self.split,
            folds,
            identity,
            *([list(within)] if within else []),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class ConfirmationPlan:
    """A confirmation that has been checked and can start.

    Attributes:
        campaign: the campaign as it was started.
        settings: number of candidates, seeds and folds.
        incumbent: name of the preset to beat.
        named_incumbent: the preset that was named in place of the campaign's own incumbent; None if none was.
        candidates: the best trials, the best first, then the incumbent.
        dataset: the splits of the campaign, test included, for the final training alone.
        folds: the dataset of each fold, with its own train, an inner val, and as test the block that it predicts.
        ledger_entry: the entry for the ledger on what the folds read, before test; None on the synthetic market.
        journal_size: size in bytes of the campaign's journal when the confirmation was planned.
        missing: number of trainings that are not finished, without the final one.
        seconds: time that these are expected to take, one after the other.
    """

    campaign: CampaignPlan
    settings: ConfirmConfig
    incumbent: str
    named_incumbent: str | None
    candidates: tuple[Candidate, ...]
    dataset: Dataset
    folds: tuple[Dataset, ...]
    ledger_entry: LedgerEntry | None
    journal_size: int
    missing: int
    seconds: float

    def key(self, cell: Cell) -> str:
        """Return the key by which the result of a cell is kept.

        Args:
            cell: a cell of this confirmation, the final training included.
        """
        return cell.key(self.campaign.data_identity, self.settings.folds, _confirmed_span(self.campaign))

    def entry_for(self, final: Cell) -> LedgerEntry | None:
        """Return the ledger entry to append now, before test is read; None on the synthetic market.

        Args:
            final: the final training, whose predictions of test are read.
        """
        if self.ledger_entry is None:
            return None
        read_at = datetime.now(UTC).isoformat(timespec="seconds")
        reads = final.key(self.campaign.identity, 0)
        return replace(self.ledger_entry, kind="confirmation", reads=reads, read_at=read_at)

    @property
    def cells(self) -> list[Cell]:
        """All trainings but the final one, sorted by fold and seed, so that all candidates progress alike."""
        return [
            Cell(candidate, seed, f"fold {fold}")
            for fold in range(len(self.folds), 0, -1)  # the longest trainings first
            for seed in self.seeds
            for candidate in self.candidates
        ]

    @property
    def seeds(self) -> list[int]:
        """Seeds of the trainings of each candidate, none of which the search used."""
        return _seeds(self.campaign, self.settings)

    def candidate(self, number: int) -> Candidate:
        """Return the candidate of a trial.

        Args:
            number: number of the trial.
        """
        return next(candidate for candidate in self.candidates if candidate.number == number)

    @property
    def subject(self) -> ConfirmationSubject:
        """The campaign, the contenders and the data that the verdict is about."""
        folder = self.campaign.folder
        return ConfirmationSubject(
            folder=folder,
            record=folder.read_record(),
            seeds=tuple(self.seeds),
            folds=self.settings.folds,
            incumbent=self.incumbent,
            contenders=self.candidates,
            dataset=self.dataset,
        )

    def dataset_of(self, cell: Cell) -> Dataset:
        """Return the dataset that a cell is trained on, with the rows that it predicts as test.

        Args:
            cell: a cell of this confirmation, the final training included.
        """
        return self.dataset if cell.split == TEST else self.folds[int(cell.split.split()[1]) - 1]


def plan_confirmation(
    name: str,
    root: Path,
    settings: ConfirmConfig | Mapping[str, int] | None = None,
    incumbent: str | None = None,
    nodes: Sequence[Node] = (),
) -> ConfirmationPlan:
    """Plan the confirmation of a campaign: check that it can be confirmed, and list the trainings.

    Args:
        name: name of the campaign.
        root: folder of all campaigns.
        settings: number of candidates, seeds and folds; those that are left out are the campaign's own.
        incumbent: preset to beat; None for the campaign's own incumbent.
        nodes: the machines of the cluster; without any, this machine.

    Raises:
        ConfigError: the campaign has no full-fidelity trial, a file of it is missing or damaged, data, presets or
            program have changed, or the confirmation was begun with other settings.
        DataError: the data cannot be used, or are too few for the number of folds.
    """
    campaign = plan_resume(name, root, None, None, nodes)
    config, journal_size = campaign.config, campaign.folder.journal.stat().st_size
    _check_search_results(campaign)
    settings, incumbent = _agreed_settings(campaign, settings, incumbent)
    trials = campaign.folder.read_trials()
    best_trials = campaign.folder.read_ranked_trials()[: settings.top]
    if not best_trials:
        raise ConfigError(f"Campaign {name} has no full-fidelity trial to confirm", "Resume it with more --trials")
    data = data_config_of(config)
    folds = load_folds(data, settings.folds, _confirmed_span(campaign))
    dataset = load_dataset(data)
    preset = presets.load_preset(incumbent or config.incumbent)
    recipe = campaign.incumbent if incumbent is None else make_incumbent_recipe(preset, config)
    epochs = _incumbent_epochs(campaign) if incumbent is None else recipe.trainer.epochs
    candidates = [_make_candidate(campaign, trial) for trial in best_trials]
    candidates.append(Candidate(INCUMBENT, preset.hyperparameters.model_dump(), recipe, epochs))
    for fold in folds:
        for candidate in candidates:
            fold.check_batch_size(candidate.recipe.trainer.batch_size)
    seconds_per_epoch = float(trials["seconds"].sum() / max(trials["epochs"].sum(), 1))
    seconds_per_row = seconds_per_epoch / _epoch_cost(campaign.dataset)
    plan = ConfirmationPlan(
        campaign=campaign,
        settings=settings,
        incumbent=preset.name,
        named_incumbent=incumbent,
        candidates=tuple(candidates),
        dataset=dataset,
        folds=folds,
        ledger_entry=_make_ledger_entry(campaign, folds, len(trials)),
        journal_size=journal_size,
        missing=0,
        seconds=0.0,
    )
    missing = _missing_cells(plan)
    rows = sum(cell.candidate.expected_epochs * _epoch_cost(plan.dataset_of(cell)) for cell in missing)
    return replace(plan, missing=len(missing), seconds=rows * seconds_per_row)


def _make_candidate(campaign: CampaignPlan, trial: RankedTrial) -> Candidate:
    """Make the candidate of a trial."""
    recipe = trial.hyperparameters.apply(campaign.base)
    return Candidate(trial.number, trial.hyperparameters.model_dump(), recipe, campaign.config.max_epochs)


def _confirmed_span(campaign: CampaignPlan) -> tuple[int, int] | None:
    """Return where the folds of the confirmation lie: in val if trials were ranked before it; None for before val."""
    return None if campaign.config.cells is None else campaign.dataset.borders.val


def _missing_cells(plan: ConfirmationPlan) -> list[Cell]:
    """Return the cells that are not finished; of candidates with the same recipe, one."""
    cells = {plan.key(cell): cell for cell in plan.cells}
    folder = plan.campaign.folder
    return [cell for key, cell in cells.items() if folder.read_cell(key) is None and not is_shared(folder, key)]


def _agreed_settings(
    campaign: CampaignPlan, named: ConfirmConfig | Mapping[str, int] | None, named_incumbent: str | None
) -> tuple[ConfirmConfig, str | None]:
    """Return the settings and the named incumbent of the confirmation, which stay those that it was begun with.

    With other settings it would be another confirmation, and test would be read twice. Only an incumbent whose training
    failed may be replaced: nothing can have been read without one to compare with.

    Args:
        campaign: the campaign to confirm.
        named: the settings that the caller names.
        named_incumbent: the incumbent that the caller names; None if none.

    Raises:
        ConfigError: the confirmation was begun with other settings than those named.
    """
    recorded = campaign.folder.read_confirmation()
    if recorded is None:
        return _updated(campaign.config.confirm or ConfirmConfig(), named), named_incumbent
    begun, incumbent = recorded.settings, recorded.incumbent
    if named_incumbent not in (None, incumbent) and _incumbent_failed(campaign, begun, incumbent):
        incumbent = named_incumbent
    if _updated(begun, named) != begun or named_incumbent not in (None, incumbent):
        options = {**begun.model_dump(), **({"incumbent": incumbent} if incumbent else {})}
        text = " ".join(f"--{name} {value}" for name, value in options.items())
        raise ConfigError(
            f"The confirmation of {campaign.config.name} was begun with {text}",
            "Continue it with these settings, or leave the options out",
        )
    return begun, incumbent


def _updated(settings: ConfirmConfig, named: ConfirmConfig | Mapping[str, int] | None) -> ConfirmConfig:
    """Return the settings with those that the caller names in their place."""
    if isinstance(named, ConfirmConfig):
        return named
    return parse(ConfirmConfig, {**settings.model_dump(), **(named or {})}, "confirm")


def _incumbent_failed(campaign: CampaignPlan, settings: ConfirmConfig, named: str | None) -> bool:
    """Return whether a training of the incumbent is finished and failed.

    Args:
        campaign: the campaign to confirm.
        settings: the settings that the confirmation was begun with.
        named: the incumbent that it was begun with; None for the campaign's own.
    """
    recipe = campaign.incumbent if named is None else make_incumbent_recipe(presets.load_preset(named), campaign.config)
    candidate = Candidate(INCUMBENT, {}, recipe, recipe.trainer.epochs)
    cells = [
        Cell(candidate, seed, f"fold {fold + 1}")
        for seed in _seeds(campaign, settings)
        for fold in range(settings.folds)
    ]
    keys = [cell.key(campaign.data_identity, settings.folds, _confirmed_span(campaign)) for cell in cells]
    records = [campaign.folder.read_cell(key) for key in keys]
    return any(record is not None and not record.is_complete for record in records)


def _seeds(campaign: CampaignPlan, settings: ConfirmConfig) -> list[int]:
    return [(campaign.config.seed + 1 + offset) % 2**32 for offset in range(settings.seeds)]


def check_unchanged(plan: ConfirmationPlan) -> None:
    """Check, with the journal locked, that no other process has changed the campaign since the plan was made.

    Args:
        plan: the planned confirmation, from `plan_confirmation`.

    Raises:
        ConfigError: the search went on, or another confirmation has ended.
    """
    folder, name = plan.campaign.folder, plan.campaign.config.name
    if folder.journal.stat().st_size != plan.journal_size or manifest.manifest_lists(folder, VERDICT_FILE):
        raise ConfigError(
            f"Another process worked on campaign {name} while its confirmation was planned",
            "Run the same command again",
        )


def record_settings(plan: ConfirmationPlan) -> None:
    """Record the settings that a confirmation is begun with, so that it cannot be continued with others.

    Args:
        plan: the planned confirmation, from `plan_confirmation`.

    Raises:
        ConfigError: the folder cannot be written.
    """
    record = ConfirmationRecord(settings=plan.settings, incumbent=plan.named_incumbent)
    write_json(plan.campaign.folder.confirmation_settings, record.model_dump(mode="json"))


def _check_search_results(campaign: CampaignPlan) -> None:
    """Check, before hours of training, that the files of the search are all there and unchanged."""
    folder = campaign.folder
    manifest.check_manifest(folder, SEARCH_FILES)
    trials = folder.read_journal()
    tables.check_trial_outputs(folder, campaign.storage, trials)


def _epoch_cost(dataset: Dataset) -> float:
    """Return how long an epoch takes, in rows that could be trained on meanwhile."""
    return len(dataset.train) + COST_OF_EVALUATION * len(dataset.val)


def _incumbent_epochs(campaign: CampaignPlan) -> int:
    """Return how many epochs the incumbent's training ran in the search; its limit where that is not recorded."""
    with suppress(ConfigError):
        if (recorded := campaign.folder.read_incumbent()) is not None:
            return max(len(recorded.epochs), 1)
    return campaign.incumbent.trainer.epochs


def _make_ledger_entry(campaign: CampaignPlan, folds: Sequence[Dataset], trials: int) -> LedgerEntry | None:
    """Make the ledger entry of a confirmation, without the hash of the final training; None on the synthetic market.

    Args:
        campaign: the campaign to confirm.
        folds: the dataset of each fold, in their order in time.
        trials: number of trials of the search.
    """
    started = str(campaign.folder.read_record().started)
    entry = make_ledger_entry(campaign, started, "folds", datetime.now(UTC))
    blocks = [folds[0].borders.test[0], folds[-1].borders.test[1]]
    return entry and replace(entry, trials=trials, folds=[file_format.iso(edge) for edge in blocks])
