"""A confirmation from plan to preset, trained in this process; with Ray it is tested in tests/integration."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from core.errors import ConfigError
from core.files import read_yaml, to_yaml, write_json
from core.presets import Preset, load_preset, preset_yaml, save_preset
from search.cli import confirm
from search.cli.app import app
from search.confirmation import cells
from search.confirmation import run as confirmation
from search.confirmation.candidates import Cell
from search.confirmation.cells import CellResult
from search.confirmation.certify import make_verdict, select_winner
from search.confirmation.plan import ConfirmationPlan, plan_confirmation
from search.confirmation.verify import Verification
from search.engine.in_process import InProcessEngine
from search.results import ledger, manifest
from search.results.export import make_preset
from search.results.folder import CELLS, CONFIG_FILE, LEDGER_FILE, MANIFEST_FILE, VERDICT_FILE, CampaignFolder
from search.results.ledger_entry import LedgerEntry, OverlappingEntry
from search.results.predictions import INCUMBENT, TEST
from tests.helpers.campaigns import NAME
from tests.helpers.confirmations import ENTRY

pytestmark = pytest.mark.costly


def test_a_verdict_that_the_manifest_lists_is_final_although_cells_were_left_behind(confirmed: Path) -> None:
    folder = confirmed / NAME
    left_cell = folder / CELLS / "0123"
    left_cell.mkdir(parents=True)
    before = (folder / VERDICT_FILE).read_bytes()
    result = _confirm(confirmed)
    assert "the test rows are read only once" in result.output
    assert not left_cell.parent.exists()
    assert (folder / VERDICT_FILE).read_bytes() == before


@pytest.mark.parametrize("how", ["edited", "removed"])
def test_a_listed_verdict_that_was_changed_or_removed_is_not_made_again(confirmed: Path, how: str) -> None:
    path = confirmed / NAME / VERDICT_FILE
    (confirmed / NAME / CELLS).mkdir()
    path.write_text("{}") if how == "edited" else path.unlink()
    assert re.search(r"verdict\.json (was changed after|is missing)", str(_confirm(confirmed).exception))
    assert path.parent.joinpath(CELLS).exists()


def test_a_confirmation_that_ended_before_its_manifest_is_not_concluded(confirmed: Path, root: Path) -> None:
    shutil.copy(root / NAME / MANIFEST_FILE, confirmed / NAME)
    (confirmed / NAME / CELLS).mkdir()
    assert confirm._final_verdict(CampaignFolder(confirmed / NAME)) is None
    assert confirm._final_verdict(CampaignFolder(root / NAME)) is None


def _confirm(root: Path) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("search.cluster.session.join_cluster", None)  # no training is to be begun
        return CliRunner().invoke(app, ["confirm", NAME, "--results", str(root)])


def test_all_tables_are_joined_and_listed(confirmed: Path) -> None:
    folder = confirmed / NAME
    manifest.check_manifest(CampaignFolder(folder))
    table = pd.read_parquet(folder / "predictions.parquet")
    assert set(table["split"]) == {"val", "fold 1", "fold 2", TEST}
    assert set(table["number"]) == {1, 2, INCUMBENT}
    assert set(pd.read_parquet(folder / "returns.parquet")["split"]) <= {"val", "fold 1", "fold 2", TEST}
    assert not (folder / "confirmation").exists()


def test_the_preset_is_made_from_the_verdict_alone(confirmed: Path) -> None:
    verdict = CampaignFolder(confirmed / NAME).read_verdict()
    assert verdict is not None
    preset = make_preset(CampaignFolder(confirmed / NAME), "mine")
    assert preset.provenance is not None
    record = preset.provenance.confirmation
    assert record is not None
    assert record.test is not None
    assert verdict.test is not None
    assert verdict.test.macro_f1.value is not None
    assert preset.provenance.status == verdict.status
    assert preset.provenance.trial == verdict.winner.trial
    assert record.test.macro_f1.value == round(verdict.test.macro_f1.value, 6)
    assert preset.training.final_epochs == verdict.winner.final_epochs
    assert record.failed_gates == tuple(gate.name for gate in verdict.gates if gate.verdict != "pass")
    text = preset_yaml(preset)
    assert preset_yaml(Preset.model_validate_json(preset.model_dump_json())) == text


def _conclude(folder: Path, entry: LedgerEntry, earlier: list[OverlappingEntry]) -> None:
    """Give a confirmed campaign the verdict of one on recorded bars, with its entry in the ledger."""
    ledger.append_entry(folder.parent / LEDGER_FILE, entry)
    verdict = CampaignFolder(folder).read_verdict()
    assert verdict is not None
    changes = {"campaign": folder.name, "ledger_entry": entry, "earlier_entries": tuple(earlier)}
    write_json(folder / VERDICT_FILE, verdict.model_copy(update=changes).as_row())
    manifest.write_manifest(CampaignFolder(folder))


def test_a_confirmed_preset_has_the_same_bytes_in_another_process_and_after_later_campaigns(confirmed: Path) -> None:
    presets = confirmed.parent / "presets"
    _conclude(confirmed / NAME, ENTRY, [])
    before = save_preset(make_preset(CampaignFolder(confirmed / NAME), "mine"), presets).read_bytes()
    assert b"\n    earlier_readings: 0\n" in before

    shutil.copytree(confirmed / NAME, confirmed / "later")
    content = read_yaml(confirmed / "later" / CONFIG_FILE)
    content["config"]["name"] = "later"
    content["resolved"]["started"] = "2024-06-01T00:00:00+00:00"
    (confirmed / "later" / CONFIG_FILE).write_text(to_yaml(content))
    later = replace(ENTRY, campaign="later", started="2024-06-01T00:00:00+00:00")
    _conclude(confirmed / "later", later, ledger.earlier_overlapping([ENTRY, later], later))
    provenance = make_preset(CampaignFolder(confirmed / "later"), "another").provenance
    assert provenance is not None
    assert provenance.confirmation is not None
    assert provenance.confirmation.earlier_readings == 1

    for seed in ("0", "1", "12345"):
        folder = confirmed.parent / seed
        options = ["--as", "mine", "--presets", folder, "--results", confirmed]
        process = subprocess.run(
            [sys.executable, "-c", _EXPORT, "export", NAME, *options],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3])},
            cwd=confirmed.parent,
            capture_output=True,
            text=True,
        )
        assert (process.returncode, process.stderr) == (0, ""), process.stdout
        assert (folder / "mine.yaml").read_bytes() == before


_EXPORT = "import sys; sys.modules['ray'] = None\nfrom search.cli.app import main; main()"  # importing Ray fails


def test_a_test_span_without_buy_or_sell_still_gives_a_preset(
    confirmed: Path, plan: ConfirmationPlan, trained: list[CellResult], final: CellResult
) -> None:
    calm_labels = plan.dataset.labels.copy()
    calm_labels[plan.dataset.test] = 1  # HOLD
    calm_plan = replace(
        plan,
        dataset=replace(plan.dataset, labels=calm_labels),
        campaign=replace(plan.campaign, folder=CampaignFolder(confirmed / NAME)),
    )
    read = CellResult(final.record, final.predictions.assign(label=1), final.returns)
    confirmation._write_results(
        calm_plan,
        [*trained, read],
        make_verdict(calm_plan.subject, select_winner(calm_plan.subject, trained), read, None, []),
    )
    verdict = CampaignFolder(confirmed / NAME).read_verdict()
    assert verdict is not None
    assert verdict.test is not None
    assert verdict.test.direction_auc.value is None
    confirm.show_verdict(verdict)
    saved = save_preset(make_preset(CampaignFolder(confirmed / NAME), "mine"), confirmed / "presets")
    loaded = load_preset(str(saved)).provenance
    assert loaded is not None
    assert loaded.confirmation is not None
    assert loaded.confirmation.test is not None
    assert loaded.confirmation.test.direction_auc.value is None
    assert Verification.is_inside(loaded.confirmation.test.direction_auc, float("nan"))
    assert not Verification.is_inside(loaded.confirmation.test.direction_auc, 0.5)


def test_a_folder_under_another_name_is_refused(confirmed: Path) -> None:
    shutil.copytree(confirmed / NAME, confirmed / "copy")
    with pytest.raises(ConfigError, match="Give the folder the campaign's name"):
        make_preset(CampaignFolder(confirmed / "copy"), "mine")


def _fake_trainings(
    monkeypatch: pytest.MonkeyPatch, trained: list[CellResult], final: CellResult, killed_after: int = 10**6
) -> list[Cell]:
    """Give each training a score of its own and predictions that are at hand; return the cells that are trained."""
    results = {result.record.split: result for result in [*trained, final]}
    begun: list[Cell] = []

    def fake(cell: Cell, *_: object) -> Iterator[CellResult]:
        if len(begun) == killed_after:
            raise KeyboardInterrupt
        begun.append(cell)
        result = results[cell.split]
        noise = int(hashlib.sha256(f"{cell.recipe} {cell.split}".encode()).hexdigest()[:4], 16) / 2**16
        held_out = {**result.record.held_out, "macro_f1": 0.4 + 0.01 * noise}
        record = result.record.model_copy(update={"seed": cell.seed, "held_out": held_out, "seconds": 1.0})
        tables = [table.assign(seed=np.int64(cell.seed)) for table in (result.predictions, result.returns)]
        yield CellResult(record, *tables).of_candidate(cell.candidate.number)

    monkeypatch.setattr(cells, "train_cell", fake)
    return begun


@pytest.mark.parametrize("killed_after", [5, 12, 23])
def test_an_interrupted_race_continues_to_the_same_verdict(
    root: Path,
    trained: list[CellResult],
    final: CellResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed_after: int,
) -> None:
    for name in ("whole", "killed"):
        shutil.copytree(root, tmp_path / name)
    begun = _fake_trainings(monkeypatch, trained, final)
    whole = confirmation.run_confirmation(plan_confirmation(NAME, tmp_path / "whole"), InProcessEngine())
    assert whole.race is not None
    assert whole.neighbours is not None
    beside = whole.neighbours.cells * len(whole.neighbours.neighbours)
    assert (whole.race.trainings, whole.neighbours.cells, len(begun)) == (12, 2, 12 + beside + 1)
    _fake_trainings(monkeypatch, trained, final, killed_after)
    with pytest.raises(KeyboardInterrupt):
        confirmation.run_confirmation(plan_confirmation(NAME, tmp_path / "killed"), InProcessEngine())
    rest = _fake_trainings(monkeypatch, trained, final)
    assert confirmation.run_confirmation(plan_confirmation(NAME, tmp_path / "killed"), InProcessEngine()) == whole
    assert len(begun) - killed_after <= len(rest) <= len(begun) - killed_after + 1  # one was finished, but not kept
    texts = [(tmp_path / name / NAME / VERDICT_FILE).read_bytes() for name in ("whole", "killed")]
    assert texts[0] == texts[1]
    tables = [CampaignFolder(tmp_path / name / NAME).confirmation_table for name in ("whole", "killed")]
    pd.testing.assert_frame_equal(*(pd.read_parquet(path) for path in tables))


def test_tables_and_messages_say_who_was_dropped_and_which_are_neighbours(
    root: Path,
    trained: list[CellResult],
    final: CellResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(root, tmp_path / "results")
    _fake_trainings(monkeypatch, trained, final)
    settings = {"seeds": 2, "trainings": 1}  # too few for two candidates
    plan = plan_confirmation(NAME, tmp_path / "results", settings)
    confirm.show_verdict(verdict := confirmation.run_confirmation(plan, InProcessEngine()))
    assert verdict.race is not None
    (dropped,) = verdict.race.dropped
    assert (dropped.cells, dropped.reason) == (3, "too few trainings left")
    assert {dropped.trial, verdict.winner.trial} == {1, 2}
    assert len(verdict.candidates) == 1
    assert verdict.neighbours is not None
    count = len(verdict.neighbours.neighbours)
    table = pd.read_parquet(plan.campaign.folder.confirmation_table)
    assert len(table) == 3 * 3 + 2 + count + 1 <= plan.most == 18
    of_dropped = table[table["number"] == dropped.trial]
    assert (of_dropped["dropped_after"] == 3).all()
    assert (of_dropped["dropped_because"] == "too few trainings left").all()
    assert table[table["number"] != dropped.trial]["dropped_after"].isna().all()
    neighbours = table[table["number"] < INCUMBENT]
    assert list(neighbours["neighbour"]) == [
        f"{one.hyperparameter} = {one.value:g}" for one in verdict.neighbours.neighbours
    ]
    assert set(pd.read_parquet(plan.campaign.folder.predictions)["number"]) == {1, 2, INCUMBENT}
    output = " ".join(capsys.readouterr().out.split())
    assert f"trial #{dropped.trial}" in output
    assert "dropped after 3 trainings" in output
    assert "too few trainings left" in output
    assert f"Neighbours of the winner: {verdict.neighbours.word}" in output
    preset = make_preset(plan.campaign.folder, "mine")
    assert preset.provenance is not None
    assert preset.provenance.confirmation is not None
    assert preset.provenance.confirmation.neighbours == verdict.neighbours.word is not None
    assert f"    neighbours: {verdict.neighbours.word}\n" in preset_yaml(preset)


def test_an_edited_verdict_is_refused(confirmed: Path) -> None:
    path = confirmed / NAME / VERDICT_FILE
    path.write_text(path.read_text().replace('"too short to tell"', '"pass"'))
    with pytest.raises(ConfigError, match=r"verdict\.json was changed after"):
        make_preset(CampaignFolder(confirmed / NAME), "mine")
