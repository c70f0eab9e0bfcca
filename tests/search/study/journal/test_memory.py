from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search.study.settings import SamplerKind
from search.study.study import CampaignStudy
from search.study.trial_record import TrialRecord
from tests.helpers.controllers import SETTINGS
from tests.helpers.trial_records import epoch_record


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize("pauses", [(), (1,)])
def test_a_study_in_memory_proposes_and_records_what_one_in_a_file_does(
    tmp_path: Path, sampler: SamplerKind, pauses: tuple[int, ...]
) -> None:
    settings = replace(SETTINGS, sampler=sampler, pauses=pauses)
    in_memory, in_file = CampaignStudy(None, settings), CampaignStudy(tmp_path / "journal.log", settings)
    for study in (in_memory, in_file):
        for number in range(15):
            trial = study.ask()
            study.report(number, epoch_record(1, trial.params["dropout"]))
            if number % 3 == 0:
                study.report(number, epoch_record(2, trial.params["dropout"]), ("complete", ""))
            elif number % 3 == 1:
                study.record_death(number, "gone")
                study.end(number, "failed", "it was made to fail")
    assert _records(in_memory) == _records(in_file)
    assert in_memory.elapsed >= 0
    in_memory.close()
    in_file.close()


def _records(study: CampaignStudy) -> list[TrialRecord]:
    return list(study.trials.values())
