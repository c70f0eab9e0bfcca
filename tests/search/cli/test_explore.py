from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.config import DataConfig, SyntheticConfig
from search.campaign.plan import plan_campaign
from search.config import CampaignConfig, study_settings
from search.results.folder import JOURNAL_FILE
from search.study.space import Choice, Range, SpaceConfig
from search.study.study import CampaignStudy
from tests.helpers.campaigns import begin_campaign
from tests.helpers.commands import invoke, run_command

COMMITTED = Path(__file__).parents[3] / "results"
NAME, OTHER = "btc-eth-15m-8m", "btc-eth-5m-30d"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies the committed campaigns beside the present folder, and one whose settings are damaged."""
    shutil.copytree(COMMITTED, tmp_path / "results")
    (tmp_path / "results" / "broken").mkdir()
    (tmp_path / "results" / "broken" / "campaign.yaml").write_text("config: [")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def _json(*command: str) -> Any:
    return json.loads(invoke(*command, "--json"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.usefixtures("results")
def test_all_campaigns_are_listed_a_damaged_one_too() -> None:
    text = invoke("campaigns")
    for part in (NAME, "confirmed: not certified", "32 of 32", "macro_f1 0.4323 (#29)", "broken", "damaged"):
        assert part in text
    rows = {row["name"]: row for row in _json("campaigns")}
    assert rows[OTHER]["epochs"] == 376
    assert rows["broken"]["phase"] == "damaged"


def test_without_campaigns_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "There is no campaign in results" in invoke("campaigns")
    assert _json("campaigns") == []


@pytest.mark.usefixtures("results")
def test_trials_are_listed_sorted_and_limited() -> None:
    rows = _json("trials", "list", NAME, "--top", "3")
    assert [row["number"] for row in rows] == [29, 24, 1]
    assert rows[0]["window"] is None
    rows = _json("trials", "list", NAME, "--stopped-at", "2", "--sort", "val_nll", "--ascending")
    assert {(row["status"], row["epochs"]) for row in rows} == {("stopped", 2)}
    assert rows == sorted(rows, key=lambda row: row["val_nll"])
    text = invoke("trials", "list", NAME, "--top", "1", "--sort", "seconds")
    assert "seconds" in text
    assert "101.0269" in text


def test_trials_are_written_to_a_csv_file(results: Path) -> None:
    invoke("trials", "list", NAME, "--min", "0.42", "--csv", "found.csv")
    found = pd.read_csv("found.csv")
    assert (found["value"] >= 0.42).all()
    assert list(found.columns) == list(pd.read_parquet(results / NAME / "trials.parquet").columns.insert(7, "window"))


@pytest.mark.usefixtures("results")
def test_a_trial_is_shown_with_its_curve_decisions_trades_and_cells() -> None:
    text = invoke("trials", "show", NAME, "29")
    for part in ("trial 29 of", "batch_size 256", "rank 1 of 12, 4 go on", "not compounded", "fold 5", "▃▃▁▄█▃▁▆█▆▆▇"):
        assert part in text
    content = _json("trials", "show", NAME, "3")
    assert content["reason"].startswith("stopped at rung 2: place 4 of 4")
    assert content["epochs"][-1]["action"] == "stop"
    assert content["epochs"][0]["action"] is None


@pytest.mark.usefixtures("results")
def test_campaigns_are_compared_side_by_side() -> None:
    text = invoke("compare", NAME, OTHER)
    for part in ("0.4373 [0.4105, 0.4626]", "not certified", "too short to tell", "data.interval", "in pairs"):
        assert part in text
    content = _json("compare", NAME, OTHER)
    assert content["settings"]["data.horizon"] == [1, 3]
    assert content["paired"] == []


def test_the_same_confirmation_is_level_with_itself_in_pairs(results: Path) -> None:
    shutil.copytree(results / NAME, results / "again")
    assert f"{NAME} less again on 15 cells in pairs: +0.0000" in invoke("compare", NAME, "again")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("compare", NAME), "cannot be compared"),
        (("compare", NAME, "nowhere"), "no campaign 'nowhere'"),
        (("trials", "list", NAME, "--sort", "gain"), "no column 'gain'"),
        (("trials", "show", NAME, "32"), "no trial 32"),
        (("trials", "list", "broken"), "broken"),
    ],
)
def test_what_cannot_be_shown_is_an_error_of_one_line(
    command: tuple[str, ...], message: str, results: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert run_command(monkeypatch, results.parent, *command) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_what_a_trial_did_not_search_is_shown_as_not_applicable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the trials have a batch size for which mixup is not searched: they have that of the base preset."""
    monkeypatch.chdir(tmp_path)
    space = SpaceConfig(
        batch_size=Choice(values=(64, 128)), mixup_alpha=Range(low=0.1, high=0.5, only_if={"batch_size": (64,)})
    )
    data = DataConfig(synthetic=SyntheticConfig(bars=5000))
    planned = plan_campaign(
        CampaignConfig(name="some", data=data, ask=(), sampler="random", space=space), Path("results")
    )
    folder = begin_campaign(planned)
    study = CampaignStudy(folder / JOURNAL_FILE, study_settings(planned.config))
    trials = [study.ask() for _ in range(8)]
    study.close()
    searched = [trial.number for trial in trials if not trial.not_searched]
    assert 0 < len(searched) < 8
    table = invoke("trials", "list", "some", "--sort", "number")
    lines = [line.replace("│", " ").split() for line in table.splitlines()]
    shown = {int(line[0]): "n/a" in line for line in lines if line and line[0].isdigit()}
    assert shown == {trial.number: trial.number not in searched for trial in trials}
    for trial in trials:
        text = invoke("trials", "show", "some", str(trial.number))
        assert ("mixup_alpha n/a" in text) == (trial.number not in searched)
        assert _json("trials", "show", "some", str(trial.number), "--json")["not_searched"] == list(trial.not_searched)
