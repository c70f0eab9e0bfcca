from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from core.config import DataConfig, SyntheticConfig
from search.campaign.estimate import RemainingTime
from search.campaign.live_view import LivePanel, LiveView, Rung, describe, make_live_view, render, standard_error
from search.config import CampaignConfig, CellsConfig
from search.study.trial_record import FAILED, STOPPED, TrialRecord
from tests.helpers.trial_records import trial_record

CONFIG = CampaignConfig(name="try", data=DataConfig(synthetic=SyntheticConfig()), trials=10, max_epochs=18)


def _trials() -> list[TrialRecord]:
    lost = replace(trial_record(3, [0.3], FAILED), deaths=["out of [memory]"])
    return [
        trial_record(0, [0.4, 0.5] * 9),
        trial_record(1, [0.3, 0.3], STOPPED),
        trial_record(2, [0.2, 0.4, 0.7], None),
        lost,
        trial_record(4, [0.5, 0.5, 0.5, 0.5, 0.5, 0.5], STOPPED),
        trial_record(5, [], None),
    ]


def _remaining(trials: list[TrialRecord]) -> RemainingTime:
    remaining = RemainingTime(CONFIG.rungs, CONFIG.reduction, CONFIG.steps, False, 2, CONFIG.trials)
    remaining.read(trials)
    return remaining


def _view(**changes: Any) -> LiveView:
    trials = _trials()
    return replace(make_live_view(CONFIG, trials, _remaining(trials), 3725.0, next_commands=["stop try"]), **changes)


def _text(view: LiveView, width: int = 160) -> str:
    terminal = Console(width=width, force_terminal=False)
    with terminal.capture() as captured:
        terminal.print(render(view))
    return captured.get()


def test_trials_are_counted_ranked_and_told_apart() -> None:
    view = _view()
    assert view.outcomes == {"complete": 1, "stopped": 2, "running": 2, "failed": 1}
    assert [trial.number for trial in view.leaders] == [2, 0, 4, 1, 3]
    assert [trial.number for trial in view.running] == [2, 5]
    assert view.rungs == (Rung(2, 4, 1, 3), Rung(6, 2, 1, 1))
    assert view.epochs == 18 + 2 + 3 + 1 + 6
    assert view.saved == 16 + 12
    assert view.failures == ((3, "out of [memory]"), (3, "said why"))


def test_all_of_it_is_shown_and_nothing_is_taken_for_markup() -> None:
    text = _text(_view())
    for part in (
        "campaign try: running, 1:02:05 elapsed",
        "4 of 10 trials ended (1 complete, 1 failed, 2 running, 2 stopped); 30 epochs run, 28 saved by stopping early",
        "epoch 2: 4 reached, 1 stopped, 3 beyond",
        "lr 1.0e-04 batch 128",
        "running #2    ▁▄█ 0.7000",
        "running #5     starting",
        "lost #3: out of [memory]",
        "next: preset-search stop try",
    ):
        assert part in text


def test_control_characters_of_a_reason_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in _text(_view(failures=((1, "\x1b]0;owned\x07"),)))


def test_the_remaining_time_is_a_range_between_fast_and_slow_epochs() -> None:
    trials = [replace(trial, epochs=_with_seconds(trial)) for trial in _trials()]
    remaining = _remaining(trials)
    view = make_live_view(CONFIG, trials, remaining, 0.0)
    assert view.remaining is not None
    assert remaining.seconds is not None
    low, high = view.remaining
    assert low < remaining.seconds < high
    assert " left" in describe(view)[0][0]


def _with_seconds(trial: TrialRecord) -> dict[int, Any]:
    return {number: replace(epoch, seconds=60.0 * (1 + number % 4)) for number, epoch in trial.epochs.items()}


def test_before_the_first_epoch_and_after_the_last_nothing_is_said_of_the_time() -> None:
    config = CONFIG.model_copy(update={"trials": 1})
    for trials in ([], [trial_record(0, [0.5])]):
        remaining = RemainingTime(config.rungs, 3, 18, False, 2, config.trials)
        remaining.read(trials)
        view = make_live_view(config, trials, remaining, 0.0)
        assert view.remaining is None
        assert "left" not in describe(view)[0][0]
        assert _text(view)


def test_cells_are_called_cells() -> None:
    config = CONFIG.model_copy(update={"cells": CellsConfig(folds=3, seeds=1)})
    assert "cells run" in describe(make_live_view(config, [], _remaining([]), 0.0))[1][0]


def test_the_standard_error_is_that_of_the_blocks_of_val() -> None:
    trial = trial_record(0, [0.5, 0.6])
    assert standard_error(trial) is None
    trial.epochs[2] = replace(trial.epochs[2], val_blocks=(0.4, 0.6, math.nan, 0.5))
    assert standard_error(trial) == pytest.approx(0.1 / math.sqrt(3))
    assert "0.0577" in _text(replace(_view(), leaders=(trial,)))


def test_a_panel_makes_its_view_again_after_its_time_and_keeps_the_last_where_it_cannot() -> None:
    views: list[Any] = [_view(phase="one"), RuntimeError("a trial got an epoch"), _view(phase="two")]

    def make() -> LiveView:
        view = views.pop(0)
        if isinstance(view, Exception):
            raise view
        return view

    eager, calm = LivePanel(make, seconds=0.0), LivePanel(lambda: _view(phase="calm"), seconds=1000.0)
    first = eager()
    assert eager() is first
    assert eager() is not first
    assert calm() is calm()
