from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.config import HYPERPARAMETER_NAMES
from core.errors import ConfigError
from core.files import write_table
from search.results import tables
from search.results.folder import CONFIG_FILE, PREDICTIONS_FILE, RETURNS_FILE, TRIALS_FILE, CampaignFolder
from search.storage.filesystem import Storage
from search.study.asha import decide
from search.study.trial_record import FAILED, STOPPED, TrialRecord
from tests.helpers.trial_records import epoch_record, trial_record


def test_every_trial_has_a_row_with_its_values_status_and_reason() -> None:
    trials = [
        trial_record(2, [0.3], FAILED),
        trial_record(0, [0.3, 0.4]),
        trial_record(1, [0.2], STOPPED),
        trial_record(3, [], None),
    ]
    table = tables.make_trials_table(trials)
    assert table["number"].tolist() == [0, 1, 2, 3]
    assert table["status"].tolist() == ["complete", "stopped", "failed", "interrupted"]
    assert table["epochs"].tolist() == [2, 1, 1, 0]
    assert table["reason"].tolist() == ["", "said why", "said why", "said why"]
    assert table["seconds"].tolist() == [4.0, 2.0, 2.0, 0.0]
    assert table["value"].isna().tolist() == [False, False, True, True]
    for name in HYPERPARAMETER_NAMES:
        assert table[name].tolist() == [trials[index].params[name] for index in (1, 2, 0, 3)]


def test_curves_have_a_row_for_each_epoch_of_each_trial() -> None:
    table = tables.make_curves_table([trial_record(1, [0.2, 0.3]), trial_record(0, [0.5])])
    assert list(zip(table["number"], table["epoch"], table["score"], strict=True)) == [
        (0, 1, 0.5),
        (1, 1, 0.2),
        (1, 2, 0.3),
    ]


def test_the_decision_at_a_rung_is_in_the_row_of_its_epoch() -> None:
    stopped = trial_record(0, [0.2, 0.3], STOPPED)
    stopped.epochs[2] = replace(stopped.epochs[2], decision=decide(2, 0.3, {5: 0.4, 6: 0.5}, 3))
    table = tables.make_curves_table([stopped])
    assert table["action"].tolist()[1:] == ["stop"]
    assert table["action"].isna().tolist() == [True, False]
    assert table[["seen", "rank", "kept"]].iloc[1].tolist() == [3, 3, 1]


def _with_blocks(number: int, blocks: tuple[float, ...] | None) -> TrialRecord:
    trial = trial_record(number, [0.2, 0.3, 0.4])
    trial.epochs[2] = replace(trial.epochs[2], val_blocks=blocks)
    return trial


def test_the_scores_by_block_are_those_of_every_trial_at_the_first_rung(tmp_path: Path) -> None:
    folder = CampaignFolder(tmp_path)
    never_there, undefined = trial_record(0, [0.2], FAILED), (math.nan, math.nan, math.nan)
    trials = [_with_blocks(2, (0.1, math.nan, 0.3)), _with_blocks(1, undefined), never_there]
    tables.write_tables(folder, trials)
    np.testing.assert_array_equal(tables.read_val_blocks(folder), [undefined, (0.1, math.nan, 0.3)])


def test_a_campaign_of_an_earlier_version_has_no_scores_by_block_even_if_it_was_resumed(tmp_path: Path) -> None:
    folder = CampaignFolder(tmp_path)
    tables.write_tables(folder, [_with_blocks(0, None), _with_blocks(1, (0.1, 0.2))])
    assert tables.read_val_blocks(folder) is None
    tables.write_tables(folder, [_with_blocks(0, None)])
    assert tables.read_val_blocks(folder) is None
    write_table(folder.curves_table, folder.read_curves().drop(columns=["val_blocks"]))
    assert tables.read_val_blocks(folder) is None


def test_scores_by_block_that_are_damaged_are_one_error(tmp_path: Path) -> None:
    folder = CampaignFolder(tmp_path)
    tables.write_tables(folder, [_with_blocks(0, (0.1, 0.2)), _with_blocks(1, (0.1,))])
    with pytest.raises(ConfigError, match=r"curves\.parquet cannot be read .*Restore"):
        tables.read_val_blocks(folder)


def test_metrics_of_a_best_epoch_with_two_results_are_those_of_the_training_that_continued() -> None:
    trial = trial_record(0, [0.5, 0.6])
    # Run again on a GPU, epoch 2 gave 0.7: its first value stands in the record, and the training continues with 0.7.
    reported = replace(epoch_record(3, 0.4), value=0.7, best_epoch=2, best_metrics={"macro_f1": 0.7})
    trial.epochs[3] = trial.recordable(reported)
    table = tables.make_trials_table([trial])
    assert table["val_macro_f1"].tolist() == table["value"].tolist() == [0.7]


def test_metrics_of_the_best_epoch_are_recorded_once() -> None:
    trial = trial_record(0, [0.5])
    reported = replace(epoch_record(2, 0.4), value=0.5, best_epoch=1, best_metrics={"macro_f1": 0.5})
    assert "best_metrics" not in trial.recordable(reported).as_row()


