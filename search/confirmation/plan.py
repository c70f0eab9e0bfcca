"""What a confirmation trains: candidates x seeds x folds, planned and checked before anything starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core import presets
from core.config import HYPERPARAMETER_NAMES, DataConfig, Hyperparameters, TrainingConfig, parse
from core.data import file_format
from core.data.dataset import Dataset, fit_dataset, load_dataset
from core.data.sources.reader import bar_files, read_market
from core.data.splits import fold_borders
from core.errors import ConfigError
from core.files import reading, write_json
from search.campaign.plan import CampaignPlan, data_config_of, make_incumbent_recipe, plan_resume
from search.cluster.nodes import Node
from search.config import ConfirmConfig
from search.results import manifest, tables
from search.results.folder import ROW_FILE
from search.results.ledger_entry import LedgerEntry
from search.results.manifest import SEARCH_FILES
from search.results.predictions import INCUMBENT, TEST
from search.study.trial_record import COMPLETE

MIN_ROWS = 100
"""Fewest usable rows of a fold's parts: all folds are judged together, so one alone may be small."""
COST_OF_EVALUATION = 0.35
"""Of an epoch on a row that is evaluated, in terms of one that is trained on."""


@dataclass(frozen=True)
class Candidate:
    """A recipe to confirm.

    Attributes:
        number: of the trial that it is from, or `INCUMBENT`.
        hyperparameters: its six hyperparameters, by name.
        recipe: all of it; the seed is set for each cell.
        expected_epochs: how many a training will take, as far as is known.
    """

    number: int
    hyperparameters: dict[str, Any]
    recipe: TrainingConfig
    expected_epochs: int

    @property
    def name(self) -> str:
        """For people."""
        return "incumbent" if self.number == INCUMBENT else f"trial {self.number}"


@dataclass(frozen=True)
class Cell:
    """One training: of a candidate, with a seed, on a fold (from 1), or the final one, which reads test."""

    candidate: Candidate
    seed: int
    split: str

    @property
    def recipe(self) -> TrainingConfig:
        """The whole recipe."""
        return self.candidate.recipe.with_trainer(seed=self.seed)

    def key(self, identity: str, folds: int) -> str:
        """Hash of all that its outcome depends on: a cell that was done is found again, another is not taken for it."""
        content = [self.recipe.model_dump(mode="json"), self.split, folds, identity]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class ConfirmationPlan:
    """A confirmation that has been checked and can start.

    Attributes:
        campaign: the campaign as it was begun.
        settings: how many of what.
        incumbent: name of the preset to beat.
        named_incumbent: how it was named, if it is not the campaign's own.
        candidates: the best trials, best first, then the incumbent.
        dataset: the main splits, test included: for the final training alone.
        folds: a dataset a fold: its train, its inner val, and as test its block.
        ledger_entry: the entry for the ledger, without the training that is read; None for the synthetic market.
        missing: how many trainings are not done yet, but for the final one.
        seconds: what they are expected to take, one after the other.
    """

    campaign: CampaignPlan
    settings: ConfirmConfig
    incumbent: str
    named_incumbent: str | None
    candidates: tuple[Candidate, ...]
    dataset: Dataset
    folds: tuple[Dataset, ...]
    ledger_entry: LedgerEntry | None
    missing: int
    seconds: float

    def cell_folder(self, cell: Cell) -> Path:
        """Return the folder that keeps the result of a cell."""
        return _cell_folder(self.campaign, cell, self.settings.folds)

    def entry_for(self, final: Cell) -> LedgerEntry | None:
        """Return the ledger entry to append before the final training is read on test."""
        if self.ledger_entry is None:
            return None
        return replace(self.ledger_entry, reads=final.key(self.campaign.identity, 0))

    @property
    def cells(self) -> list[Cell]:
        """All but the final training; by fold and seed first, so that every candidate comes along alike."""
        return [
            Cell(candidate, seed, f"fold {fold}")
            for fold in range(len(self.folds), 0, -1)  # the longest trainings first
            for seed in self.seeds
            for candidate in self.candidates
        ]

    @property
    def seeds(self) -> list[int]:
        """Seeds that the search did not use."""
        return _seeds(self.campaign, self.settings)

    def dataset_of(self, cell: Cell) -> Dataset:
        """What a cell trains on and predicts."""
        return self.dataset if cell.split == TEST else self.folds[int(cell.split.split()[1]) - 1]


