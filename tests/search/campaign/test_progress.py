from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console
from rich.progress import Progress

from search.campaign.estimate import RemainingTime
from search.campaign.progress import Display, _format_ended
from search.study.trial_record import FAILED
from tests.helpers.trial_records import trial_record


def test_each_ended_trial_gets_a_line_with_its_values_and_how_it_ended() -> None:
    console = Console(record=True, width=200, file=None, quiet=False)
    progress = Progress(console=console)
    display = Display(progress, 4, [trial_record(3, [0.2])])
    trials = [trial_record(0, [0.25, 0.5]), trial_record(1, [0.1], FAILED), trial_record(2, [float("nan")], None)]
    with progress:
        for trial in trials:
            for _ in trial.epochs:
                display.epoch(trial)
        display.end(trials[0])
        display.end(trials[1])
    text = console.export_text()
    assert "0.5000 after 2 epochs  complete" in text
    assert "failed: said why" in text
    assert "batch 128" in text
    assert "best 0.5000 (#0), 5 epochs" in text
    assert progress.tasks[0].completed == 3


def test_a_hyperparameter_that_was_not_searched_is_shown_as_such() -> None:
    trial = trial_record(0, [0.5])
    assert "mixup 0.00" in _format_ended(trial)
    assert "gamma 2.00 mixup n/a " in _format_ended(replace(trial, not_searched=("mixup_alpha",)))


@pytest.mark.parametrize("numbers", [(3, 4), (4, 3)])
def test_of_equally_good_trials_the_earlier_is_shown_as_the_best(numbers: tuple[int, int]) -> None:
    console = Console(record=True, width=200, file=None, quiet=False)
    progress = Progress(console=console)
    recorded, new = (trial_record(number, [0.5]) for number in numbers)
    with progress:
        Display(progress, 2, [recorded]).epoch(new)
    assert "best 0.5000 (#3), 2 epochs" in console.export_text()


def test_the_time_that_is_left_is_shown_from_the_first_epoch_on() -> None:
    console = Console(record=True, width=200, file=None, quiet=False)
    progress = Progress(console=console)
    display = Display(progress, 2, (), RemainingTime((), 3, 2, False, 1, 2))
    trial = trial_record(0, [0.25])
    trial.epochs[1] = replace(trial.epochs[1], seconds=200.0)
    with progress:
        assert "left" not in progress.tasks[0].description
        display.epoch(trial)
        assert progress.tasks[0].description.endswith("1 epochs, about 10 min left")
        display.end(trial)
        other = trial_record(1, [0.25])
        display.epoch(other)
        display.end(other)
        assert progress.tasks[0].description.endswith("2 epochs")
