from __future__ import annotations

import pytest

from core.config import Hyperparameters
from tests.helpers.trial_jobs import Start, report_row, reported_failure, trial_config

pytestmark = pytest.mark.costly


def test_each_step_is_an_epoch_and_its_value_the_best_score_so_far(start: Start) -> None:
    trial = start(trial_config())
    rows = [report_row(trial.step()) for _ in range(3)]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["value"] for row in rows] == [max(r["score"] for r in rows[: k + 1]) for k in range(3)]


def test_a_reused_process_gives_what_a_fresh_one_gives(start: Start) -> None:
    other = trial_config(learning_rate=1e-4, batch_size=64, number=8)
    fresh = report_row(start(other).step())
    reused = start(trial_config())
    reused.step()
    assert reused.reset_config(other)
    assert report_row(reused.step()) == fresh


def test_a_training_that_diverges_reports_a_failure_with_its_reason(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A learning rate beyond all reason makes the weights, then the loss, overflow.
    monkeypatch.setattr(Hyperparameters, "apply", lambda _, recipe: recipe.with_trainer(learning_rate=1e30))
    result = start(trial_config()).step()
    assert reported_failure(result).cause == "failure"
    assert reported_failure(result).reason.startswith("NonFiniteLossError: The training loss is not finite at step")
    assert "done" not in result


def test_a_trainer_that_cannot_be_built_reports_a_failure(start: Start) -> None:
    assert reported_failure(start(trial_config(batch_size=10**6)).step()).reason.startswith(
        "ConfigError: A batch of 1000000"
    )
