"""Tests of the status of a campaign at each point of its life."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.errors import ConfigError
from search.campaign.status import CampaignStatus, read_campaign_status
from search.config import study_settings
from search.results import manifest
from search.results.folder import (
    CELLS,
    JOURNAL_FILE,
    MANIFEST_FILE,
    ROW_FILE,
    SUMMARY_FILE,
    VERDICT_FILE,
    CampaignFolder,
)
from search.study.journal.backend import Journal
from search.study.study import CampaignStudy
from tests.helpers.campaigns import NAME, config, make_searched_campaign

pytestmark = pytest.mark.costly

COMMITTED = Path(__file__).parents[3] / "results" / "btc-eth-5m-30d"
"""A campaign with a verdict."""


@pytest.fixture(scope="module")
def searched_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("status")
    make_searched_campaign(root)
    (root / NAME / SUMMARY_FILE).write_text('{"ended_by": "trials"}')
    return root


@pytest.fixture
def root(searched_root: Path, tmp_path: Path) -> Path:
    return shutil.copytree(searched_root, tmp_path / "results")


def _held(root: Path) -> CampaignStatus:
    held = Journal(root / NAME / JOURNAL_FILE)
    try:
        return read_campaign_status(root, NAME)
    finally:
        held.close()


def test_the_status_of_a_searched_campaign_agrees_with_its_tables(root: Path) -> None:
    status = read_campaign_status(root, NAME)
    trials = CampaignFolder(root / NAME).read_trials()
    best = trials.loc[trials["value"].idxmax()]
    assert status.phase == "searched (ended by: trials)"
    assert status.trials == {"complete": 2, "stopped": 1}
    assert (status.remaining, status.requested, status.epochs) == (0, 3, int(trials["epochs"].sum()))
    assert status.best == (best["value"], best["number"])
    assert status.metric == "macro_f1"
    assert status.next_commands == (f"confirm {NAME}",)
    assert status.lines()[1] == "trials: 2 complete, 1 stopped; 0 of 3 still to do"


def test_trials_without_an_outcome_count_as_running_while_a_driver_runs(root: Path) -> None:
    # As `resume --trials 4` does: the manifest goes, one more is asked for.
    (root / NAME / MANIFEST_FILE).unlink()
    record = CampaignStudy(
        root / NAME / JOURNAL_FILE, study_settings(config()), clock=iter(range(0, 9000, 900)).__next__
    )
    record.ask()
    status = read_campaign_status(root, NAME)
    assert (status.phase, status.next_commands) == ("running", (f"stop {NAME}",))
    assert status.trials == {"complete": 2, "stopped": 1, "running": 1}
    assert status.hours == pytest.approx(0.25, abs=0.01)
    record.close()
    status = read_campaign_status(root, NAME)
    assert (status.phase, status.next_commands) == ("ended by a crash", (f"resume {NAME}",))
    assert status.trials["unfinished"] == 1


def test_before_the_first_trial_no_best_value_is_shown(root: Path) -> None:
    (root / NAME / JOURNAL_FILE).unlink()
    (root / NAME / MANIFEST_FILE).unlink()
    record = CampaignStudy(root / NAME / JOURNAL_FILE, study_settings(config()))
    status = read_campaign_status(root, NAME)
    record.close()
    assert (status.best, status.trials, status.remaining) == (None, {}, 3)
    assert status.lines()[1] == "trials: none begun; 3 of 3 still to do"
    assert status.lines()[3] == "best: none yet"


@pytest.mark.parametrize("ended_by", ["stopped", "interrupted"])
def test_a_campaign_that_was_ended_by_hand_is_to_be_resumed(root: Path, ended_by: str) -> None:
    (root / NAME / SUMMARY_FILE).write_text(json.dumps({"ended_by": ended_by}))
    status = read_campaign_status(root, NAME)
    assert (status.phase, status.next_commands) == (ended_by, (f"resume {NAME}",))


def test_a_confirmation_is_reported_while_it_runs_when_it_was_interrupted_and_afterwards(root: Path) -> None:
    folder = root / NAME
    cell = folder / CELLS / "abc"
    cell.mkdir(parents=True)
    (cell / ROW_FILE).write_text("{}")
    assert _held(root).phase == "being confirmed, 1 trainings done"
    assert read_campaign_status(root, NAME).phase == "confirmation interrupted, 1 trainings done"
    assert read_campaign_status(root, NAME).next_commands == (f"confirm {NAME}",)
    verdict = json.loads((COMMITTED / VERDICT_FILE).read_text())
    gates = [{**gate, "verdict": "pass"} for gate in verdict["gates"]]
    (folder / VERDICT_FILE).write_text(json.dumps({**verdict, "status": "certified", "gates": gates}))
    assert read_campaign_status(root, NAME).phase.startswith("confirmation interrupted")  # not all of it was written
    unlisted = (folder / MANIFEST_FILE).read_bytes()
    manifest.write_manifest(CampaignFolder(folder))
    assert read_campaign_status(root, NAME).phase == "confirmed: certified"  # cells that were left behind do not count
    (folder / MANIFEST_FILE).write_bytes(unlisted)
    shutil.rmtree(folder / CELLS)
    assert read_campaign_status(root, NAME).phase == "confirmed: certified"
    assert read_campaign_status(root, NAME).next_commands == (f"export {NAME} --as {NAME}",)


def test_a_damaged_summary_does_not_hide_the_status(root: Path) -> None:
    (root / NAME / SUMMARY_FILE).write_text("[")
    assert read_campaign_status(root, NAME).next_commands == (f"confirm {NAME}",)


def test_the_error_about_a_missing_campaign_names_the_existing_ones(root: Path) -> None:
    with pytest.raises(ConfigError, match=f"Name one of: {NAME}"):
        read_campaign_status(root, "other")


def test_a_damaged_journal_is_named(root: Path) -> None:
    (root / NAME / JOURNAL_FILE).write_text("no\n" * 3)
    with pytest.raises(ConfigError, match="damaged at line 1"):
        read_campaign_status(root, NAME)


def test_a_verdict_that_the_manifest_lists_and_that_is_gone_or_changed_is_damage(root: Path) -> None:
    folder = CampaignFolder(root / NAME)
    verdict = (COMMITTED / VERDICT_FILE).read_text()
    folder.verdict.write_text(verdict)
    manifest.write_manifest(folder)
    assert read_campaign_status(root, NAME).phase.startswith("confirmed")
    folder.verdict.write_text(verdict + " ")
    with pytest.raises(ConfigError, match=r"verdict\.json was changed .* Restore the campaign's folder"):
        read_campaign_status(root, NAME)
    folder.verdict.unlink()
    with pytest.raises(ConfigError, match=r"verdict\.json is missing\. Restore the campaign's folder"):
        read_campaign_status(root, NAME)
