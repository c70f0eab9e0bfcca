"""Judges a confirmed campaign anew from its recorded predictions, by the present rules; nothing is trained.

An early version judged by intervals that were too narrow. Its verdict is kept beside the new one, which names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from pydantic import Field

from core.errors import ConfigError
from core.files import reading, write_bytes, write_json
from search.confirmation.cells import CellResult
from search.confirmation.certify import make_verdict, select_winner
from search.confirmation.recorded_data import load_recorded
from search.confirmation.run import locked
from search.confirmation.subject import ConfirmationSubject, Contender
from search.confirmation.table import read_confirmation_row
from search.results import ledger, manifest
from search.results.folder import SUPERSEDED_VERDICT_FILE, VERDICT_FILE, CampaignFolder
from search.results.judged import read_judged_verdict
from search.results.ledger_entry import LedgerEntry, OverlappingEntry
from search.results.predictions import INCUMBENT, TEST, VAL
from search.results.readings import complete_ledger
from search.results.records import ChecklistRow, DataRecord, Record
from search.results.verdict import SCHEMA_VERSION, Verdict

_REMEDY = "Restore the campaign's folder from a backup"
_OWN_FILES = (VERDICT_FILE, SUPERSEDED_VERDICT_FILE)
"""Files that judging anew writes, so that they may differ from the manifest after an interruption."""


class _Trained(Record):
    trial: int
    hyperparameters: dict[str, Any]


class _Incumbent(Record):
    preset: str


class _Method(Record):
    seeds: tuple[int, ...]
    folds: int


class _EarlierVerdict(Record):
    """What a verdict of an early version says that is not computed anew."""

    schema_version: int
    data: DataRecord
    method: _Method
    winner: _Trained
    incumbent: _Incumbent
    candidates: tuple[_Trained, ...]
    checklist: tuple[ChecklistRow, ...] = ()
    ledger_entry: LedgerEntry | None = Field(default=None, alias="look")
    earlier_entries: tuple[OverlappingEntry, ...] = Field(default=(), alias="earlier_looks")


def judge_campaign(folder: CampaignFolder, source: Mapping[str, Any]) -> Verdict:
    """Make the verdict of a confirmed campaign anew, and write it in place of the earlier one.

    The final model stays the one that was trained, of the candidate that had won. If the present rules prefer another
    candidate, the campaign keeps its winner: test was read for that one alone.

    Args:
        folder: the folder of the campaign.
        source: data settings that say where the bars lie; empty for the synthetic market.

    Returns:
        the verdict, as the ledger lets it stand today; that of a campaign which was judged by the present rules
        already is returned unchanged.

    Raises:
        ConfigError: the campaign was not confirmed, a file of it was changed or is damaged, or it cannot be written.
        OtherBarsError: the bars are not those that the campaign was confirmed on.
        DataError: the bars cannot be used.
    """
    with locked(folder.journal):
        manifest.check_manifest(folder, [name for name in manifest.LISTED if name not in _OWN_FILES])
        content, earlier = _read_original(folder)
        if not is_judged(folder):
            verdict = _judge(folder, earlier, source)
            write_bytes(folder.superseded_verdict, content)
            write_json(folder.verdict, verdict.as_row())
            manifest.write_manifest(folder)
        manifest.check_manifest(folder)
    judged = read_judged_verdict(folder)
    assert judged is not None  # it was read or written above
    return judged


def is_judged(folder: CampaignFolder) -> bool:
    """Return whether a campaign has a verdict by the present rules, so that nothing is left to do.

    Args:
        folder: the folder of the campaign.

    Raises:
        ConfigError: the campaign was not confirmed, or a file of it is damaged.
    """
    return _read_original(folder)[1].schema_version == SCHEMA_VERSION or manifest.manifest_lists(
        folder, SUPERSEDED_VERDICT_FILE
    )


def _read_original(folder: CampaignFolder) -> tuple[bytes, _EarlierVerdict]:
    """Read the verdict that the confirmation wrote: its bytes, and what is not computed anew."""
    original = folder.superseded_verdict if folder.superseded_verdict.is_file() else folder.verdict
    if not original.is_file():
        raise ConfigError(
            f"Campaign {folder.name} was not confirmed", f"Confirm it: preset-search confirm {folder.name}"
        )
    with reading(original, _REMEDY):
        content = original.read_bytes()
        return content, _EarlierVerdict.model_validate(json.loads(content))


def _judge(folder: CampaignFolder, earlier: _EarlierVerdict, source: Mapping[str, Any]) -> Verdict:
    """Make the verdict of a campaign from its tables."""
    record = folder.read_record()
    contenders = [Contender(trained.trial, trained.hyperparameters) for trained in earlier.candidates]
    subject = ConfirmationSubject(
        folder=folder,
        record=record,
        seeds=earlier.method.seeds,
        folds=earlier.method.folds,
        incumbent=earlier.incumbent.preset,
        contenders=(*contenders, Contender(INCUMBENT, {})),
        dataset=load_recorded(earlier.data, source, folder.name),
    )
    cells = list(_read_cells(folder, earlier))
    final = next(cell for cell in cells if cell.record.split == TEST)
    selection = select_winner(subject, [cell for cell in cells if cell.record.split != TEST])
    winner = next(contender for contender in contenders if contender.number == earlier.winner.trial)
    entry, readings = _find_readings(folder, earlier)
    verdict = make_verdict(subject, replace(selection, winner=winner), final, entry, readings)
    return verdict.model_copy(update={"supersedes": SUPERSEDED_VERDICT_FILE})


def _find_readings(
    folder: CampaignFolder, earlier: _EarlierVerdict
) -> tuple[LedgerEntry | None, list[OverlappingEntry]]:
    """Return the ledger's entry of the confirmation, and all that is known to have read its test span before."""
    entries = complete_ledger(folder.path.parent)
    if earlier.ledger_entry is None:
        return None, list(earlier.earlier_entries)
    entry = ledger.find_entry(entries, earlier.ledger_entry) or earlier.ledger_entry
    known = {reading.key: reading for reading in earlier.earlier_entries}
    found = {reading.key: reading for reading in ledger.earlier_overlapping(entries, entry)}
    return entry, list({**known, **found}.values())


def _read_cells(folder: CampaignFolder, earlier: _EarlierVerdict) -> Iterator[CellResult]:
    """Yield the results of all cells of a confirmation from the campaign's tables."""
    predictions, returns = folder.read_predictions(), folder.read_returns()
    keys = ["number", "seed", "split"]
    with reading(folder.confirmation_table, _REMEDY):
        table = pd.read_parquet(folder.confirmation_table)
        records = [read_confirmation_row(row) for _, row in table.iterrows()]
        tables = [dict(iter(table[table["split"] != VAL].groupby(keys))) for table in (predictions, returns)]
    for record in records:
        key = record.number, record.seed, record.split
        checklist = earlier.checklist if record.split == TEST else ()
        complete = record.model_copy(update={"checklist": checklist})
        yield CellResult(complete, *(of_cell.get(key, pd.DataFrame()) for of_cell in tables))
