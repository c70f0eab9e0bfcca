"""Connects Ray Tune to the controller: a searcher and a scheduler that pass everything on and decide nothing."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from core.errors import first_line
from search.engine.processes import STARTED, ProcessId, find_largest_killed
from search.study.controller import Controller
from search.study.retries import TrainingFailure
from search.study.trial_record import TrialRecord

_NODE_DIED = "its node has died"
"""Ray's words for an actor whose node is gone; `RayActorError.preempted` holds only for announced preemptions."""


class ControllerSearcher(Searcher):
    """Hands the controller's trials to Tune; it is never restored, because a campaign resumes from its journal."""

    def __init__(self, controller: Controller) -> None:
        """Prepare to ask a controller for trials.

        Args:
            controller: the controller that the scheduler reports to, too.
        """
        super().__init__()
        self._controller = controller
        self._started: dict[str, tuple[int, int]] = {}  # number and attempt_id, by Tune's identifier of the trial

    def __getstate__(self) -> dict[str, Any]:
        """Return no state: Tune pickles searchers into an experiment record, which is not used."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """Return the configuration of the next trial, None if Tune must wait, or FINISHED after the last one."""
        trial = self._controller.next_trial()
        if isinstance(trial, TrialRecord):
            self._started[trial_id] = trial.number, trial.attempt_id
            return {"assignment": trial.assignment}
        return Searcher.FINISHED if trial == "finished" else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the controller that the trial no longer has a process.

        The controller knows already how the trial ended, unless its process died.
        """
        if trial_id in self._started:
            self._controller.on_released(*self._started.pop(trial_id))

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal records the search."""

    def restore(self, checkpoint_path: str) -> None:
        """Refuse, because Tune's own state would lag behind the journal.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a campaign is resumed from its journal, not from Tune's state")


class ControllerScheduler(FIFOScheduler):
    """Hands every report to the controller before Tune acts on it, and stops the trials that the controller ends.

    No result has the key `done`, because Tune would pass such a result neither to scheduler nor to searcher.
    """

    def __init__(self, controller: Controller) -> None:
        """Prepare to report to a controller.

        Args:
            controller: the controller that the searcher asks for trials, too.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._controller = controller
        self._trials: dict[ProcessId, int] = {}  # number of the trial that each process trains

    def __getstate__(self) -> dict[str, Any]:
        """Return no state: Tune pickles schedulers into an experiment record, which is not used."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether Tune stops the trial, after the controller has recorded its report and decided."""
        if isinstance(result["report"], str) and result["report"] == STARTED:
            self._trials[ProcessId(result["node_ip"], result["pid"])] = _number(trial)
            return TrialScheduler.CONTINUE
        action = self._controller.on_report(_number(trial), result["report"])
        # A paused trial gives its process up, too: it may go on much later, as another of Tune's trials.
        return str(TrialScheduler.CONTINUE if action == "continue" else TrialScheduler.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Tell the controller that the trial has lost its process or its node."""
        self._controller.on_failure(_number(trial), classify_process_error(read_process_error(trial)))

    def on_all_lost(self, error: RayError) -> None:
        """Tell the controller that Tune has lost all processes, and which trial that is charged to.

        Args:
            error: the error that Tune did not expect.
        """
        killed = find_largest_killed(error) if isinstance(error, OutOfMemoryError) else None
        culprit = self._trials.get(killed) if killed is not None else None
        self._controller.on_all_lost(classify_process_error(error), culprit)


def _number(trial: Any) -> int:
    return int(trial.config["assignment"].number)


def read_process_error(trial: Any) -> Exception | None:
    """Return the error that ended the process of one of Tune's trials; None if Tune has recorded none.

    `trial.get_error` does not have it yet: it reads what Tune has uploaded, and Tune tells the scheduler before it
    uploads the error.

    Args:
        trial: Tune's trial, in the scheduler's `on_trial_error`.
    """
    path = trial.pickled_error_file
    if path is None:
        return None
    try:
        error = pickle.loads(Path(path).read_bytes())  # noqa: S301 - this process has just written it
    except Exception:  # the file cannot be read, or the class of the error cannot be imported here
        return None
    return error if isinstance(error, Exception) else None


def classify_process_error(error: Exception | None) -> TrainingFailure:
    """Return the failure that an error of Ray about a lost process stands for.

    Args:
        error: the error that Ray reports; None if it reports none.
    """
    # Of an error that was raised in a process Ray gives the traceback: its last line says what was wrong.
    reason = str(error).splitlines()[-1] if isinstance(error, RayTaskError) else first_line(error)
    is_actor_error = isinstance(error, RayActorError)
    if isinstance(error, OutOfMemoryError) or (is_actor_error and "memory" in reason.lower()):
        return TrainingFailure("out of memory", reason)
    if isinstance(error, NodeDiedError):
        return TrainingFailure("lost node", reason)
    for line in str(error).splitlines() if is_actor_error else ():
        if _NODE_DIED in line:
            return TrainingFailure("lost node", f"{type(error).__name__}: {line.strip()}")
    return TrainingFailure("death", reason)
