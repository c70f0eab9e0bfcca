"""A verdict of an early version is made anew from the recorded tables, and kept beside the new one."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from core.errors import ConfigError
from core.evaluation.decision import DecisionRule
from core.files import write_json, write_table
from search.cli.app import app
from search.cli.confirm import show_verdict
from search.confirmation import certify, judge
from search.confirmation.judge import judge_campaign
from search.confirmation.recorded_data import OtherBarsError
from search.results import ledger, manifest
from search.results.folder import CampaignFolder
from search.results.judged import EARLIER_READINGS_GATE
from search.results.ledger_entry import LedgerEntry
from search.results.predictions import INCUMBENT, VAL
from search.results.verdict import Verdict
from search.study.journal.backend import Journal
from tests.helpers.campaigns import NAME
from tests.helpers.confirmations import ENTRY

pytestmark = pytest.mark.costly


@pytest.fixture
def early(confirmed: Path) -> CampaignFolder:
    """A confirmed campaign with the files that an early version would have written."""
    folder = CampaignFolder(confirmed / NAME)
    content = json.loads(folder.verdict.read_text())
    content["schema_version"] = 1
    content["method"] = {**content["method"], "block_bars": 72}
    content["gates"] = [{"name": "all figures finite", "value": True, "bound": "yes", "verdict": "pass"}]
    del content["lead"]["by_fold"], content["test"]["lead"]["metric"]
    write_json(folder.verdict, content)
    table = pd.read_parquet(folder.confirmation_table)
    write_table(folder.confirmation_table, table.drop(columns=[name for name in table if "decision" in str(name)]))
    manifest.write_manifest(folder)
    return folder


def _without(verdict: Verdict, *names: str) -> dict[str, Any]:
    row = verdict.as_row()
    return {key: value for key, value in row.items() if key not in names}


def test_the_verdict_made_anew_is_what_the_confirmation_would_say(early: CampaignFolder, confirmed: Path) -> None:
    old = early.verdict.read_bytes()
    judged = judge_campaign(early, {})
    assert early.superseded_verdict.read_bytes() == old
    assert judged.supersedes == early.superseded_verdict.name
    assert judged.schema_version == 2
    assert "stands for the model" in str(judged.method.decision_rule)
    manifest.check_manifest(early)
    assert early.read_verdict() == judged


def test_tables_alone_give_the_verdict_of_the_confirmation(confirmed: Path) -> None:
    folder = CampaignFolder(confirmed / NAME)
    verdict = folder.read_verdict()
    assert verdict is not None
    content = {**json.loads(folder.verdict.read_text()), "schema_version": 1}
    write_json(folder.verdict, content)
    manifest.write_manifest(folder)
    judged = judge_campaign(folder, {})
    assert _without(judged, "supersedes") == _without(verdict, "supersedes")


def test_judging_twice_and_after_an_interruption_gives_the_same_files(
    early: CampaignFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = early.verdict.read_bytes()

    def interrupted(folder: CampaignFolder) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "write_manifest", interrupted)
        with pytest.raises(KeyboardInterrupt):
            judge_campaign(early, {})
    first = judge_campaign(early, {})
    written = early.verdict.read_bytes()
    assert judge_campaign(early, {}) == first
    assert early.verdict.read_bytes() == written
    assert early.superseded_verdict.read_bytes() == old


def test_a_changed_table_is_refused_and_nothing_is_written(early: CampaignFolder) -> None:
    before = early.verdict.read_bytes()
    early.predictions.write_bytes(early.predictions.read_bytes() + b" ")
    with pytest.raises(ConfigError, match=r"predictions\.parquet was changed"):
        judge_campaign(early, {})
    assert early.verdict.read_bytes() == before


def test_other_bars_are_refused(early: CampaignFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise OtherBarsError("other bars", "name them")

    monkeypatch.setattr(judge, "load_recorded", refused)
    with pytest.raises(OtherBarsError):
        judge_campaign(early, {})
    assert not early.superseded_verdict.exists()


def test_the_command_shows_the_verdict_and_what_comes_next(early: CampaignFolder) -> None:
    result = CliRunner().invoke(app, ["judge", NAME, "--results", str(early.path.parent)])
    assert result.exit_code == 0, result.output
    assert "Recommended: incumbent" in result.output
    assert "Winner minus incumbent by fold, the earliest first: " in result.output
    assert "next: preset-search regenerate small" in result.output
    assert early.read_verdict() is not None


def test_an_early_verdict_is_shown_with_the_command_that_makes_it_anew(
    early: CampaignFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = early.read_verdict()
    assert verdict is not None
    show_verdict(verdict)
    printed = " ".join(capsys.readouterr().out.split())
    assert "preset-search judge small" in printed
    assert "by fold" not in printed  # it was not recorded


def test_a_campaign_that_was_judged_needs_no_bars(early: CampaignFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = judge_campaign(early, {})
    monkeypatch.setattr(judge, "load_recorded", None)
    assert judge_campaign(early, {}) == judged
    result = CliRunner().invoke(app, ["judge", NAME, "--results", str(early.path.parent)])
    assert result.exit_code == 0, result.output
    assert "nothing is written" in result.output
    assert "wrote" not in result.output


def test_a_search_that_the_ledger_did_not_record_counts_as_an_earlier_reading(
    early: CampaignFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = early.path.parent
    ledger.append_entry(root / "ledger.jsonl", ENTRY)
    content = json.loads(early.verdict.read_text())
    content["look"] = asdict(ENTRY)
    write_json(early.verdict, content)
    manifest.write_manifest(early)
    search = replace(ENTRY, campaign="early-search", started="2024-01-01T00:00:00+00:00", kind="search", val=ENTRY.test)

    def complete(folder: Path) -> list[LedgerEntry]:
        return ledger.append_entry(folder / "ledger.jsonl", search)

    monkeypatch.setattr(judge, "complete_ledger", complete)
    verdict = judge_campaign(early, {})
    assert [entry.campaign for entry in verdict.earlier_entries] == ["early-search"]
    assert next(gate for gate in verdict.gates if gate.name == EARLIER_READINGS_GATE).verdict == "fail"
    assert verdict.status == "not certified"
    assert [entry.campaign for entry in ledger.read_entries(root / "ledger.jsonl")] == [NAME, "early-search"]


def test_a_campaign_that_runs_is_not_judged(early: CampaignFolder) -> None:
    journal = Journal(early.journal)
    try:
        with pytest.raises(ConfigError, match="small"):
            judge_campaign(early, {})
    finally:
        journal.close()


def test_the_trained_winner_stays_though_another_would_win_now(
    early: CampaignFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = json.loads(early.verdict.read_text())
    select = judge.select_winner

    def another(*args: Any) -> Any:
        selection = select(*args)
        others = [one for one in args[0].contenders if one.number not in (INCUMBENT, selection.winner.number)]
        return replace(selection, winner=others[0])

    monkeypatch.setattr(judge, "select_winner", another)
    assert judge_campaign(early, {}).winner.trial == before["winner"]["trial"]


def test_the_rule_is_fitted_on_val_alone(early: CampaignFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    table = early.read_predictions()
    winner = json.loads(early.verdict.read_text())["winner"]["trial"]
    val = table[(table["split"] == VAL) & (table["number"] == winner)]
    fitted: list[np.ndarray] = []

    def spy(probabilities: np.ndarray, labels: np.ndarray, *_: Any) -> DecisionRule:
        fitted.append(labels)
        return DecisionRule()

    monkeypatch.setattr(certify, "fit_decision_rule", spy)
    judge_campaign(early, {})
    assert [labels.tolist() for labels in fitted] == [val["label"].tolist()]


def test_a_campaign_without_a_verdict_cannot_be_judged(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"was not confirmed.*preset-search confirm small"):
        judge_campaign(CampaignFolder(root / NAME), {})
