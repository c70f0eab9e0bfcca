"""How a study is opened; what every sampler and policy keeps is held by tests/contracts/test_study.py."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from search.study.replay import replay_study
from search.study.settings import StudySettings
from search.study.space import SpaceConfig
from search.study.study import CampaignStudy, copy_study, load_study, take_over
from tests.helpers.processes import HANG_SECONDS

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
