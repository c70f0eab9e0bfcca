"""Records read from a journal without Optuna are those that Optuna's own reading of it gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.storages.journal._storage import JournalOperation

from search.study.journal.file import read_committed
from search.study.journal.records import Operation, read_records
from search.study.settings import StudySettings
from search.study.space import SpaceConfig
from search.study.study import CampaignStudy, load_study, read_trials
from tests.helpers.trial_records import epoch_record, params, trial_record

ROOT = Path(__file__).parents[2]
JOURNALS = {
    "btc-eth-5m-30d": ROOT / "results",
    "btc-eth-15m-8m": ROOT / "results",
    "begun": ROOT / "tests" / "golden" / "campaigns",
}


def test_the_codes_of_operations_are_optunas() -> None:
    names = {
        "SET_PARAM": "SET_TRIAL_PARAM",
        "SET_STATE": "SET_TRIAL_STATE_VALUES",
        "SET_INTERMEDIATE_VALUE": "SET_TRIAL_INTERMEDIATE_VALUE",
        "SET_USER_ATTRIBUTE": "SET_TRIAL_USER_ATTR",
        "SET_SYSTEM_ATTRIBUTE": "SET_TRIAL_SYSTEM_ATTR",
        "SET_STUDY_USER_ATTRIBUTE": "SET_STUDY_USER_ATTR",
        "SET_STUDY_SYSTEM_ATTRIBUTE": "SET_STUDY_SYSTEM_ATTR",
    }
    assert {names.get(code.name, code.name): code.value for code in Operation} == {
        operation.name: operation.value
        for operation in JournalOperation
        if operation != JournalOperation.DISCARD_TRIALS  # refused: this program never discards a trial
    }


@pytest.mark.parametrize("name", JOURNALS)
def test_recorded_campaigns_are_read_alike(name: str) -> None:
    path = JOURNALS[name] / name / "journal.log"
    records = read_records(read_committed(path)[0], name)
    assert records == read_trials(load_study(path, name))
    assert records


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_all_that_a_campaign_can_write_is_read_alike(tmp_path: Path, sampler: str) -> None:
    path = tmp_path / "journal.log"
    settings = StudySettings("c", SpaceConfig().distributions(), sampler, "complete", seed=1)  # type: ignore[arg-type]
    study = CampaignStudy(path, settings)
    study.add_earlier_trials("earlier", [trial_record(0, [0.1, 0.2]), trial_record(1, [0.3])])
    study.enqueue_trials([("preset a", params(3)), ("preset b", params(4))])

    def check() -> None:
        expected = [trial for _, trial in sorted(study.trials.items())]
        assert read_records(read_committed(path)[0], "c") == expected == read_trials(load_study(path, "c"))

    check()
    first, second = study.ask(), study.ask()
    check()
    study.report(first.number, epoch_record(1, 0.5))
    study.report(first.number, epoch_record(2, 0.6), ("complete", ""))
    study.record_death(second.number, "killed")
    study.restart(second.number)
    study.report(second.number, epoch_record(1, 0.4))
    study.record_difference(second.number, "it differs")
    study.end(second.number, "failed", "for a reason")
    study.ask()
    check()
    study.close()


@pytest.mark.parametrize("name", ["other", ""])
def test_the_journal_of_another_campaign_is_refused(name: str) -> None:
    lines, _ = read_committed(JOURNALS["begun"] / "begun" / "journal.log")
    with pytest.raises(ValueError, match="not the journal of campaign"):
        read_records(lines, name)