def plan_confirmation(
    name: str,
    root: Path,
    settings: ConfirmConfig | Mapping[str, int] | None = None,
    incumbent: str | None = None,
    nodes: Sequence[Node] = (),
) -> ConfirmationPlan:
    """Check that a campaign can be confirmed.

    Args:
        name: the campaign's.
        root: folder of all campaigns.
        settings: how many of what; what is not said of it is the campaign's own.
        incumbent: preset to beat; the campaign's own if not given.
        nodes: the machines that there are; without any, this one.

    Raises:
        ConfigError: it cannot: it has no full-fidelity trial, or its files, data or program are not what they were.
        DataError: data that cannot be used, or too few for so many folds.
    """
    campaign = plan_resume(name, root, None, None, nodes)
    config = campaign.config
    _check_searched(campaign)
    settings, incumbent = _agreed_settings(campaign, settings, incumbent)
    trials = campaign.folder.read_trials()
    best = tables.rank_trials(trials)[: settings.top]
    if not best:
        raise ConfigError(f"Campaign {name} has no full-fidelity trial to confirm", "Resume it with more --trials")
    data = data_config_of(config)
    folds = _folds(data, settings.folds)
    dataset = load_dataset(data)
    rival = presets.load_preset(incumbent or config.incumbent)
    recipe = campaign.incumbent if incumbent is None else make_incumbent_recipe(rival, config)
    candidates = [_candidate(campaign, row) for row in best]
    epochs = _epochs_of_incumbent(campaign) if incumbent is None else recipe.trainer.epochs
    candidates.append(Candidate(INCUMBENT, rival.hyperparameters.model_dump(), recipe, epochs))
    for fold in folds:
        for candidate in candidates:
            fold.check_batch_size(candidate.recipe.trainer.batch_size)
    rate = float(trials["seconds"].sum() / max(trials["epochs"].sum(), 1)) / _work(campaign.dataset)
    plan = ConfirmationPlan(
        campaign=campaign,
        settings=settings,
        incumbent=rival.name,
        named_incumbent=incumbent,
        candidates=tuple(candidates),
        dataset=dataset,
        folds=folds,
        ledger_entry=None if dataset.is_synthetic else _ledger_entry(campaign, dataset, len(trials)),
        missing=0,
        seconds=0.0,
    )
    missing = _missing(plan)
    work = sum(cell.candidate.expected_epochs * _work(plan.dataset_of(cell)) for cell in missing)
    return replace(plan, missing=len(missing), seconds=work * rate)


def _candidate(campaign: CampaignPlan, row: Mapping[str, Any]) -> Candidate:
    """Return the candidate that a row of the trials table stands for."""
    values = {name: row[name] for name in HYPERPARAMETER_NAMES}
    recipe = Hyperparameters(**values).apply(campaign.base)
    return Candidate(int(row["number"]), values, recipe, campaign.config.max_epochs)


def _folds(data: DataConfig, count: int) -> tuple[Dataset, ...]:
    market = read_market(data)
    folds = fold_borders(market.span, data, count)
    return tuple(fit_dataset(market, data, borders, min_rows=MIN_ROWS) for borders in folds)


def _missing(plan: ConfirmationPlan) -> list[Cell]:
    folds = plan.settings.folds
    cells = {cell.key(plan.campaign.identity, folds): cell for cell in plan.cells}  # one recipe is trained once
    return [cell for cell in cells.values() if _status(plan.campaign, cell, folds) is None]


