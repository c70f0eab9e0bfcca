"""Plans a confirmation: checks the campaign and lists the trainings, candidates x seeds x folds, before any starts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from core import presets
from core.data import file_format
from core.data.dataset import Dataset, load_dataset
from core.errors import ConfigError
from core.evaluation.metrics import ranking_score
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
from search.confirmation.candidates import Candidate, Cell
from search.confirmation.race import CellKey, Race, RaceRules, expected_cells
from search.confirmation.settings import agreed_settings, confirmed_span, seeds_of
from search.confirmation.shared_cells import is_shared
from search.confirmation.subject import ConfirmationSubject
from search.results import manifest, tables
from search.results.folder import VERDICT_FILE
from search.results.ledger_entry import LedgerEntry
from search.results.manifest import SEARCH_FILES
from search.results.predictions import INCUMBENT, TEST
from search.results.records import CellRecord, ConfirmationRecord, RankedTrial

MAX_NEIGHBOURS = 6
"""Most neighbours of the winner that are trained: one step each way in three hyperparameters."""
COST_OF_EVALUATION = 0.35
"""Time that evaluating a row takes, as a fraction of the time that training on a row takes."""


@dataclass(frozen=True)
class ConfirmationPlan:
    """A confirmation that has been checked and can start.

    Attributes:
        campaign: the campaign as it was started.
        settings: number of candidates, seeds, folds and trainings.
        incumbent: name of the preset to beat.
        named_incumbent: the preset that was named in place of the campaign's own incumbent; None if none was.
        candidates: the best trials, the best first, then the incumbent.
        dataset: the splits of the campaign, test included, for the final training alone.
        folds: the dataset of each fold, with its own train, an inner val, and as test the block that it predicts.
        ledger_entry: the entry for the ledger on what the folds read, before test; None on the synthetic market.
        journal_size: size in bytes of the campaign's journal when the confirmation was planned.
        expected: number of trainings that the race takes if no candidate turns out to be far behind.
        missing: number of these that are not finished.
        seconds: time that the missing ones are expected to take, one after the other.
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
    expected: int
    missing: int
    seconds: float

    def key(self, cell: Cell) -> str:
        """Return the key by which the result of a cell is kept.

        Args:
            cell: a cell of this confirmation, the final training included.
        """
        return cell.key(self.campaign.data_identity, self.settings.folds, confirmed_span(self.campaign))

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
    def rules(self) -> RaceRules:
        """The candidates and the cells of the race, and how many trainings it may take."""
        splits = tuple(f"fold {fold}" for fold in range(len(self.folds), 0, -1))  # the longest trainings first
        numbers = tuple(candidate.number for candidate in self.candidates if candidate.number != INCUMBENT)
        rules = RaceRules(numbers, tuple(self.seeds), splits, self.settings.trainings - 1 - self.reserved)
        return replace(rules, trainings=max(rules.trainings, rules.needed_trainings()))

    @property
    def reserved(self) -> int:
        """Number of trainings that the race leaves for the neighbours of the winner, one for each.

        There are none beside a single trial, which nothing was chosen among: such a confirmation is to be cheap.
        """
        return MAX_NEIGHBOURS if self.settings.neighbours and len(self.candidates) > 2 else 0

    @property
    def most(self) -> int:
        """Maximum number of trainings in all, those of the neighbours and the final one included."""
        beside = MAX_NEIGHBOURS * len(self.folds) if self.reserved else 0
        return min(self.rules.trainings + self.reserved, len(self.cells) + beside) + 1

    @property
    def cells(self) -> list[Cell]:
        """All trainings that the race may consist of, in the order of its rounds."""
        return [Cell(candidate, seed, split) for seed, split in self.rules.rounds for candidate in self.candidates]

    @property
    def seeds(self) -> list[int]:
        """Seeds of the trainings of each candidate, none of which the search used."""
        return seeds_of(self.campaign, self.settings)

    def cell(self, key: CellKey) -> Cell:
        """Return the training that a cell of the race stands for.

        Args:
            key: number of the candidate, seed and fold.
        """
        return Cell(self.candidate(key.number), key.seed, key.split)

    def score(self, record: CellRecord) -> float | None:
        """Return the score that the race compares a training by; None if it failed.

        Args:
            record: the record of a finished cell.
        """
        if not record.is_complete:
            return None
        held_out = {name: math.nan if value is None else value for name, value in record.held_out.items()}
        return ranking_score(held_out, self.campaign.config.metric)

    def candidate(self, number: int) -> Candidate:
        """Return the candidate of a trial.

        Args:
            number: number of the trial.
        """
        return next(candidate for candidate in self.candidates if candidate.number == number)

    @property
    def subject(self) -> ConfirmationSubject:
        """The campaign, the contenders and the data that the verdict is about, before any candidate is dropped."""
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

    def subject_after(self, race: Race) -> ConfirmationSubject:
        """Return what the verdict is about, without the candidates that were dropped because they were behind.

        Args:
            race: the race, which is over.
        """
        # A failed candidate was not dropped for its scores, so that it is none that the winner was chosen among.
        behind = {drop.number for drop in race.dropped if drop.reason != "failed"}
        contenders = tuple(candidate for candidate in self.candidates if candidate.number not in behind)
        return replace(self.subject, seeds=race.seeds, contenders=contenders, dropped=len(behind))

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
        settings: settings of the confirmation; those that are left out are the campaign's own.
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
    settings, incumbent = agreed_settings(campaign, settings, incumbent)
    trials = campaign.folder.read_trials()
    best_trials = campaign.folder.read_ranked_trials()[: settings.top]
    if not best_trials:
        raise ConfigError(f"Campaign {name} has no full-fidelity trial to confirm", "Resume it with more --trials")
    data = data_config_of(config)
    folds = load_folds(data, settings.folds, confirmed_span(campaign))
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
        expected=0,
        missing=0,
        seconds=0.0,
    )
    expected, missing = _expected_cells(plan)
    rows = sum(cell.candidate.expected_epochs * _epoch_cost(plan.dataset_of(cell)) for cell in missing)
    return replace(plan, expected=expected, missing=len(missing), seconds=rows * seconds_per_row)


def _make_candidate(campaign: CampaignPlan, trial: RankedTrial) -> Candidate:
    """Make the candidate of a trial."""
    recipe = trial.hyperparameters.apply(campaign.base)
    return Candidate(trial.number, trial.hyperparameters.model_dump(), recipe, campaign.config.max_epochs)


def _expected_cells(plan: ConfirmationPlan) -> tuple[int, list[Cell]]:
    """Return how many trainings the race is expected to take, and those of them that are not finished.

    Of candidates with the same recipe, one counts as not finished: they share their trainings.
    """
    folder, scores = plan.campaign.folder, dict[CellKey, float | None]()
    for cell in plan.cells:
        if (record := folder.read_cell(plan.key(cell))) is not None:
            scores[CellKey(cell.candidate.number, cell.seed, cell.split)] = plan.score(record)
    expected = expected_cells(plan.rules, scores)
    missing = {plan.key(cell): cell for cell in (plan.cell(key) for key in expected if key not in scores)}
    return len(expected), [cell for key, cell in missing.items() if not is_shared(folder, key)]


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
