"""How a study is opened; what every sampler and policy keeps is held by tests/contracts/test_study.py."""

from __future__ import annotations

import copy
import errno
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

from core.errors import ConfigError
from search.study.replay import replay_study
from search.study.settings import StudySettings
from search.study.space import SpaceConfig
from search.study.study import CampaignStudy, copy_study, load_study, read_trials, take_over
from search.study.trial_record import EpochRecord
from tests.helpers.processes import HANG_SECONDS
from tests.helpers.trial_records import trial_record

SETTINGS = StudySettings("c", SpaceConfig().distributions(), "random", "complete", seed=0)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def optuna_messages() -> Iterator[list[str]]:
    """Collect what Optuna logs at its own default level."""
    logger = logging.getLogger("optuna")
    before = optuna.logging.get_verbosity()
    collector = _Collector()
    logger.addHandler(collector)
    optuna.logging.set_verbosity(optuna.logging.INFO)
    yield collector.messages
    logger.removeHandler(collector)
    optuna.logging.set_verbosity(before)


def test_optuna_logs_at_its_own_default_level(optuna_messages: list[str]) -> None:
    optuna.create_study()
    assert "A new study created" in optuna_messages[0]  # or the tests below would see nothing


def test_a_campaigns_study_is_opened_before_optuna_can_say_anything(tmp_path: Path, optuna_messages: list[str]) -> None:
    CampaignStudy(tmp_path / "journal.log", SETTINGS).close()
    assert optuna_messages == []


def test_reading_replaying_copying_and_taking_over_a_study_log_nothing(
    tmp_path: Path, optuna_messages: list[str]
) -> None:
    path = tmp_path / "journal.log"
    CampaignStudy(path, SETTINGS).close()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    replay_study(path, SETTINGS)
    optuna.logging.set_verbosity(optuna.logging.INFO)
    copy_study(path, "c", f"sqlite:///{tmp_path}/copy.db")
    for open_study in (load_study, take_over):
        optuna.logging.set_verbosity(optuna.logging.INFO)
        open_study(path, "c")
        assert optuna.logging.get_verbosity() == optuna.logging.WARNING
    assert optuna_messages == []


def test_importing_the_study_leaves_optunas_verbosity_alone() -> None:
    code = "import optuna, search.study.study; assert optuna.logging.get_verbosity() == optuna.logging.INFO"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=HANG_SECONDS)


DAMAGED_LINES: dict[str, dict[str, object]] = {
    "an unknown operation": {"op_code": 99},
    "a trial that does not exist": {"op_code": 8, "trial_id": 9999, "user_attr": {}},
    "no study": {"op_code": 4},
    "an unknown state": {"op_code": 6, "trial_id": 0, "state": 99},
    "a finished trial that goes on": {"op_code": 6, "trial_id": 0, "state": 1, "values": 3},
    "an attribute without a name": {"op_code": 8, "trial_id": 0, "user_attr": 3},
    "no distribution": {"op_code": 5, "trial_id": 0, "param_name": "dropout", "param_value_internal": 0.1},
    "a step of several": {"op_code": 7, "trial_id": 0, "step": [1], "intermediate_value": 0},
    "an epoch without a result": {"op_code": 8, "trial_id": 0, "user_attr": {"epoch_1": "{}"}},
    "an epoch that is a list": {"op_code": 8, "trial_id": 0, "user_attr": {"epoch_1": "[]"}},
}
READERS: dict[str, Callable[[Path], object]] = {
    "opening the study": lambda path: CampaignStudy(path, SETTINGS),
    "reading its trials": lambda path: read_trials(load_study(path, "c")),
    "replaying it": lambda path: replay_study(path, SETTINGS),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("damage", DAMAGED_LINES)
def test_a_damaged_line_is_one_error_that_names_the_journal(damage: str, reader: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study = CampaignStudy(path, SETTINGS)
    study.ask()
    study.close()
    with path.open("a") as file:
        file.write(json.dumps(DAMAGED_LINES[damage] | {"worker_id": "w"}) + "\n")
    with pytest.raises(ConfigError, match=r"journal.* Restore it from a backup"):
        READERS[reader](path)


@pytest.mark.parametrize(
    "act", [{"kind": "end", "trial": 7}, {"kind": "result", "trial": 3}, {"kind": "ask", "trial": "0"}]
)
def test_a_replay_refuses_an_act_on_a_trial_that_does_not_exist(act: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    CampaignStudy(path, SETTINGS).close()
    line = {"op_code": 2, "study_id": 0, "user_attr": {"x": 1}, "worker_id": "w", "act": act}
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(ConfigError, match=r"journal\.log cannot be read"):
        replay_study(path, SETTINGS)


def test_a_replay_refuses_a_journal_that_does_not_say_how_a_trial_was_proposed(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    study = CampaignStudy(path, SETTINGS)
    for _ in range(2):
        study.ask()
    study.close()
    assert replay_study(path, SETTINGS).equal == 2
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line.get("act", {}).get("trial") == 1:
            del line["act"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ConfigError, match="it does not say how trial 1 was proposed"):
        replay_study(path, SETTINGS)


def test_a_failed_assertion_of_optuna_is_damage_of_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.log"
    CampaignStudy(path, SETTINGS).close()

    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("Should not reach.")

    monkeypatch.setattr(optuna, "load_study", fail)
    for read in (lambda: CampaignStudy(path, SETTINGS), lambda: load_study(path, "c"), lambda: take_over(path, "c")):
        with pytest.raises(ConfigError, match=r"is not a journal of campaign c \(Should not reach\.?\)"):
            read()


def _epoch(number: int, value: float) -> EpochRecord:
    return trial_record(0, [value] * number).epochs[number]


_CALLS: dict[str, Callable[[CampaignStudy], object]] = {
    "ask": lambda study: study.ask(),
    "restart": lambda study: study.restart(0),
    "report": lambda study: study.report(0, _epoch(2, 0.4)),
    "report an end": lambda study: study.report(0, _epoch(2, 0.4), ("complete", "")),
    "end": lambda study: study.end(0, "failed", "it broke"),
    "record a death": lambda study: study.record_death(0, "it died"),
    "record a difference": lambda study: study.record_difference(0, "it differs"),
}


@pytest.mark.parametrize("function", ["write", "fsync"])
@pytest.mark.parametrize("call", _CALLS)
def test_what_a_failed_write_loses_is_not_in_memory_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, function: str
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "journal.log"
    study = CampaignStudy(path, SETTINGS)
    study.ask()
    study.report(0, _epoch(1, 0.3))
    before = copy.deepcopy((study.trials, study.ended))
    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(ConfigError, match="cannot be written"):
            _CALLS[call](study)
    assert (study.trials, study.ended) == before
    study.close()
    reopened = CampaignStudy(path, SETTINGS)
    assert (reopened.trials, reopened.ended) == before
    _CALLS[call](reopened)
    reopened.close()


def test_a_half_written_transaction_that_cannot_be_cut_off_is_cut_off_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "journal.log"
    study = CampaignStudy(path, SETTINGS)
    study.ask()
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, content: write(file, content[: len(content) // 2]))
        patch.setattr(os, "ftruncate", fail)
        with pytest.raises(ConfigError, match="cannot be written"):
            study.report(0, _epoch(1, 0.3))
    study.close()
    reopened = CampaignStudy(path, SETTINGS)
    assert reopened.trials[0].epochs == {}
    reopened.close()
