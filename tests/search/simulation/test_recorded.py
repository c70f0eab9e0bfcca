from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.config import HYPERPARAMETER_NAMES
from core.errors import ConfigError
from search.engine.simulated import SimulatedWorkers
from search.simulation.recorded import RecordedCells, RecordedCurves, RecordedEpochs, read_table
from search.simulation.simulate import Strategy, simulate
from search.study.controller import Budget
from search.study.space import SpaceConfig
from search.study.trial_record import TrialAssignment

EPOCHS, FOLDS, CONFIGURATIONS = 6, 3, 60
NOISE = 0.05


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Recorded trainings of a market where less dropout is better, on every fold; every fifth with three seeds."""
    rng = np.random.default_rng(0)
    space = SpaceConfig().dimensions()
    rows: list[dict[str, Any]] = []
    for configuration in range(CONFIGURATIONS):
        params = {name: space[name].at(rng.random(1))[0] for name in HYPERPARAMETER_NAMES}
        for fold, seed in product(range(FOLDS), range(3 if configuration % 5 == 0 else 1)):
            noise = NOISE * rng.normal(size=2)
            for epoch in range(1, EPOCHS + 1):
                score = fold - params["dropout"] - 1 / epoch
                rows.append(
                    {
                        **params,
                        "configuration": configuration,
                        "fold": fold,
                        "seed": seed,
                        "epoch": epoch,
                        "seconds": 1.0 + fold,
                        "train_loss": 5 - params["focal_gamma"],
                        "val_auc": score + noise[0],
                        "later_auc": score + noise[1],
                        "val_nll": -score,
                        "later_nll": -score,
                    }
                )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def curves(table: pd.DataFrame) -> RecordedCurves:
    return RecordedCurves(table)


def _trial(number: int, dropout: float) -> TrialAssignment:
    params = {"learning_rate": 1e-4, "batch_size": 128, "weight_decay": 0.01, "dropout": dropout}
    return TrialAssignment(number, 1, 0, {**params, "focal_gamma": 2.0, "mixup_alpha": 0.2})


def test_the_surrogate_knows_what_matters(curves: RecordedCurves, table: pd.DataFrame) -> None:
    points = table.loc[table["epoch"] == 1, list(HYPERPARAMETER_NAMES)].drop_duplicates().to_numpy()
    means = curves.mean_curves("later_auc", 2, points)
    assert means.shape == (CONFIGURATIONS, EPOCHS)
    expected = 2 - points[:, [3]] - 1 / np.arange(1, EPOCHS + 1)
    assert np.abs(means - expected).mean() < 0.06
    assert np.corrcoef(means[:, -1], -points[:, 3])[0, 1] > 0.9


def test_the_noise_is_that_of_single_trainings(curves: RecordedCurves, table: pd.DataFrame) -> None:
    noises = curves.noises("val_auc", 0)
    assert noises.shape == (CONFIGURATIONS // 5 * 3, EPOCHS)
    of_fold = table[(table["fold"] == 0) & (table["epoch"] == 1)].groupby("configuration")["val_auc"]
    assert np.mean(noises[:, 0] ** 2) == pytest.approx(of_fold.var(ddof=1).dropna().mean())
    np.testing.assert_allclose(noises, noises[:, :1].repeat(EPOCHS, axis=1))
    assert curves.noises("val_nll", 0).std() < 1e-12


def test_a_trial_reports_the_last_folds_val_and_its_best_epoch_so_far(curves: RecordedCurves) -> None:
    problem = RecordedEpochs(curves, "auc", "auc", seed=0)
    records = [problem.epoch(_trial(3, 0.3), epoch) for epoch in range(1, EPOCHS + 1)]
    assert [record.value for record in records] == list(np.maximum.accumulate([record.score for record in records]))
    assert records[-1].score == pytest.approx(2 - 0.3 - 1 / 6, abs=0.3)
    assert {record.seconds for record in records} == {3.0}
    assert records[2].score == problem.epoch(_trial(3, 0.3), 3).score
    assert records[2].score != problem.epoch(_trial(4, 0.3), 3).score  # another training
    assert records[2].score != RecordedEpochs(curves, "auc", "auc", seed=1).epoch(_trial(3, 0.3), 3).score


def test_a_cell_is_a_short_training_on_an_earlier_fold_and_the_value_their_mean(curves: RecordedCurves) -> None:
    problem = RecordedCells(curves, "auc", "auc", seed=0, cells=4, epochs=3)
    assert problem.max_epochs == 4
    records = [problem.epoch(_trial(3, 0.3), cell) for cell in range(1, 5)]
    scores = [record.score for record in records]
    for score, fold in zip(scores, (1, 0, 1, 0), strict=True):
        assert score == pytest.approx(fold - 0.3 - 1 / 3, abs=0.3)
    assert scores[0] != scores[2]  # another seed
    np.testing.assert_allclose([record.value for record in records], np.cumsum(scores) / np.arange(1, 5))
    assert [record.seconds for record in records] == [6.0, 3.0, 6.0, 3.0]


def test_trials_can_be_ranked_by_their_own_loss_whatever_they_are_worth(curves: RecordedCurves) -> None:
    problem = RecordedEpochs(curves, "train_loss", "auc", seed=0)
    focal, plain = (
        TrialAssignment(0, 1, 0, {**_trial(0, dropout).params, "focal_gamma": gamma})
        for dropout, gamma in ((0.6, 5.0), (0.0, 0.0))
    )
    assert problem.epoch(focal, 1).value > problem.epoch(plain, 1).value + 1
    assert problem.quality(focal.params) < problem.quality(plain.params)


def test_a_training_is_worth_its_last_epochs_or_the_one_that_is_best_on_val(table: pd.DataFrame) -> None:
    """A training whose score on val is best at the second epoch, and later in time rises to the end."""
    falling = table.assign(val_auc=-((table["epoch"] - 2.0) ** 2), later_auc=table["epoch"] - table["dropout"])
    params = _trial(0, 0.3).params
    end, best = (RecordedEpochs(RecordedCurves(falling), "auc", "auc", 0, keep) for keep in ("end", "best"))
    assert end.quality(params) == pytest.approx(np.mean([4, 5, 6]) - 0.3, abs=0.15)
    assert best.quality(params) == pytest.approx(2 - 0.3, abs=0.15)
    assert best.best > best.typical


@pytest.mark.parametrize("kind", [RecordedEpochs, RecordedCells])
@pytest.mark.parametrize("metric", ["auc", "nll"])
def test_higher_is_better_whatever_the_metric(curves: RecordedCurves, kind: Any, metric: str) -> None:
    problem = kind(curves, metric, metric, seed=0)
    good, bad = _trial(0, 0.0), _trial(0, 0.6)
    assert problem.epoch(good, 1).score > problem.epoch(bad, 1).score
    assert problem.best >= problem.quality(good.params) > problem.typical > problem.quality(bad.params)


def test_a_search_on_it_finds_what_is_better(curves: RecordedCurves) -> None:
    for problem in (RecordedEpochs(curves, "auc", "auc", 0), RecordedCells(curves, "auc", "auc", 0)):
        strategy = Strategy("random", asha="promotion", grace=1)
        found = simulate(problem, strategy, SimulatedWorkers(2), Budget(trials=30), seed=0)
        assert found.regret < 0.7


def test_a_training_that_ended_early_is_left_out(table: pd.DataFrame) -> None:
    cut = table[~((table["configuration"] == 0) & (table["epoch"] > 2))]
    assert len(RecordedCurves(cut).noises("val_auc", 0)) == (CONFIGURATIONS // 5 - 1) * 3


def test_cells_need_an_earlier_fold_and_are_no_longer_than_what_was_recorded(table: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="The table has one fold, and cells need an earlier one"):
        RecordedCells(RecordedCurves(table[table["fold"] == 2]), "auc", "auc", 0)
    long = RecordedCells(RecordedCurves(table), "auc", "auc", 0, epochs=99)
    whole = RecordedCells(RecordedCurves(table), "auc", "auc", 0, epochs=EPOCHS)
    assert long.epoch(_trial(0, 0.1), 1).score == whole.epoch(_trial(0, 0.1), 1).score


def test_a_table_without_repeated_seeds_has_no_noise_to_draw(table: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="no configuration that was trained with several seeds"):
        RecordedCurves(table[table["seed"] == 0]).noises("val_auc", 0)


def test_a_file_that_is_no_table_is_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_parquet(tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "table.parquet"), table)
    table.drop(columns="fold").to_parquet(tmp_path / "table.parquet")
    with pytest.raises(ConfigError, match="has no column fold"):
        read_table(tmp_path / "table.parquet")
    (tmp_path / "table.parquet").write_text("no table")
    with pytest.raises(ConfigError, match=r"table\.parquet"):
        read_table(tmp_path / "table.parquet")
