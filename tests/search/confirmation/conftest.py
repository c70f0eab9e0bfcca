"""A small campaign, its confirmation, and the trained cells, which the tests of this folder share."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from search.confirmation import run as confirmation
from search.confirmation.candidates import Cell
from search.confirmation.cells import CellResult
from search.confirmation.certify import make_verdict, select_winner
from search.confirmation.plan import ConfirmationPlan, plan_confirmation
from search.results.folder import CampaignFolder
from search.results.predictions import TEST
from tests.helpers.campaigns import NAME
from tests.helpers.confirmations import train_result


@pytest.fixture(scope="session")
def root(searched_root: Path) -> Path:
    return searched_root


@pytest.fixture(scope="session")
def plan(root: Path) -> ConfirmationPlan:
    return plan_confirmation(NAME, root)


@pytest.fixture(scope="session")
def trained(plan: ConfirmationPlan) -> list[CellResult]:
    return [train_result(plan, cell) for cell in plan.cells]


@pytest.fixture(scope="session")
def final(plan: ConfirmationPlan, trained: list[CellResult]) -> CellResult:
    return train_result(
        plan, Cell(plan.candidate(select_winner(plan.subject, trained).winner.number), plan.seeds[0], TEST)
    )


@pytest.fixture
def confirmed(root: Path, plan: ConfirmationPlan, trained: list[CellResult], final: CellResult, tmp_path: Path) -> Path:
    """The root of the campaigns, with a verdict."""
    copied_root = tmp_path / "results"
    shutil.copytree(root, copied_root)
    campaign = replace(plan.campaign, folder=CampaignFolder(copied_root / NAME))
    copied_plan = replace(plan, campaign=campaign)
    verdict = make_verdict(copied_plan.subject, select_winner(copied_plan.subject, trained), final, None, [])
    confirmation._write_results(copied_plan, [*trained, final], verdict)
    return copied_root
