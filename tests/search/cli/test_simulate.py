from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from search.results.folder import CampaignFolder
from search.simulation.lcbench import LcbenchSurrogate
from tests.helpers.commands import invoke, run_command
from tests.search.simulation.test_lcbench import FOLDER
from tests.search.simulation.test_lcbench import surrogate as surrogate
from tests.search.simulation.test_recorded import table as table
from tests.search.simulation.test_recorded_campaign import CELLS, CONFIG, make_campaign, noise_alone

FEW = ("--trials", "6", "--seeds", "2")


def test_strategies_are_compared_on_a_recorded_table(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    table.to_parquet(path)
    options = "--workers", "2", "--workers", "8", "--price", "1.5", "--lost-every-hours", "10"
    out = invoke("simulate", "--table", str(path), "--metric", "auc", *FEW, *options)
    assert "6 trials, 2 simulated campaigns each" in out
    for word in ("epochs", "cells", "stopping", "promotion", "random", "tpe", "cost", "regret"):
        assert word in out
    assert out.count("│ cells") == 4


def test_strategies_are_compared_on_lcbench(surrogate: LcbenchSurrogate) -> None:
    out = invoke("simulate", "--lcbench", str(FOLDER), "--task", surrogate.tasks[0], *FEW)
    assert out.count("│ epochs") == 5
    assert "cells" not in out
    assert "cost" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name what to simulate on. Add one of --campaign NAME, --table FILE and --lcbench FOLDER --task TASK"),
        (("--campaign", "a", "--table", "t.parquet"), "Name what to simulate on"),
        (("--campaign", "absent"), "There is no campaign 'absent' in results"),
        (("--campaign", "a", "--metric", "auc"), "--metric and --truth have no effect without --table"),
        (("--table", "t.parquet", "--lcbench", "here"), "Name what to simulate on"),
        (("--table", "missing.parquet"), "missing.parquet"),
        (("--table", "t.parquet", "--lost-every-hours", "0"), "--lost-every-hours must be above 0"),
        (("--lcbench", "nowhere", "--task", "1"), "nowhere"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_one_line(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "--lcbench" in arguments:
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    assert run_command(monkeypatch, tmp_path, "simulate", *arguments) == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert error.count("error:") == 1


def test_an_unknown_metric_is_refused_with_those_that_the_table_has(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table.to_parquet(tmp_path / "table.parquet")
    assert run_command(monkeypatch, tmp_path, "simulate", "--table", "table.parquet", "--metric", "accuracy") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "The table has no metric 'accuracy'. Choose one of auc, nll." in error


def test_a_campaign_is_simulated_with_its_own_strategy_first(tmp_path: Path) -> None:
    folder = make_campaign(tmp_path)
    out = " ".join(_simulate(folder, "--workers", "3", "--price", "1.5").split())
    assert "6 trials, 2 simulated campaigns each" in out
    assert "cells" not in out
    first = out[out.index("│ epochs") :].split("│")
    assert [cell.strip() for cell in first[1:6]] == ["epochs", "stopping", "random", "complete", "3"]
    for part in (
        f"the strategy of campaign {folder.name} itself. Its 40 trials took",
        "worker hours; times and prices hold for machines like those that it ran on",
        "Their curves are continued by what trials that went on had after the same score",
        "are predicted with a rank correlation of 0.",
        "on val; a search does not know what it is worth later in time",
        "Regret is 0 for the best configuration",
    ):
        assert part in out


def test_a_campaign_by_cells_is_simulated_by_cells(tmp_path: Path) -> None:
    out = " ".join(_simulate(make_campaign(tmp_path, CELLS)).split())
    assert "│ epochs" not in out
    assert "│ cells" in out
    assert "on the blocks that its folds predict" in out


def test_a_campaign_that_cannot_tell_which_trials_are_better_shows_times_and_no_regret(tmp_path: Path) -> None:
    out = " ".join(_simulate(make_campaign(tmp_path, score=noise_alone)).split())
    assert "no better than chance. So this campaign cannot tell which strategy finds more" in out
    assert "hours" in out
    assert "Regret is" not in out
    assert "┃ regret" not in out


def test_as_many_trials_as_the_campaign_has_are_simulated(tmp_path: Path) -> None:
    folder = make_campaign(tmp_path, CONFIG.model_copy(update={"trials": 16, "reduction": 2}))
    out = invoke("simulate", "--campaign", folder.name, "--results", str(tmp_path), "--seeds", "1")
    assert "16 trials, 1 simulated campaigns each" in out


def test_the_help_has_an_example_with_a_campaign() -> None:
    assert "preset-search simulate --campaign btc-eth-30d" in " ".join(invoke("simulate", "--help").split())


def _simulate(folder: CampaignFolder, *options: str) -> str:
    return invoke("simulate", "--campaign", folder.name, "--results", str(folder.path.parent), *FEW, *options)
