"""A confirmation keeps the settings that it was begun with; nothing is trained but the search before it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer import Exit

from core.errors import ConfigError
from search.cli import confirm
from search.config import ConfirmConfig
from search.confirmation import run as confirmation
from search.confirmation.plan import plan_confirmation, record_settings
from search.results.folder import ROW_FILE
from search.results.predictions import INCUMBENT
from tests.helpers.campaigns import NAME
from tests.helpers.confirmations import write_row

pytestmark = pytest.mark.costly


def test_flags_change_only_the_settings_that_they_name(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign_settings = ConfirmConfig(top=2, seeds=2, folds=2)  # as the campaign says
    assert plan_confirmation(NAME, root, {"seeds": 1}).settings == campaign_settings.model_copy(update={"seeds": 1})
    used_settings: list[ConfirmConfig] = []
    monkeypatch.setattr(
        confirmation, "run_confirmation", lambda plan, engine: used_settings.append(plan.settings) or _stop()
    )
    with pytest.raises(Exit):
        confirm.confirm_and_show(NAME, root, {"top": 1, "seeds": None, "folds": None})
    assert used_settings == [campaign_settings.model_copy(update={"top": 1})]
    with pytest.raises(ConfigError, match="'seeds'"):
        plan_confirmation(NAME, root, {"seeds": 0})
    shutil.copytree(root, tmp_path / "results")
    record_settings(plan_confirmation(NAME, tmp_path / "results", {"top": 1, "seeds": 1}))
    continued = plan_confirmation(NAME, tmp_path / "results", {"seeds": 1})  # as it was begun
    assert continued.settings == ConfirmConfig(top=1, seeds=1, folds=2)


def _stop() -> None:
    raise KeyboardInterrupt


def test_only_an_incumbent_whose_training_failed_can_be_replaced(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "results")
    for name in (None, "conservative"):
        begun = plan_confirmation(NAME, tmp_path / "results", incumbent=name)
        record_settings(begun)
        cell = next(cell for cell in begun.cells if cell.candidate.number == INCUMBENT)
        write_row(begun, cell, "complete")
        row = begun.campaign.folder.cell(begun.key(cell)) / ROW_FILE
        complete = row.read_text()
        row.unlink()
        for content in (None, "{", complete):
            if content is not None:
                row.write_text(content)
            with pytest.raises(ConfigError, match="was begun with"):
                plan_confirmation(NAME, tmp_path / "results", incumbent="production_large")
        write_row(begun, cell, "failed")
        other = plan_confirmation(NAME, tmp_path / "results", incumbent="production_large")
        assert other.named_incumbent == other.incumbent == "production_large"
        with pytest.raises(ConfigError, match="was begun with"):
            plan_confirmation(NAME, tmp_path / "results", {"seeds": 1}, "production_large")
        shutil.rmtree(begun.campaign.folder.cells)
    record_settings(other)
    with pytest.raises(ConfigError, match=r"begun with .*--incumbent production_large"):
        plan_confirmation(NAME, tmp_path / "results", incumbent="conservative")


def test_a_confirmation_continues_with_the_settings_that_it_was_begun_with(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "results")
    settings = ConfirmConfig(top=1, seeds=1, folds=1)
    record_settings(plan_confirmation(NAME, tmp_path / "results", settings, incumbent="conservative"))
    again = plan_confirmation(NAME, tmp_path / "results")
    assert (again.settings, again.incumbent) == (settings, "conservative")
    assert plan_confirmation(NAME, tmp_path / "results", settings).settings == settings
    for other in ({"settings": ConfirmConfig(top=1, seeds=1, folds=2)}, {"incumbent": "quick_experiment"}):
        with pytest.raises(ConfigError, match=r"begun with --top 1 --seeds 1 --folds 1 --incumbent conservative"):
            plan_confirmation(NAME, tmp_path / "results", **other)  # type: ignore[arg-type]
    (tmp_path / "results" / NAME / "confirmation" / "begun.json").write_text("{")
    with pytest.raises(ConfigError, match=r"begun\.json cannot be read"):
        plan_confirmation(NAME, tmp_path / "results")


def test_the_options_of_a_begun_confirmation_are_named_where_they_are_not_the_defaults(
    root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path / "results")
    settings = {"top": 2, "trainings": 40, "neighbours": False}
    record_settings(plan_confirmation(NAME, tmp_path / "results", settings))
    assert plan_confirmation(NAME, tmp_path / "results", {"neighbours": False}).reserved == 0
    expected = "begun with --top 2 --seeds 2 --folds 2 --trainings 40 --no-neighbours"
    for other in ({"neighbours": True}, {"trainings": 41}):
        with pytest.raises(ConfigError, match=expected):
            plan_confirmation(NAME, tmp_path / "results", other)


def test_a_confirmation_that_an_earlier_version_began_continues_with_its_settings(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "results")
    path = tmp_path / "results" / NAME / "confirmation" / "begun.json"
    path.parent.mkdir()
    path.write_text('{"settings": {"top": 1, "seeds": 2, "folds": 2}, "incumbent": null}')
    assert plan_confirmation(NAME, tmp_path / "results").settings == ConfirmConfig(top=1, seeds=2, folds=2)
