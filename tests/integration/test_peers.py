"""The searches of other libraries start, learn and are judged alike; what is not installed is skipped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers.campaign import BudgetSearch, Request, Trial, run_campaign
from benchmarks.peers.figures import (
    SHARES,
    CampaignResult,
    append_result,
    complete_campaigns,
    draw_campaigns,
    format_table,
    read_results,
)
from benchmarks.peers.searches import COMPETITORS, DEFAULT, Competitor, Setting
from search.engine.simulated import SimulatedWorkers
from search.study.space import Dimension, IntRange, PowerRange, Range
from search.study.trial_record import EpochRecord, TrialAssignment
from tests.helpers.trial_records import epoch_record

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # other libraries warn of each other's versions
    pytest.mark.costly,
]


class Valley:
    """A problem that is best at a rate of 1e-3, three layers and a batch of 128, whatever the epoch."""

    space: Mapping[str, Dimension] = {
        "rate": Range(low=1e-5, high=1e-1, log=True),
        "layers": IntRange(low=1, high=5),
        "batch": PowerRange(low=64, high=256, log2=True),
    }
    max_epochs = 9
    best, typical = 0.0, -3.0

    def quality(self, params: Mapping[str, Any]) -> float:
        rate, layers = np.log10(params["rate"]) + 3, params["layers"] - 3
        return -float(rate**2 + layers**2 + (params["batch"] != 128))

    def epoch(self, trial: TrialAssignment, epoch: int) -> EpochRecord:
        return replace(epoch_record(epoch, self.quality(trial.params) - 1 / epoch), seconds=1.0)


class Scripted:
    """Asks for trials in turn, and lets each go on to an epoch of its own."""

    def __init__(self, *ends: int) -> None:
        self.ends, self.asked, self.told = ends, 0, list[tuple[int, int]]()

    def ask(self) -> Trial | None:
        if self.asked == len(self.ends):
            return None
        self.asked += 1
        return Trial(self.asked - 1, {"x": float(self.asked - 1)})

    def tell(self, trial: Trial, record: EpochRecord) -> bool:
        self.told.append((trial.number, record.epoch))
        return record.epoch < self.ends[trial.number]


class Line:
    """Trials are worth their hyperparameter; an epoch takes as many seconds as their number and one more."""

    def epoch(self, trial: TrialAssignment, epoch: int) -> EpochRecord:
        return replace(epoch_record(epoch, trial.params["x"]), seconds=trial.number + 1.0)


def _run(competitor: Competitor, folder: Path, seed: int) -> list[Mapping[str, Any] | None]:
    folder.mkdir()
    search = competitor.make(Setting(Valley(), workers=3, trainings=8, seed=seed, folder=folder))
    return run_campaign(Valley(), search, SimulatedWorkers(3), [18, 36, 72])


@pytest.mark.parametrize("competitor", COMPETITORS, ids=lambda competitor: competitor.name)
def test_a_search_stays_in_the_space_learns_and_does_the_same_again(competitor: Competitor, tmp_path: Path) -> None:
    if not competitor.is_installed:
        pytest.skip(f"{' or '.join(competitor.packages)} is not installed")
    picks = [_run(competitor, tmp_path / str(seed), seed) for seed in range(2)]
    for pick in (pick for of_seed in picks for pick in of_seed):
        assert pick is not None
        assert set(pick) == set(Valley.space)
        assert 1e-5 <= pick["rate"] <= 1e-1
        assert pick["layers"] in range(1, 6)
        assert pick["batch"] in (64, 128, 256)
    assert max(Valley().quality(of_seed[-1] or {}) for of_seed in picks) > -1.5
    assert _run(competitor, tmp_path / "again", 1) == picks[1]
    assert picks[0] != picks[1]


@pytest.mark.parametrize("name", ["Ray Tune: OptunaSearch, ASHA", "Syne Tune: BOHB", DEFAULT])
def test_asha_stops_who_is_far_behind(name: str, tmp_path: Path) -> None:
    competitor = next(competitor for competitor in COMPETITORS if competitor.name == name)
    if not competitor.is_installed:
        pytest.skip(f"{' or '.join(competitor.packages)} is not installed")
    search = competitor.make(Setting(Valley(), workers=30, trainings=30, seed=0, folder=tmp_path))
    trials = [trial for trial in (search.ask() for _ in range(30)) if trial is not None]
    goes_on = [
        all(search.tell(trial, epoch_record(epoch, 30.0 - trial.number)) for epoch in (1, 2, 3)) for trial in trials
    ]
    assert goes_on[0]  # nobody is better
    assert not any(goes_on[10:])
    assert search.ask() is not None


def test_a_campaign_ends_with_the_last_budget_and_trains_in_parallel() -> None:
    search = Scripted(2, 2, 9)
    picks = run_campaign(Line(), search, SimulatedWorkers(2), [1, 3, 5])
    # Trial 0 ends an epoch at seconds 1 and 2, trial 1 at 2 and 4, trial 2, which takes the place of trial 0, at 5.
    assert search.told == [(0, 1), (1, 1), (0, 2), (1, 2), (2, 1)]
    assert picks == [{"x": 0.0}, {"x": 0.0}, {"x": 1.0}]  # of the trials that were trained longest, the best


def test_starting_a_trial_takes_time() -> None:
    search = Scripted(3, 1)
    run_campaign(Line(), search, SimulatedWorkers(1, start_seconds=4.0), [4])
    assert search.told == [(0, 1), (0, 2), (0, 3), (1, 1)]
    search = Scripted(9, 1, 1)
    run_campaign(Line(), search, SimulatedWorkers(2, start_seconds=4.0), [5])
    assert search.told == [(0, 1), (1, 1), (0, 2), (0, 3), (0, 4)]  # trial 2 starts at second 6


def test_a_search_that_asks_for_nothing_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="asks for no trial"):
        run_campaign(Line(), Scripted(1), SimulatedWorkers(1), [2])


def test_hyperparameters_that_come_again_go_on_where_they_stopped() -> None:
    told: list[tuple[str, int]] = []

    def requests() -> Iterator[Request]:
        for name, x, epochs in (("a", 0.0, 2), ("b", 1.0, 2), ("c", 1.0, 4), ("d", 1.0, 3)):
            yield Request({"x": x}, epochs, lambda record, name=name: told.append((name, record.epoch)))

    search = BudgetSearch(requests().__next__)
    assert run_campaign(Line(), search, SimulatedWorkers(1), [4, 6, 9]) == [{"x": 1.0}] * 3
    assert told == [("a", 2), ("b", 2), ("c", 4), ("d", 3)]  # "d" asks for fewer epochs, so it is trained anew


def test_hyperparameters_that_come_again_while_they_are_trained_are_another_trial() -> None:
    search = BudgetSearch(iter([Request({"x": 1.0}, epochs, lambda _: None) for epochs in (2, 4, 4, 4)]).__next__)
    first, second = search.ask(), search.ask()
    assert [search.tell(first, epoch_record(epoch, 1.0)) for epoch in (1, 2)] == [True, False]
    third, fourth = search.ask(), search.ask()
    assert [(trial.number, trial.last_epoch) for trial in (first, second, third, fourth)] == [
        (0, 0), (1, 0), (0, 2), (2, 0),
    ]  # fmt: skip


def _result(search: str, problem: str, seed: int, regret: float) -> CampaignResult:
    return CampaignResult(problem, seed, search, 20, {"test": [2 * regret, regret, regret]}, 1.0)


def test_the_table_says_who_is_ahead_over_the_campaigns_that_all_have_finished() -> None:
    results = [
        _result(search, problem, seed, regret + seed / 100)
        for problem in "pq"
        for seed in range(5)
        for search, regret in (("ours", 0.5), ("better", 0.25), ("worse", 0.75))
    ] + [_result("better", "r", 0, 9.0)]
    assert len(complete_campaigns(results, ["ours", "better", "worse"])) == 10
    header, rule, *lines = format_table(results, ["ours", "better", "worse"], "test", "ours").splitlines()
    assert header.count("|") == rule.count("|") == lines[0].count("|") == len(SHARES) + 5
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines}
    assert [cells[name][2].split()[0] for name in ("ours", "better", "worse")] == ["0.52", "0.27", "0.77"]
    assert [cells[name][0].split()[0] for name in ("ours", "better", "worse")] == ["1.04", "0.54", "1.54"]
    assert [cells[name][3] for name in ("ours", "better", "worse")] == [
        "2.0 (2.0 to 2.0)", "1.0 (1.0 to 1.0)", "3.0 (3.0 to 3.0)",
    ]  # fmt: skip
    assert [cells[name][4] for name in ("ours", "better", "worse")] == [
        "", "0.25 (0.25 to 0.25)", "-0.25 (-0.25 to -0.25)",
    ]  # fmt: skip
    low, high = (float(part.strip("()")) for part in cells["ours"][2].split()[1::2])
    assert (low, high) == (0.51, 0.53)
    assert "No campaign" in format_table(results, ["ours", "missing"], "test", "ours")


def test_whole_problems_are_drawn_again() -> None:
    campaigns = [(problem, seed) for problem in "pqr" for seed in range(4)]
    draws = draw_campaigns(campaigns, np.random.default_rng(0))
    assert draws.shape == (2000, 12)
    of_problem = [np.bincount(draw // 4, minlength=3) for draw in draws]
    assert all((counts % 4 == 0).all() for counts in of_problem)
    assert {int(counts.max()) for counts in of_problem} == {4, 8, 12}
    assert np.bincount(draws.ravel()).std() / 2000 < 0.1  # all alike


def test_a_file_of_results_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert read_results(path) == []
    first, second = _result("ours", "p", 0, 0.5), _result("ours", "p", 1, 0.25)
    append_result(path, first)
    with path.open("a") as file:
        file.write('{"problem": "p", "se')
    assert read_results(path) == [first]
    append_result(path, second)
    assert read_results(path) == [first, second]


def test_the_command_simulates_on_the_committed_table_once(tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    command = [
        sys.executable, "-m", "benchmarks.peers", "--table", "benchmarks/tables/btc-eth-15m.parquet", str(output),
        "--trainings", "2", "--seeds", "1", "--searches", "random", "cells",
    ]  # fmt: skip
    first, second = (
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False) for _ in range(2)
    )  # fmt: skip
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "recorded trainings" in first.stdout
    assert first.stdout == second.stdout
    names = [result.search for result in read_results(output)]
    assert len(names) == len(set(names)) == 6
    assert {DEFAULT, "ours: TPE, cells", "Optuna: TPE, Wilcoxon on cells"} < set(names)
