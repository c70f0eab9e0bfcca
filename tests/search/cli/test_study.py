from __future__ import annotations

import optuna
import pytest

from tests.helpers.campaigns import NAME
from tests.helpers.commands import invoke

pytestmark = [pytest.mark.costly, pytest.mark.usefixtures("in_copy_of_searched_root")]


def test_every_proposal_is_made_again() -> None:
    assert "3 of 3" in invoke("replay", NAME)


def test_a_study_is_copied_once() -> None:
    assert "copied 3 trials" in invoke("study", "copy", NAME, "--to", "sqlite:///studies.db")
    study = optuna.load_study(study_name=NAME, storage="sqlite:///studies.db")
    assert len(study.trials) == 3