def _agreed_settings(
    campaign: CampaignPlan, named: ConfirmConfig | Mapping[str, int] | None, named_incumbent: str | None
) -> tuple[ConfirmConfig, str | None]:
    """Return the settings and the named incumbent of the confirmation, which stay those that it was begun with.

    With other settings it would be another confirmation, and test would be read twice. Only an incumbent whose training
    failed may be replaced: nothing can have been read without one to compare with.

    Raises:
        ConfigError: the confirmation was begun with other settings than those named.
    """
    path = campaign.folder.confirmation_settings
    if not path.is_file():
        return _updated(campaign.config.confirm or ConfirmConfig(), named), named_incumbent
    with reading(path, f"Remove {path.parent}: the confirmation starts again"):
        content = json.loads(path.read_text(encoding="utf-8"))
        begun, incumbent = parse(ConfirmConfig, content["settings"], str(path)), content["incumbent"]
    if named_incumbent not in (None, incumbent) and _incumbent_failed(campaign, begun, incumbent):
        incumbent = named_incumbent
    if _updated(begun, named) != begun or named_incumbent not in (None, incumbent):
        options = {**begun.model_dump(), **({"incumbent": incumbent} if incumbent else {})}
        text = " ".join(f"--{name} {value}" for name, value in options.items())
        raise ConfigError(
            f"The confirmation of {campaign.config.name} was begun with {text}",
            "Continue with these: name no other settings",
        )
    return begun, incumbent


def _updated(settings: ConfirmConfig, named: ConfirmConfig | Mapping[str, int] | None) -> ConfirmConfig:
    if isinstance(named, ConfirmConfig):
        return named
    return parse(ConfirmConfig, {**settings.model_dump(), **(named or {})}, "confirm")


def _incumbent_failed(campaign: CampaignPlan, settings: ConfirmConfig, named: str | None) -> bool:
    """Whether a training of the incumbent is done, and failed."""
    recipe = campaign.incumbent if named is None else make_incumbent_recipe(presets.load_preset(named), campaign.config)
    candidate = Candidate(INCUMBENT, {}, recipe, recipe.trainer.epochs)
    cells = [
        Cell(candidate, seed, f"fold {fold + 1}")
        for seed in _seeds(campaign, settings)
        for fold in range(settings.folds)
    ]
    return any(_status(campaign, cell, settings.folds) not in (None, COMPLETE) for cell in cells)


def _status(campaign: CampaignPlan, cell: Cell, folds: int) -> str | None:
    """How a training ended; None if it is not done."""
    path = _cell_folder(campaign, cell, folds) / ROW_FILE
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["status"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _cell_folder(campaign: CampaignPlan, cell: Cell, folds: int) -> Path:
    return campaign.folder.cells / cell.key(campaign.identity, folds)


def _seeds(campaign: CampaignPlan, settings: ConfirmConfig) -> list[int]:
    return [(campaign.config.seed + 1 + place) % 2**32 for place in range(settings.seeds)]


def begin(plan: ConfirmationPlan) -> None:
    """Write down what a confirmation is begun with."""
    content = {"settings": plan.settings.model_dump(mode="json"), "incumbent": plan.named_incumbent}
    write_json(plan.campaign.folder.confirmation_settings, content)


def _check_searched(campaign: CampaignPlan) -> None:
    """Make sure, before hours of training, that what the search left is whole."""
    folder = campaign.folder
    manifest.check_manifest(folder, SEARCH_FILES)
    trials = folder.read_journal()
    tables.check_trial_outputs(folder, campaign.storage, trials)


def _work(dataset: Dataset) -> float:
    """What an epoch costs, in rows trained on."""
    return len(dataset.train) + COST_OF_EVALUATION * len(dataset.val)


def _epochs_of_incumbent(campaign: CampaignPlan) -> int:
    try:
        return max(len(campaign.folder.read_incumbent_rows()), 1)
    except ConfigError:
        return campaign.incumbent.trainer.epochs


def _ledger_entry(campaign: CampaignPlan, dataset: Dataset, trials: int) -> LedgerEntry:
    data, borders = campaign.config.data, dataset.borders
    names: Sequence[Path] = bar_files(data)
    return LedgerEntry(
        campaign=campaign.config.name,
        started=str(campaign.folder.read_record().started),
        exchange=",".join(sorted({path.name.split("_")[0] for path in names})),
        symbols=list(dataset.symbol_names),
        interval=data.interval if not names else names[0].stem.split("_")[-1],
        val=[file_format.iso(edge) for edge in borders.val],
        test=[file_format.iso(edge) for edge in borders.test],
        trials=trials,
        reads="",
    )
