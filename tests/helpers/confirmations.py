"""Trains the cells of a small confirmation in this process."""

from __future__ import annotations

import json
from dataclasses import replace

from core.files import write_json
from search.confirmation.candidates import Cell
from search.confirmation.cells import CellResult, train_cell
from search.confirmation.plan import ConfirmationPlan
from search.engine.job import TrialJob
from search.results.folder import ROW_FILE
from search.results.ledger_entry import LedgerEntry
from search.results.records import CellRecord
from tests.helpers.campaigns import NAME

ENTRY = LedgerEntry(
    campaign=NAME,
    started="2024-05-01T00:00:00+00:00",
    exchange="binance",
    symbols=["BTCUSDT"],
    interval="5m",
    val=["2024-03-01T00:00:00+00:00", "2024-04-01T00:00:00+00:00"],
    test=["2024-04-01T00:00:00+00:00", "2024-05-01T00:00:00+00:00"],
    trials=3,
    reads="winner",
)


def make_job(plan: ConfirmationPlan) -> TrialJob:
    return TrialJob(plan.campaign.base, plan.campaign.resources, plan.campaign.storage)


def train_result(plan: ConfirmationPlan, cell: Cell) -> CellResult:
    (result,) = train_cell(cell, plan.dataset_of(cell), make_job(plan))
    return replace(result, record=CellRecord.model_validate(json.loads(json.dumps(result.record.as_row()))))


def write_row(plan: ConfirmationPlan, cell: Cell, status: str) -> None:
    record = CellRecord(number=cell.candidate.number, seed=cell.seed, split=cell.split, status=status, reason="")
    write_json(plan.campaign.folder.cell(plan.key(cell)) / ROW_FILE, record.as_row())
