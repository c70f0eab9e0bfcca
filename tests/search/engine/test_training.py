from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from core.presets import load_preset
from search.cluster.resources import TrialResources
from search.engine.cell_training import CellTraining
from search.engine.job import TrialJob
from search.engine.training import make_training
from search.engine.trial_training import TrialTraining
from search.storage.filesystem import Storage
from search.study.trial_record import TrialAssignment


def test_the_training_is_that_of_cells_where_the_job_has_cells(tmp_path: Path) -> None:
    recipe = load_preset("quick_experiment").training_config(size="quick")
    job = TrialJob(recipe, TrialResources("cpu", 1, 0.0, 1), Storage(str(tmp_path)), (1,), cells=((0, 1),))
    assignment, data = TrialAssignment(0, 1, 0, {}), Any
    assert isinstance(make_training(job, data, assignment), CellTraining)
    assert isinstance(make_training(replace(job, cells=()), data, assignment), TrialTraining)
