"""Ray Tune's searcher and scheduler, which only pass on: every decision is the controller's."""

from __future__ import annotations

from typing import Any

from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from core.errors import first_line
from search.study.controller import Controller
from search.study.retries import TrainingFailure
from search.study.trial_record import TrialRecord


class ControllerSearcher(Searcher):
    """Asks the controller for trials. It is never restored: a campaign resumes from its journal."""

    def __init__(self, controller: Controller) -> None:
        """Ask the controller that the scheduler reports to."""
        super().__init__()
        self._controller = controller
        self._started: dict[str, tuple[int, int]] = {}  # number and attempt, by Ray's identifier of the trial

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles searchers into a record of its own, which is thrown away."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of the next trial, None to wait, or FINISHED at the end."""
        trial = self._controller.next_trial()
        if isinstance(trial, TrialRecord):
            self._started[trial_id] = trial.number, trial.attempt_id
            return {"assignment": trial.assignment}
        return Searcher.FINISHED if trial == "finished" else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the controller that the trial has no process any more.

        How the trial ended the controller knows already, unless its process died.
        """
        if trial_id in self._started:
            self._controller.on_released(*self._started.pop(trial_id))

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Refuse, because Tune's own state would lag behind the journal.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a campaign is resumed from its journal, not from Tune's state")


class ControllerScheduler(FIFOScheduler):
    """Hands every report to the controller before Ray acts on it, and stops the trials that the controller ends.

    Results never say `done`: such a result would reach neither scheduler nor searcher.
    """

    def __init__(self, controller: Controller) -> None:
        """Report to the controller that the searcher asks."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._controller = controller

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles schedulers into a record of its own, which is thrown away."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Have the controller write the report down and decide, then answer Ray."""
        action = self._controller.on_report(_number(trial), result["report"])
        return str(TrialScheduler.STOP if action == "stop" else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Tell the controller that the trial's process or node is gone."""
        self._controller.on_failure(_number(trial), process_failure(trial.get_error()))


def _number(trial: Any) -> int:
    return int(trial.config["assignment"].number)


def process_failure(error: Exception | None) -> TrainingFailure:
    """Return the failure that Ray's error about a lost process stands for."""
    reason = first_line(error)
    is_memory = isinstance(error, OutOfMemoryError) or (isinstance(error, RayActorError) and "memory" in reason.lower())
    return TrainingFailure("out of memory" if is_memory else "death", reason)
