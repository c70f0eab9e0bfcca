"""Finished cells that the confirmations of other campaigns find again."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.confirmation import run as confirmation
from search.confirmation import shared_cells
from search.confirmation.candidates import Cell
from search.confirmation.cells import CellResult
from search.confirmation.certify import make_verdict, select_winner
from search.confirmation.plan import ConfirmationPlan, plan_confirmation
from search.confirmation.shared_cells import copy_shared, is_shared, share
from search.engine.in_process import InProcessEngine
from search.results.folder import ROW_FILE, CampaignFolder
from search.results.predictions import TEST
from search.results.verdict import Verdict
from tests.helpers.campaigns import NAME


@pytest.fixture
def one(tmp_path: Path) -> CampaignFolder:
    """A campaign's folder with a finished cell."""
    folder = CampaignFolder(tmp_path / "one")
    folder.cell("key").mkdir(parents=True)
    (folder.cell("key") / ROW_FILE).write_text("{}")
    return folder


@pytest.fixture
def other(tmp_path: Path) -> CampaignFolder:
    folder = CampaignFolder(tmp_path / "other")
    folder.cells.mkdir(parents=True)
    return folder


def test_another_campaign_finds_a_cell_once_the_first_is_concluded(one: CampaignFolder, other: CampaignFolder) -> None:
    copy_shared(other, "key")
    assert not is_shared(other, "key")
    assert not other.cell("key").exists()
    share(one, ["key", "never trained"])
    assert is_shared(other, "key")
    assert not is_shared(other, "never trained")
    copy_shared(other, "key")
    copy_shared(other, "key")
    assert (other.cell("key") / ROW_FILE).read_text() == "{}"
    assert is_shared(other, "key")  # for the next one


def test_an_own_cell_is_not_replaced(one: CampaignFolder, other: CampaignFolder) -> None:
    other.cell("key").mkdir()
    (other.cell("key") / ROW_FILE).write_text("own")
    share(one, ["key"])
    copy_shared(other, "key")
    assert (other.cell("key") / ROW_FILE).read_text() == "own"


def test_a_later_cell_takes_the_place_of_one_that_may_be_damaged(one: CampaignFolder, other: CampaignFolder) -> None:
    other.cell("key").mkdir()
    (other.cell("key") / ROW_FILE).write_text("whole")
    share(one, ["key"])
    share(other, ["key"])
    copy_shared(one, "key")
    assert (one.cell("key") / ROW_FILE).read_text() == "whole"


def test_an_unfinished_cell_is_not_shared(one: CampaignFolder) -> None:
    (one.cell("key") / ROW_FILE).unlink()
    share(one, ["key"])
    assert not is_shared(one, "key")


def test_the_cells_used_least_recently_are_removed_first(
    one: CampaignFolder, other: CampaignFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_cells, "MAX_CELLS", 2)
    for age, key in enumerate(("oldest", "older", "newest")):
        shutil.copytree(one.cell("key"), one.cell(key))
        os.utime(one.cell(key), (age + 1, age + 1))
    share(one, ["oldest", "older"])
    copy_shared(other, "oldest")  # used again
    share(one, ["newest"])
    assert [is_shared(one, key) for key in ("oldest", "older", "newest")] == [True, False, True]


def test_a_folder_that_cannot_be_written_is_no_error(one: CampaignFolder) -> None:
    (one.path.parent / ".cells").write_text("in the way")
    share(one, ["key"])
    copy_shared(one, "other")
    assert not is_shared(one, "key")


@pytest.mark.costly
def test_a_second_confirmation_trains_only_the_final_cell_again(
    plan: ConfirmationPlan, trained: list[CellResult], final: CellResult, root: Path, tmp_path: Path
) -> None:
    """Out-of-fold trainings are found again by data and recipe; that which reads test is not."""
    copied = tmp_path / "results"
    shutil.copytree(root, copied)
    folder = CampaignFolder(copied / NAME)
    first = replace(plan, campaign=replace(plan.campaign, folder=folder))
    for cell, result in zip(first.cells, trained, strict=True):
        result.save(folder.cell(first.key(cell)))
    selection = select_winner(first.subject, trained)
    final_cell = Cell(first.candidate(selection.winner.number), first.seeds[0], TEST)
    final.save(folder.cell(first.key(final_cell)))
    verdict = make_verdict(first.subject, selection, final, None, [])
    confirmation._write_results(first, [*trained, final], verdict)
    assert not folder.cells.exists()
    trained_again: list[str] = []

    class Counting(InProcessEngine):
        """Counts the trainings that are begun."""

        def start(self, *arguments: Any) -> Any:
            trained_again.append("training")
            return super().start(*arguments)

    def confirm_again() -> Verdict:
        """Confirm as if the search had been made again."""
        shutil.rmtree(copied / NAME)
        shutil.copytree(root / NAME, copied / NAME)
        again = plan_confirmation(NAME, copied)
        assert again.missing == 0
        trained_again.clear()
        return confirmation.run_confirmation(again, Counting())

    second = confirm_again()
    assert second.neighbours is not None
    assert len(trained_again) == second.neighbours.cells * len(second.neighbours.neighbours) + 1
    assert second.model_copy(update={"final": verdict.final, "race": None, "neighbours": None}) == verdict
    third = confirm_again()  # finds those of the neighbours, too
    assert len(trained_again) == 1
    assert third.model_copy(update={"final": second.final}) == second
