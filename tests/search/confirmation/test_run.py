"""A confirmation from plan to preset, trained in this process; with Ray it is tested in tests/integration."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from core.errors import ConfigError
from core.evaluation import metrics
from core.files import read_yaml, to_yaml, write_json
from core.presets import Preset, load_preset, preset_yaml, save_preset
from search.cli import confirm
from search.cli.app import app
from search.confirmation import certify
from search.confirmation import run as confirmation
from search.confirmation.cells import CellResult, make_confirmation_table, train_cell
from search.confirmation.certify import make_verdict, select_winner
from search.confirmation.plan import Cell, ConfirmationPlan, plan_confirmation
from search.confirmation.verify import Verification
from search.engine.job import TrialJob
from search.results import ledger, manifest
from search.results.export import make_preset
from search.results.folder import CELLS, CONFIG_FILE, LEDGER_FILE, MANIFEST_FILE, VERDICT_FILE, CampaignFolder
from search.results.ledger_entry import LedgerEntry, OverlappingEntry
from search.results.predictions import INCUMBENT, TEST, probabilities_of, timestamps_of
from search.results.records import CellRecord
from search.results.tables import rank_trials
from tests.helpers.campaigns import NAME, make_searched_campaign

pytestmark = pytest.mark.costly

ENTRY = LedgerEntry(
    campaign=NAME,
    started="2024-05-01T00:00:00+00:00",
    exchange="binance",
    symbols=["BTCUSDT"],
    interval="5m",
    val=["2024-03-01T00:00:00+00:00", "2024-04-01T00:00:00+00:00"],
    test=["2024-04-01T00:00:00+00:00", "2024-05-01T00:00:00+00:00"],
    trials=3,
    reads="winner",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_searched_campaign(tmp_path_factory.mktemp("confirm") / "results").parent


@pytest.fixture(scope="module")
def plan(root: Path) -> ConfirmationPlan:
    return plan_confirmation(NAME, root)


def _job(plan: ConfirmationPlan) -> TrialJob:
    return TrialJob(plan.campaign.base, plan.campaign.resources, plan.campaign.storage)


def _train(plan: ConfirmationPlan, cell: Cell) -> CellResult:
    (result,) = train_cell(cell, plan.dataset_of(cell), _job(plan))
    return replace(result, record=CellRecord.model_validate(json.loads(json.dumps(result.record.as_row()))))


@pytest.fixture(scope="module")
def trained(plan: ConfirmationPlan) -> list[CellResult]:
    return [_train(plan, cell) for cell in plan.cells]


@pytest.fixture(scope="module")
def final(plan: ConfirmationPlan, trained: list[CellResult]) -> CellResult:
    return _train(plan, Cell(select_winner(plan, trained).winner, plan.seeds[0], TEST))


@pytest.fixture
def confirmed(root: Path, plan: ConfirmationPlan, trained: list[CellResult], final: CellResult, tmp_path: Path) -> Path:
    """The root of the campaigns, with a verdict."""
    copied_root = tmp_path / "results"
    shutil.copytree(root, copied_root)
    campaign = replace(plan.campaign, folder=CampaignFolder(copied_root / NAME))
    copied_plan = replace(plan, campaign=campaign)
    verdict = make_verdict(copied_plan, select_winner(copied_plan, trained), final, None, [])
    confirmation._write_results(copied_plan, [*trained, final], verdict)
    return copied_root


def test_the_best_trials_and_the_incumbent_are_candidates(plan: ConfirmationPlan, root: Path) -> None:
    ranked = rank_trials(CampaignFolder(root / NAME).read_trials())
    assert [candidate.number for candidate in plan.candidates] == [trial.number for trial in ranked[:2]] + [INCUMBENT]
    assert len(plan.cells) == 3 * 2 * 2
    assert len({cell.key("same", 2) for cell in plan.cells}) == len(plan.cells)
    assert plan.seconds > 0


def test_no_cell_has_the_seed_of_the_search_or_sees_val_or_test(plan: ConfirmationPlan) -> None:
    assert plan.campaign.config.seed not in plan.seeds
    for fold in plan.folds:
        reach = fold.horizon * fold.bar
        used = np.concatenate([fold.train, fold.val, fold.test])
        assert (fold.timestamps[used] + reach).max() < plan.dataset.borders.train[1]
        assert (fold.timestamps[fold.train] + reach).max() < fold.timestamps[fold.val].min() - (
            fold.window - 1
        ) * fold.bar
        assert (fold.timestamps[fold.val] + reach).max() < fold.timestamps[fold.test].min()


def test_the_key_of_a_cell_covers_all_that_its_result_depends_on(plan: ConfirmationPlan) -> None:
    cell = plan.cells[0]
    key = cell.key("identity", 2)
    assert key == Cell(cell.candidate, cell.seed, cell.split).key("identity", 2)
    recipe = cell.candidate.recipe.with_trainer(learning_rate=1e-5)
    others = [
        replace(cell, seed=99).key("identity", 2),
        replace(cell, split="fold 9").key("identity", 2),
        replace(cell, candidate=replace(cell.candidate, recipe=recipe)).key("identity", 2),
        cell.key("another", 2),
        cell.key("identity", 3),
    ]
    assert len({key, *others}) == 6


def test_a_cell_predicts_its_block_with_the_epoch_that_its_val_chose(
    plan: ConfirmationPlan, trained: list[CellResult]
) -> None:
    for cell, result in zip(plan.cells, trained, strict=True):
        fold = plan.dataset_of(cell)
        assert result.record.is_complete
        assert result.predictions["label"].tolist() == fold.labels[fold.test].tolist()
        assert timestamps_of(result.predictions).tolist() == fold.timestamps[fold.test].tolist()
        macro_f1 = metrics.macro_f1(fold.labels[fold.test], probabilities_of(result.predictions))
        assert result.record.held_out["macro_f1"] == pytest.approx(macro_f1)
        assert (result.record.train_rows, result.record.val_rows) == (len(fold.train), len(fold.val))
    again = _train(plan, plan.cells[0])
    pd.testing.assert_frame_equal(again.predictions, trained[0].predictions)


def test_the_table_has_a_row_for_each_cell(trained: list[CellResult], final: CellResult) -> None:
    table = make_confirmation_table([result.record for result in [*trained, final]])
    assert len(table) == 13
    assert set(table["split"]) == {"fold 1", "fold 2", TEST}
    assert table.groupby(["number", "seed", "split"]).size().max() == 1
    assert np.isfinite(table[["val_macro_f1", "held_out_macro_f1", "temperature", "bias_sell", "seconds"]]).all(
        axis=None
    )


def test_a_candidate_with_a_failed_cell_cannot_win(plan: ConfirmationPlan, trained: list[CellResult]) -> None:
    first = plan.candidates[0].number
    broken = [
        CellResult.failed(cell, "diverged") if cell.candidate.number == first and cell.split == "fold 1" else result
        for cell, result in zip(plan.cells, trained, strict=True)
    ]
    selection = select_winner(plan, broken)
    assert selection.winner.number == plan.candidates[1].number
    assert list(selection.scores) == [plan.candidates[1].name]


@pytest.mark.parametrize(
    ("numbers", "who", "remedy"),
    [((INCUMBENT,), "the incumbent", "another --incumbent"), ((1, 2), "every candidate", "resume small with more")],
)
def test_without_a_candidate_or_the_incumbent_there_is_no_verdict(
    plan: ConfirmationPlan, trained: list[CellResult], numbers: tuple[int, ...], who: str, remedy: str
) -> None:
    broken = [
        CellResult.failed(cell, "diverged") if cell.candidate.number in numbers else result
        for cell, result in zip(plan.cells, trained, strict=True)
    ]
    with pytest.raises(ConfigError, match=f"confirmation of {who} failed .diverged.*{remedy}"):
        select_winner(plan, broken)


def test_the_verdict_holds_all_that_a_preset_says(confirmed: Path, plan: ConfirmationPlan, final: CellResult) -> None:
    verdict = CampaignFolder(confirmed / NAME).read_verdict()
    assert verdict is not None
    assert verdict.status in ("certified", "not certified")
    assert [gate.name.split(",")[0].split(" (")[0] for gate in verdict.gates] == [
        "all figures finite",
        "trained to the end",
        "largest share of one class",
        "earlier readings of this test span",
        "macro-F1 on test less that of the best baseline",
        "direction AUC on test less 0.5",
    ]
    labels = final.predictions["label"].to_numpy()
    assert verdict.test is not None
    assert verdict.tradable is not None
    assert verdict.overfitting is not None
    assert verdict.lead.low is not None
    assert verdict.test.macro_f1.value == pytest.approx(metrics.macro_f1(labels, probabilities_of(final.predictions)))
    assert verdict.test.rows == len(plan.dataset.test)
    assert set(verdict.test.baselines) == {"majority", "persistence", "logistic regression", "gradient boosting"}
    assert verdict.overfitting.probability == "n/a"  # of two full-fidelity trials
    assert verdict.tradable.trials == 3
    assert {line.kind for line in verdict.checklist} >= {"gate", "guide target"}
    assert verdict.recommended == ("winner" if verdict.lead.low > 0 else "incumbent")


def test_the_deflated_sharpe_is_that_of_single_trainings_and_not_of_the_mean_of_the_seeds(
    plan: ConfirmationPlan, trained: list[CellResult], final: CellResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[np.ndarray] = []

    def deflated(returns: np.ndarray, others: np.ndarray, tried: int) -> float:
        judged.append(returns)
        return [0.2, 0.9][len(judged) - 1]

    monkeypatch.setattr(certify, "deflated_sharpe", deflated)
    selection = select_winner(plan, trained)
    period = (plan.dataset.horizon + 1) * plan.dataset.bar
    ratios = []
    for seed in plan.seeds:
        winner_and_seed = selection.winner.number, seed
        cells = [cell for cell in trained if (cell.record.number, cell.record.seed) == winner_and_seed]
        assert len(cells) == plan.settings.folds
        periods = np.concatenate([timestamps_of(cell.predictions) for cell in cells]) // period
        gains = np.zeros(periods.max() - periods.min() + 1)
        for cell in cells:
            call_instants = timestamps_of(cell.returns) - period
            np.add.at(gains, call_instants // period - periods.min(), cell.returns["net_return"].to_numpy())
        ratios.append(gains.mean() / gains.std())
    verdict = make_verdict(plan, selection, final, None, [])
    assert verdict.tradable is not None
    assert len(set(ratios)) == len(plan.seeds) == 2
    assert [returns.mean() / returns.std() for returns in judged] == pytest.approx(ratios, rel=1e-9)
    assert verdict.tradable.sharpe_per_period == pytest.approx(np.median(ratios), rel=1e-9)
    assert verdict.tradable.deflated_sharpe == pytest.approx(0.55)
    assert verdict.method.deflated_sharpe is not None
    assert "median of the seeds" in verdict.method.deflated_sharpe


def test_earlier_readings_are_recorded_in_the_verdict(
    plan: ConfirmationPlan, trained: list[CellResult], final: CellResult
) -> None:
    earlier = [
        OverlappingEntry(**{**asdict(ENTRY), "campaign": "before"}, saw=["val", "test"]),
        OverlappingEntry(**{**asdict(ENTRY), "campaign": "other"}, saw=["val"]),
    ]
    verdict = make_verdict(plan, select_winner(plan, trained), final, ENTRY, earlier)
    row = verdict.as_row()
    assert row["earlier_looks"] == tuple(asdict(entry) for entry in earlier)
    assert row["look"] == asdict(ENTRY)
    gate = next(gate for gate in verdict.gates if "earlier" in gate.name)
    assert (gate.value, gate.verdict, verdict.status) == (1, "fail", "not certified")


def test_a_failed_final_training_gives_a_verdict_too(plan: ConfirmationPlan, trained: list[CellResult]) -> None:
    final_cell = Cell(plan.candidates[0], 1, TEST)
    failed = CellResult.failed(final_cell, "diverged")
    verdict = make_verdict(plan, select_winner(plan, trained), failed, None, [])
    assert (verdict.status, verdict.reason) == ("not certified", "the final training failed: diverged")
    content = verdict.as_row()
    assert list(content)[-4:] == ["final", "gates", "reason", "look"]  # nothing of a test that was not read
    assert content["final"] == {"seed": 1, "status": "failed", "reason": "diverged"}
    confirm.show_verdict(verdict)


def test_a_dry_run_is_never_certified(plan: ConfirmationPlan, trained: list[CellResult], final: CellResult) -> None:
    dry = plan.campaign.config.model_copy(update={"dry_run": True})
    verdict = make_verdict(
        replace(plan, campaign=replace(plan.campaign, config=dry)), select_winner(plan, trained), final, None, []
    )
    assert verdict.status == "not certified"


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
    assert record.failed_gates == tuple(gate.name for gate in verdict.gates if gate.verdict == "fail")
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
        calm_plan, [*trained, read], make_verdict(calm_plan, select_winner(calm_plan, trained), read, None, [])
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


def test_an_edited_verdict_is_refused(confirmed: Path) -> None:
    path = confirmed / NAME / VERDICT_FILE
    path.write_text(path.read_text().replace('"not certified"', '"certified"'))
    with pytest.raises(ConfigError, match=r"verdict\.json was changed after"):
        make_preset(CampaignFolder(confirmed / NAME), "mine")


def test_a_training_that_diverges_gives_a_failed_row(plan: ConfirmationPlan) -> None:
    cell = plan.cells[0]
    wild = cell.candidate.recipe.with_trainer(learning_rate=1.0, clip_norm=1e9)
    augmented = wild.model_copy(update={"augment": wild.augment.model_copy(update={"noise_std": 1e30})})
    diverging = replace(cell, candidate=replace(cell.candidate, recipe=augmented))
    (result,) = train_cell(diverging, plan.dataset_of(cell), _job(plan))
    assert result.record.status == "failed"
    assert result.record.reason
    assert result.predictions.empty
    assert result.returns.empty


def test_a_candidate_with_the_recipe_of_the_incumbent_shares_its_trainings(plan: ConfirmationPlan) -> None:
    first = plan.candidates[0]
    twin = replace(plan, candidates=(first, replace(plan.candidates[-1], recipe=first.recipe)))
    cells = [cell for cell in twin.cells if cell.split == "fold 1" and cell.seed == plan.seeds[0]]
    assert len({cell.key("same", 2) for cell in cells}) == 1
    trained_once = _train(plan, cells[0])
    shared = [trained_once.of_candidate(cell.candidate.number) for cell in cells]
    assert [result.record.number for result in shared] == [first.number, INCUMBENT]
    assert [set(result.predictions["number"]) for result in shared] == [{first.number}, {INCUMBENT}]