def test_the_metrics_of_a_trial_are_those_of_its_best_epoch() -> None:
    trial = trial_record(0, [0.5, 0.4])
    trial.epochs[2] = replace(trial.epochs[2], value=0.5, best_epoch=1)
    table = tables.make_trials_table([trial])
    assert table["val_macro_f1"].tolist() == table["value"].tolist() == [0.5]


def test_the_tables_of_full_fidelity_trials_are_joined_by_number(tmp_path: Path) -> None:
    trials = [trial_record(2, [0.1]), trial_record(0, [0.2]), trial_record(1, [0.3], STOPPED)]
    for number in (0, 1, 2):
        for name in (PREDICTIONS_FILE, RETURNS_FILE):
            write_table(tmp_path / "parts" / str(number) / "1" / name, pd.DataFrame({"number": [number] * 2}))
    storage = Storage(str(tmp_path / "parts"))
    written = tables.join_trial_outputs(CampaignFolder(tmp_path), storage, trials)
    assert [path.name for path in written] == ["predictions.parquet", "returns.parquet"]
    assert pd.read_parquet(written[0])["number"].tolist() == [0, 0, 2, 2]
    assert tables.join_trial_outputs(CampaignFolder(tmp_path), storage, [trials[2]]) == []


def test_rows_of_trials_whose_own_tables_are_gone_come_from_the_campaigns_table(tmp_path: Path) -> None:
    for name in (PREDICTIONS_FILE, RETURNS_FILE):
        write_table(tmp_path / name, pd.DataFrame({"number": [0, 0]}))
        write_table(tmp_path / "parts" / "1" / "1" / name, pd.DataFrame({"number": [1]}))
    both = [trial_record(0, [0.2]), trial_record(1, [0.3])]
    storage = Storage(str(tmp_path / "parts"))
    tables.check_trial_outputs(CampaignFolder(tmp_path), storage, both)
    tables.join_trial_outputs(CampaignFolder(tmp_path), storage, both)
    assert pd.read_parquet(tmp_path / PREDICTIONS_FILE)["number"].tolist() == [0, 0, 1]
    for check in (tables.check_trial_outputs, tables.join_trial_outputs):
        with pytest.raises(ConfigError, match="of trial 2 is missing"):
            check(CampaignFolder(tmp_path), storage, [*both, trial_record(2, [0.1])])
    (tmp_path / PREDICTIONS_FILE).write_bytes(b"torn")
    with pytest.raises(ConfigError, match=r"predictions\.parquet cannot be read"):
        tables.check_trial_outputs(CampaignFolder(tmp_path), storage, both)


def test_tables_of_an_interrupted_attempt_are_not_used(tmp_path: Path) -> None:
    for attempt in (1, 2):
        for name in (PREDICTIONS_FILE, RETURNS_FILE):
            write_table(
                tmp_path / "parts" / "0" / str(attempt) / name, pd.DataFrame({"number": [0], "attempt": [attempt]})
            )
    ended = trial_record(0, [0.2])
    ended.attempts = 2
    (written, _) = tables.join_trial_outputs(CampaignFolder(tmp_path), Storage(str(tmp_path / "parts")), [ended])
    assert pd.read_parquet(written)["attempt"].tolist() == [2]


def test_tables_without_a_trial_keep_their_columns(tmp_path: Path) -> None:
    write_table(tmp_path / TRIALS_FILE, tables.make_trials_table([]))
    table = CampaignFolder(tmp_path).read_trials()
    assert len(table) == 0
    assert set(HYPERPARAMETER_NAMES) <= set(table.columns)
    assert CampaignFolder(tmp_path).read_ranked_trials() == []


def test_the_error_about_a_missing_campaign_lists_the_existing_ones(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / CONFIG_FILE).write_text("config: {}")
    with pytest.raises(ConfigError, match=r"no campaign 'gone'.*other"):
        CampaignFolder.find(tmp_path, "gone")
    with pytest.raises(ConfigError, match="cannot be the name"):
        CampaignFolder.find(tmp_path, "../other")


@pytest.mark.parametrize("damage", ["missing", "truncated", "other columns"])
def test_a_damaged_table_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / TRIALS_FILE
    if damage == "truncated":
        write_table(path, tables.make_trials_table([trial_record(0, [0.5])]))
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "other columns":
        pd.DataFrame({"number": [1]}).to_parquet(path)
    with pytest.raises(ConfigError, match=r"trials\.parquet cannot be read"):
        CampaignFolder(tmp_path).read_trials()


def test_a_journal_that_lacks_epochs_of_the_tables_is_refused(tmp_path: Path) -> None:
    trials = [trial_record(0, [0.2, 0.3]), trial_record(1, [0.3])]
    tables.check_not_behind(CampaignFolder(tmp_path), [])  # nothing was written yet
    tables.write_tables(CampaignFolder(tmp_path), trials)
    tables.check_not_behind(CampaignFolder(tmp_path), [*trials, trial_record(2, [0.1])])
    for fewer_trials in ([trials[0]], [trials[0], trial_record(1, [])], [trials[0], trial_record(1, [0.31])]):
        with pytest.raises(ConfigError, match="The journal lacks epoch 1 of trial 1"):
            tables.check_not_behind(CampaignFolder(tmp_path), fewer_trials)
