"""What Ray and Optuna do that our code is built around. When one of these fails after an upgrade, look at its place."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from search.study.asha import rung_epochs
from tests.helpers.processes import HANG_SECONDS, environment, owned

pytestmark = pytest.mark.costly


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All observations, from one Ray session."""
    with owned(tmp_path_factory.mktemp("facts")) as folder:
        command = [sys.executable, "-m", "tests.contracts.facts"]
        done = subprocess.run(command, env=environment(folder), capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _names(observed: dict[str, Any]) -> list[str]:
    return [name for name, _ in observed["events"]]


def test_the_scheduler_sees_a_result_before_the_searcher(seen: dict[str, Any]) -> None:
    # So the controller decides and writes in the scheduler; the searcher only hands out trials.
    assert _names(seen["stopped"])[:2] == ["scheduler result", "searcher result"]


def test_a_result_that_says_done_passes_both_by(seen: dict[str, Any]) -> None:
    # So results never say `done`: `search.engine.adapters` ends trials.
    assert _names(seen["done"]).count("scheduler result") == 2
    assert _names(seen["done"])[-1] == "searcher complete"


def test_a_nested_result_arrives_flattened(seen: dict[str, Any]) -> None:
    # So `search.engine.trainable` sends an epoch as a text.
    assert seen["done"]["events"][0][1] == ["row/value"]


def test_the_searcher_does_not_learn_what_ended_a_trial(seen: dict[str, Any]) -> None:
    # So it reads the controller.
    told = {
        name: [event for event in seen[name]["events"] if event[0] == "searcher complete"]
        for name in ("done", "stopped")
    }
    assert told["done"][0] == told["stopped"][0] == ["searcher complete", [False, True]]


def test_a_process_is_reused_by_the_next_trial_though_it_saves_nothing(seen: dict[str, Any]) -> None:
    # So `TrainingTrial` need not know Tune's checkpoints.
    assert seen["stopped"]["processes"] == 1


def test_our_own_exception_looks_like_a_dead_process(seen: dict[str, Any]) -> None:
    # So a trial's own failure is a result, and only a dead process an error.
    assert "scheduler error" in _names(seen["error"])
    assert seen["error"]["events"][-1] == ["searcher complete", [True, False]]
    assert _names(seen["error"]).index("scheduler error") < _names(seen["error"]).index("searcher complete")


def test_tune_tells_the_scheduler_of_an_error_before_the_trial_has_it(seen: dict[str, Any]) -> None:
    # So `search.engine.adapters.read_process_error` reads the file that Tune has just written.
    (told,) = [content for name, content in seen["error"]["events"] if name == "scheduler error"]
    assert told == [True, "ValueError: of our own"]


def test_rays_asha_never_stops_a_trial_with_a_nan_metric() -> None:
    # So `search.study.asha` does.
    scheduler = ASHAScheduler(
        time_attr="epoch", metric="value", mode="max", max_t=9, grace_period=1, reduction_factor=3
    )
    trials = [SimpleNamespace(trial_id=str(number)) for number in range(4)]
    for trial in trials:
        scheduler.on_trial_add(None, trial)
    for trial in trials[:3]:
        scheduler.on_trial_result(None, trial, {"epoch": 1, "value": 0.5})
    decision = scheduler.on_trial_result(None, trials[3], {"epoch": 1, "value": math.nan})
    assert decision == TrialScheduler.CONTINUE


def test_rays_searcher_reports_a_stopped_trial_as_complete() -> None:
    # So there is a fidelity policy, and the study is told by `search.study.study`.
    storage = optuna.storages.InMemoryStorage()
    searcher = OptunaSearch(
        space={"x": optuna.distributions.FloatDistribution(0, 1)}, metric="value", mode="max", storage=storage,
        study_name="x",
    )  # fmt: skip
    searcher.suggest("a")
    searcher.on_trial_result("a", {"value": 0.1, "training_iteration": 1})
    searcher.on_trial_complete("a", result={"value": 0.1, "training_iteration": 1})
    (trial,) = optuna.load_study(study_name="x", storage=storage).trials
    assert (trial.state, trial.value) == (optuna.trial.TrialState.COMPLETE, 0.1)


def test_optunas_journal_glues_a_torn_line_to_the_next(tmp_path: Path) -> None:
    # So `search.study.journal.backend` cuts it off before Optuna opens the file.
    path = str(tmp_path / "journal.log")
    backend = JournalFileBackend(path)
    backend.append_logs([{"a": 1}])
    with Path(path).open("ab") as file:
        file.write(b'{"torn')
    backend.append_logs([{"a": 2}, {"a": 3}])
    with pytest.raises(json.JSONDecodeError):
        list(JournalFileBackend(path).read_logs(0))


def test_rays_searcher_dies_of_its_own_study_when_it_is_resumed() -> None:
    # So a campaign never hands a study to Ray: `ControllerSearcher` reads the controller, which reads the journal.
    storage = optuna.storages.InMemoryStorage()

    def searcher() -> OptunaSearch:
        space = {"x": optuna.distributions.FloatDistribution(0, 1)}
        return OptunaSearch(space=space, metric="value", mode="max", storage=storage, study_name="x")

    first = searcher()
    first.suggest("a")
    state = first.__dict__.copy()
    first.on_trial_complete("a", result={"value": 0.1, "training_iteration": 1})
    # A snapshot of Tune's lags behind the study: in it, the trial still runs.
    again = searcher()
    again.__dict__.update(_ot_trials=dict(state["_ot_trials"]))
    again._ot_trials["a"] = optuna.trial.Trial(again._ot_study, 0)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        again.on_trial_result("a", {"value": 0.2, "training_iteration": 2})


def test_rays_rungs_come_from_a_quotient_of_logarithms() -> None:
    # So `search.study.asha` multiplies integers: here a rung at 243 is lost to rounding.
    assert int(math.log(243) / math.log(3)) == 4
    scheduler = ASHAScheduler(
        time_attr="epoch", metric="value", mode="max", max_t=243, grace_period=1, reduction_factor=3
    )
    assert 243 not in [milestone for milestone, _ in scheduler._brackets[0]._rungs]
    assert rung_epochs(1, 3, 244)[-1] == 243


def test_optunas_file_lock_of_a_dead_holder_is_waited_for() -> None:
    # So `search.study.journal.backend` holds the file by flock, which the kernel releases.
    with tempfile.TemporaryDirectory() as folder:
        code = (
            "import os, sys; os.chdir(sys.argv[1]); open('journal.log', 'w').close()\n"
            "from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock\n"
            "lock = JournalFileSymlinkLock('journal.log'); assert lock.acquire(); os._exit(0)"
        )
        subprocess.run([sys.executable, "-c", code, folder], check=True, timeout=HANG_SECONDS)
        code = code.replace("assert lock.acquire(); os._exit(0)", "lock.acquire()").replace(
            "open('journal.log', 'w').close()", ""
        )
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run([sys.executable, "-c", code, folder], check=True, timeout=8)
