from __future__ import annotations

import pickle
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from search import results
from search.progress import Display, Recorder
from search.results import TrialRecord
from tests.search.records import epoch, record


class FakeTrial:
    """What a Tune trial shows to callbacks."""

    def __init__(self, trial_id: str, error: Exception | None = None) -> None:
        self.trial_id = trial_id
        self.config = record(0, []).six
        self._error = error

    def get_error(self) -> Exception | None:
        return self._error


class Campaign:
    """Plays Tune's part: two trials are known, and say what a test has them say."""

    def __init__(self, error: Exception | None = None) -> None:
        self.ended: list[TrialRecord] = []
        self.trials = [FakeTrial("a"), FakeTrial("b", error)]
        self.recorder = Recorder(3, lambda _: None, lambda _, ended: self.ended.append(ended))
        for trial in reversed(self.trials):
            self.recorder.on_trial_start(0, self.trials, trial)

    def result(self, place: int, content: dict[str, Any]) -> None:
        self.recorder.on_trial_result(0, self.trials, self.trials[place], content)


def _training(number: int, value: float) -> dict[str, Any]:
    return {**epoch(number, value), "outcome": "training"}


def test_trials_are_numbered_in_the_order_of_asking() -> None:
    campaign = Campaign()
    assert [found.number for found in campaign.recorder.records] == [0, 1]


@pytest.mark.parametrize(("epochs", "status"), [(3, results.COMPLETE), (2, results.STOPPED)])
def test_a_trial_is_complete_only_at_max_epochs(epochs: int, status: str) -> None:
    campaign = Campaign()
    for number in range(epochs):
        campaign.result(0, _training(number + 1, 0.4))
    campaign.recorder.on_trial_complete(0, campaign.trials, campaign.trials[0])
    assert campaign.ended[0].status == status
    assert len(campaign.ended[0].epochs) == epochs


def test_a_failed_trial_keeps_its_reason_and_its_epochs() -> None:
    campaign = Campaign()
    campaign.result(1, _training(1, 0.4))
    campaign.result(1, {"outcome": "failed", "reason": "NonFiniteLossError: at step 3", "epoch": 2, "value": 0.0})
    campaign.recorder.on_trial_complete(0, campaign.trials, campaign.trials[1])
    assert campaign.ended[0].status == results.FAILED
    assert campaign.ended[0].reason == "NonFiniteLossError: at step 3"
    assert len(campaign.ended[0].epochs) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("the actor died\nwith a long story"), "RuntimeError: the actor died"),
        (None, "the trial's process died"),  # what Ray says of a process that was killed
    ],
)
def test_a_dead_process_is_a_failed_trial(error: Exception | None, reason: str) -> None:
    campaign = Campaign(error=error)
    campaign.recorder.on_trial_error(0, campaign.trials, campaign.trials[1])
    assert (campaign.ended[0].number, campaign.ended[0].status) == (1, results.FAILED)
    assert campaign.ended[0].reason == reason


def test_a_process_that_dies_while_starting_was_never_announced() -> None:
    campaign = Campaign()
    late = FakeTrial("c")
    campaign.recorder.on_trial_error(0, [*campaign.trials, late], late)
    assert (campaign.ended[0].number, campaign.ended[0].status) == (2, results.FAILED)


def test_what_runs_beside_the_trials_is_looked_after_at_every_step() -> None:
    seen: list[int] = []
    recorder = Recorder(3, lambda _: None, lambda *_: None, lambda: seen.append(1))
    recorder.on_step_end(0, [])
    recorder.on_step_end(1, [])
    assert len(seen) == 2


def test_a_trial_that_never_ended_is_interrupted() -> None:
    campaign = Campaign()
    campaign.result(0, _training(1, 0.4))
    assert {found.status for found in campaign.recorder.records} == {results.INTERRUPTED}


def test_tune_can_pickle_the_recorder_although_its_hooks_cannot_be() -> None:
    recorder = Recorder(3, lambda _: None, lambda *_: None)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(recorder._on_end)
    assert pickle.loads(pickle.dumps(recorder)).records == []


def test_each_ended_trial_gets_a_line_with_its_values_and_how_it_ended() -> None:
    console = Console(record=True, width=200, file=None, quiet=False)
    progress = Progress(console=console)
    display = Display(progress, trials=2)
    campaign = Campaign()
    with progress:
        display.end(campaign.recorder, record(0, [0.25, 0.5]))
        display.end(campaign.recorder, record(1, [0.1], results.FAILED))
    text = console.export_text()
    assert "0.5000 after 2 epochs  complete" in text
    assert "failed: said why" in text
    assert "batch 128" in text
