from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import ConfigError
from search.simulation.lcbench import EPOCHS, INPUTS, OUTPUTS, LcbenchProblem, LcbenchSurrogate
from search.study.trial_record import TrialAssignment

FOLDER = Path(__file__).parents[4] / "shared" / "lcbench"


@pytest.fixture(scope="module")
def surrogate() -> LcbenchSurrogate:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    if not FOLDER.is_dir():
        pytest.skip("the surrogate of LCBench is not here")
    return LcbenchSurrogate(FOLDER)


def test_accuracy_is_one_and_rises_with_the_epoch(surrogate: LcbenchSurrogate) -> None:
    rng = np.random.default_rng(0)
    points = {name: dimension.at(rng.random(200)) for name, dimension in surrogate.space.items()}
    assert len(surrogate.tasks) == 34
    assert tuple(points) == INPUTS
    early, late = (surrogate.predict("189906", points, np.full(200, epoch)) for epoch in (2, EPOCHS))
    assert set(early) == set(OUTPUTS)
    for found in (early, late):
        assert (found["val_accuracy"] >= 0).all()
        assert (found["val_accuracy"] <= 100).all()
    assert np.mean(late["val_accuracy"] > early["val_accuracy"]) > 0.9
    assert (late["time"] > early["time"]).all()


def test_a_trial_reports_the_curve_of_its_hyperparameters(surrogate: LcbenchSurrogate) -> None:
    problem = LcbenchProblem(surrogate, "167168")
    rng = np.random.default_rng(1)
    params = {name: dimension.at(rng.random(1))[0] for name, dimension in problem.space.items()}
    trial = TrialAssignment(0, 1, 0, params)
    records = [problem.epoch(trial, epoch) for epoch in range(1, EPOCHS + 1)]
    repeated = {name: np.full(EPOCHS, value) for name, value in params.items()}
    curve = surrogate.predict("167168", repeated, np.arange(1, EPOCHS + 1))
    np.testing.assert_allclose([record.score for record in records], curve["val_accuracy"], rtol=1e-6)
    np.testing.assert_allclose([record.value for record in records], np.maximum.accumulate(curve["val_accuracy"]))
    assert problem.quality(params) == pytest.approx(float(curve["test_balanced_accuracy"][-1]))
    assert all(record.seconds > 0 for record in records)
    assert problem.typical < problem.best


def test_trials_can_be_ranked_and_judged_by_other_outputs_where_less_loss_is_better(
    surrogate: LcbenchSurrogate,
) -> None:
    problem = LcbenchProblem(surrogate, "167168", metric="val_cross_entropy", truth="test_cross_entropy")
    params = {name: dimension.at(np.array([0.5]))[0] for name, dimension in problem.space.items()}
    repeated = {name: np.full(EPOCHS, value) for name, value in params.items()}
    curve = surrogate.predict("167168", repeated, np.arange(1, EPOCHS + 1))
    records = [problem.epoch(TrialAssignment(0, 1, 0, params), epoch) for epoch in range(1, EPOCHS + 1)]
    np.testing.assert_allclose([record.score for record in records], -curve["val_cross_entropy"], rtol=1e-6)
    assert problem.quality(params) == pytest.approx(-float(curve["test_cross_entropy"][-1]))
    assert problem.typical < problem.best < 0


def test_an_unknown_task_is_refused(surrogate: LcbenchSurrogate) -> None:
    with pytest.raises(ConfigError, match="LCBench has no task 1"):
        LcbenchProblem(surrogate, "1")


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    with pytest.raises(ConfigError, match=r"encoding\.json"):
        LcbenchSurrogate(tmp_path)
