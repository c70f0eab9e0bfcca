"""What a confirmation is planned and begun with; nothing is trained but the search before it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer import Exit

from core.errors import ConfigError
from search import confirm, confirm_cli
from search.config import ConfirmConfig
from search.confirmation import ConfirmationPlan, begin, plan_confirmation
from search.outputs import INCUMBENT
from tests.search.campaigns import NAME, searched


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return searched(tmp_path_factory.mktemp("confirmation") / "results").parent


@pytest.fixture(scope="module")
def plan(root: Path) -> ConfirmationPlan:
    return plan_confirmation(NAME, root)


def test_what_is_done_takes_no_more_time(root: Path, plan: ConfirmationPlan, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "results")
    left = plan_confirmation(NAME, tmp_path / "results")
    assert (left.missing, left.seconds) == (len(plan.cells), pytest.approx(plan.seconds))
    first = confirm._place(left, left.cells[0])
    for place, status in ((first, "complete"), (confirm._place(left, left.cells[1]), "failed")):
        place.mkdir(parents=True)
        (place / confirm.ROW_FILE).write_text(json.dumps({"status": status}))
    again = plan_confirmation(NAME, tmp_path / "results")
    assert again.missing == len(plan.cells) - 2
    assert 0 < again.seconds < plan.seconds
    for cell in left.cells:
        place = confirm._place(left, cell)
        place.mkdir(parents=True, exist_ok=True)
        (place / confirm.ROW_FILE).write_text('{"status": "complete"}')
    done = plan_confirmation(NAME, tmp_path / "results")
    assert (done.missing, done.seconds) == (0, 0.0)
    (first / confirm.ROW_FILE).write_text("{")  # it is trained again
    assert plan_confirmation(NAME, tmp_path / "results").missing == 1


def test_flags_leave_the_campaigns_own_settings_be(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ConfirmConfig(top=2, seeds=2, folds=2)  # as the campaign says
    assert plan_confirmation(NAME, root, {"seeds": 1}).settings == own.model_copy(update={"seeds": 1})
    asked: list[ConfirmConfig] = []
    monkeypatch.setattr(confirm, "confirm", lambda plan: asked.append(plan.settings) or _stop())
    with pytest.raises(Exit):
        confirm_cli.run_confirmation(NAME, root, {"top": 1, "seeds": None, "folds": None})
    assert asked == [own.model_copy(update={"top": 1})]
    with pytest.raises(ConfigError, match="'seeds'"):
        plan_confirmation(NAME, root, {"seeds": 0})
    shutil.copytree(root, tmp_path / "results")
    begin(plan_confirmation(NAME, tmp_path / "results", {"top": 1, "seeds": 1}))
    again = plan_confirmation(NAME, tmp_path / "results", {"seeds": 1})  # as it was begun
    assert again.settings == ConfirmConfig(top=1, seeds=1, folds=2)


def _stop() -> None:
    raise KeyboardInterrupt


def test_an_incumbent_whose_training_failed_and_only_that_can_be_replaced(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "results")
    for name in (None, "conservative"):
        begun = plan_confirmation(NAME, tmp_path / "results", incumbent=name)
        begin(begun)
        place = confirm._place(begun, next(cell for cell in begun.cells if cell.candidate.number == INCUMBENT))
        place.mkdir()
        row = place / confirm.ROW_FILE
        for content in (None, "{", '{"status": "complete"}'):
            if content is not None:
                row.write_text(content)
            with pytest.raises(ConfigError, match="was begun with"):
                plan_confirmation(NAME, tmp_path / "results", incumbent="production_large")
        row.write_text('{"status": "failed"}')
        other = plan_confirmation(NAME, tmp_path / "results", incumbent="production_large")
        assert other.named_incumbent == other.incumbent == "production_large"
        with pytest.raises(ConfigError, match="was begun with"):
            plan_confirmation(NAME, tmp_path / "results", {"seeds": 1}, "production_large")
        shutil.rmtree(place.parent)
    begin(other)
    with pytest.raises(ConfigError, match=r"begun with .*--incumbent production_large"):
        plan_confirmation(NAME, tmp_path / "results", incumbent="conservative")
