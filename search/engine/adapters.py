"""Ray's scheduler over the controller: each result is written down and decided on before Ray acts on it."""

from __future__ import annotations

import json
from typing import Any

from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from core.errors import first_line
from search.engine.job import FAILED, NO_ROOM, NO_STORAGE, UNFIT
from search.study.controller import Controller


class ControllerSearcher(Searcher):
    """Asks the controller. It is never restored: a campaign resumes from its journal."""

    def __init__(self, controller: Controller) -> None:
        """Share the controller with the scheduler."""
        super().__init__()
        self._controller = controller
        self._started: dict[str, tuple[int, int]] = {}  # number and attempt, by Ray's id

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles searchers into its own record, which is thrown away."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """Parameters of the next trial, None to wait, FINISHED at the end."""
        trial = self._controller.next_trial()
        if trial == "finished":
            return Searcher.FINISHED
        if trial == "wait":
            return None
        assert not isinstance(trial, str)
        self._started[trial_id] = trial.number, trial.attempt_id
        return {**trial.params, "number": trial.number, "attempt": trial.attempt_id, "last_epoch": trial.last_epoch}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take note that the trial runs no more; how it ended is in the controller already, unless its process died."""
        if trial_id in self._started:
            self._controller.on_released(*self._started.pop(trial_id))

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: a state of Tune's would lag behind the journal."""
        raise RuntimeError("a campaign is resumed from its journal, not from Tune's state")


class ControllerScheduler(FIFOScheduler):
    """Stops what the controller ends. Results never say `done`, which would pass scheduler and searcher by."""

    def __init__(self, controller: Controller) -> None:
        """Share the controller with the searcher."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._controller = controller

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles schedulers into its own record, which is thrown away."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Write down, decide, answer."""
        number = trial.config["number"]
        if result["outcome"] == FAILED:
            self._controller.on_failed(number, result["reason"])
            return str(TrialScheduler.STOP)
        if result["outcome"] == NO_ROOM:
            self._controller.on_out_of_memory(number, result["reason"])
            return str(TrialScheduler.STOP)
        if result["outcome"] == NO_STORAGE:
            self._controller.on_storage_error(number, result["reason"])
            return str(TrialScheduler.STOP)
        if result["outcome"] == UNFIT:
            self._controller.on_unfit_node(result["reason"])
            return str(TrialScheduler.STOP)
        action = self._controller.on_result(number, json.loads(result["row"]))
        return str(TrialScheduler.STOP if action == "stop" else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The trial's process or node is gone."""
        error = trial.get_error()
        reason = first_line(error)
        number = trial.config["number"]
        if isinstance(error, OutOfMemoryError) or (isinstance(error, RayActorError) and "memory" in reason.lower()):
            self._controller.on_out_of_memory(number, reason)
        else:
            self._controller.on_died(number, reason)
