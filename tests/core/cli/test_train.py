from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core import console
from core.files import reserved
from core.models import checkpoint
from core.presets import SHIPPED
from core.training.trainer import Trainer
from tests.helpers.market import random_bars
from tests.helpers.training_commands import Run

pytestmark = pytest.mark.costly

SYNTHETIC = "--preset quick_experiment --synthetic --window 16 --output-dir out"


def test_a_training_on_synthetic_data_writes_its_files_and_says_what_they_are(run: Run) -> None:
    assert run(f"{SYNTHETIC} --epochs 1 --seed 5") == 0
    assert "SYNTHETIC DATA" in run.err
    assert "gradient boosting" in run.out
    for name in ("checkpoint.pt", "metrics.json", "curves.png"):
        assert f"wrote out/{name}" in run.out
    report = json.loads(Path("out/metrics.json").read_text())
    assert report["data"]["synthetic"] is True
    assert report["data"]["window"] == 16
    assert report["preset"]["name"] == "quick_experiment"
    assert report["training"]["trainer"]["seed"] == 5
    assert report["training"]["model"]["size"] == "quick"
    assert report["epochs"] == 1
    assert checkpoint.load_checkpoint(Path("out/checkpoint.pt"))["about"]["epoch"] == 1
    assert Path("out/curves.png").read_bytes().startswith(b"\x89PNG")


def test_figures_of_the_synthetic_market_are_marked_even_where_the_notice_is_hidden(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.err, "quiet", False)  # undone at the end of this test
    assert run(f"{SYNTHETIC} --epochs 1 --quiet") == 0
    assert run.err == ""
    assert "Validation window of the SYNTHETIC market" in run.out


def test_bars_of_several_symbols_come_from_the_store(run: Run, tmp_path: Path) -> None:
    for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        random_bars(4100, seed, symbol).frame.to_parquet(tmp_path / f"binance_{symbol}_5m.parquet")
    line = "--preset quick_experiment --symbols BTCUSDT ETHUSDT --store . --days 14 --window 8 --horizon 2"
    assert run(f"{line} --epochs 1 --output-dir out") == 0
    assert "SYNTHETIC" not in run.err + run.out
    report = json.loads(Path("out/metrics.json").read_text())
    assert report["data"]["symbols"] == ["BTCUSDT", "ETHUSDT"]
    assert (report["data"]["window"], report["data"]["horizon"]) == (8, 2)
    assert report["data_config"]["days"] == 14


def test_a_training_stopped_by_hand_is_kept_and_marked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    train_epoch = Trainer._train_epoch

    def stopped_in_the_second(trainer: Trainer) -> float:
        if trainer.epoch == 1:
            raise KeyboardInterrupt
        return train_epoch(trainer)

    monkeypatch.setattr(Trainer, "_train_epoch", stopped_in_the_second)
    assert run(f"{SYNTHETIC} --epochs 3") == 130
    assert "Interrupted after epoch 1" in run.out
    assert json.loads(Path("out/metrics.json").read_text())["interrupted"] is True


def test_a_training_stopped_before_anything_is_learned_is_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(trainer: Trainer) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_train_epoch", stopped)
    assert run(SYNTHETIC) == 130
    assert run.err.splitlines()[-1] == "interrupted"
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("--preset quick_experimnt --synthetic --output-dir out", "Did you mean 'quick_experiment'?"),
        ("--preset ../x --synthetic --output-dir out", "'../x' cannot be the name of a preset"),
        ("--preset nothing.yaml --synthetic --output-dir out", "nothing.yaml cannot be read"),
        ("--preset quick_experiment --output-dir out", "exactly one source of data"),
        ("--preset quick_experiment --synthetic --symbols A --output-dir out", "exactly one source of data"),
        ("--preset quick_experiment --data nothing.parquet --output-dir out", "nothing.parquet"),
        ("--preset quick_experiment --symbols A --output-dir out", "Say how many days to fetch"),
        ("--preset quick_experiment --symbols A --store . --output-dir out", "has no 5m bars of A"),
        (f"{SYNTHETIC} --interval 5x", "'interval'"),
        (f"{SYNTHETIC} --days nan", "'days'"),
        (f"{SYNTHETIC} --days -1", "'days'"),
        (f"{SYNTHETIC} --days 10000", "not the requested 10000"),
        (f"{SYNTHETIC} --days 36500", "days in common"),
        (f"{SYNTHETIC} --days 2", "usable train rows"),
        (f"{SYNTHETIC} --until yesterday", "'until'"),
        (f"{SYNTHETIC} --until 2030-01-01T00:00", "before --until 2030-01-01"),
        (f"{SYNTHETIC} --window 1", "'window'"),
        (f"{SYNTHETIC} --horizon 0", "'horizon'"),
        (f"{SYNTHETIC} --device tpu", "auto, cpu, cuda"),
        (f"{SYNTHETIC} --model huge", "quick, small, large"),
        ("--preset quick_experiment --synthetic --output-dir file/out", "file/out cannot be written"),
        ("--preset quick_experiment --synthetic --output-dir full", "full already holds metrics.json"),
    ],
    ids=lambda value: value.removeprefix(SYNTHETIC).strip() if value.startswith("--") else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(run: Run, line: str, named: str) -> None:
    Path("file").write_text("x")
    Path("full").mkdir()
    Path("full/metrics.json").write_text("{}")
    assert run(line) == 2
    assert run.err.startswith("error: ")
    assert run.err.count("\n") == 1
    assert named in run.err
    assert run.out == ""
    assert not Path("out").exists()
    assert Path("full/metrics.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("--synthetic --output-dir out", "--preset"),
        ("--preset quick_experiment --synthetic", "--output-dir"),
        (f"{SYNTHETIC} --epochs 0", "--epochs"),
        (f"{SYNTHETIC} --seed -1", "--seed"),
        (f"{SYNTHETIC} --epochz 3", "--epochz"),
        (f"{SYNTHETIC} stray", "stray"),
    ],
    ids=["no preset", "no folder", "no epochs", "negative seed", "unknown flag", "stray word"],
)
def test_a_line_that_does_not_parse_is_exit_code_2(run: Run, line: str, named: str) -> None:
    assert run(line) == 2
    assert named in run.err
    assert not Path("out").exists()


def test_a_batch_too_large_for_the_data_is_said_last(run: Run) -> None:
    Path("big.yaml").write_text(
        "name: big\nhyperparameters: {learning_rate: 1e-4, batch_size: 100000, weight_decay: 0.0, dropout: 0.0,"
        " focal_gamma: 0.0, mixup_alpha: 0.0}"
    )
    assert run("--preset big.yaml --synthetic --window 16 --output-dir out") == 2
    assert run.err.splitlines()[-1].startswith("error: A batch of 100000 is larger than")
    assert not Path("out").exists()


def test_an_earlier_outcome_is_replaced_when_asked(run: Run) -> None:
    Path("out").mkdir()
    Path("out/metrics.json").write_text("{}")
    assert run(f"{SYNTHETIC} --epochs 1 --overwrite") == 0
    assert json.loads(Path("out/metrics.json").read_text())["epochs"] == 1


def test_the_same_command_gives_the_same_model(run: Run) -> None:
    weights = []
    for folder in ("one", "two"):
        assert run(f"--preset production_large --synthetic --window 8 --epochs 1 --output-dir {folder}") == 0
        weights.append(checkpoint.load_checkpoint(Path(folder) / "checkpoint.pt")["model"])
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_curves_and_the_gates_are_printed(run: Run) -> None:
    assert run(f"{SYNTHETIC} --epochs 1 --metric mcc --deterministic") == 0
    assert "No skill shown. Gates failed" in run.out
    assert "MiB per training step" in run.err
    report = json.loads(Path("out/metrics.json").read_text())
    assert report["training"]["trainer"]["metric"] == "mcc"
    assert report["training"]["trainer"]["deterministic"] is True


def test_a_final_training_takes_all_rows_and_measures_nothing(run: Run) -> None:
    assert run(f"{SYNTHETIC} --final --epochs 2") == 0
    assert "No held-out figure exists" in run.out
    report = json.loads(Path("out/metrics.json").read_text())
    assert report["epochs"] == report["best_epoch"] == 2
    assert report["data"]["rows"]["val"] == report["data"]["rows"]["test"] == 0
    assert report["training"]["trainer"]["epochs"] == 30  # the schedule stays the recipe's
    assert run("check out") == 0
    assert "no held-out figure exists" in run.out
    assert run("predict out --synthetic") == 0
    assert "not calibrated" in run.out


def test_a_final_training_needs_a_confirmed_number_of_epochs(run: Run) -> None:
    assert run(f"{SYNTHETIC} --final") == 2
    assert "no confirmed number of epochs" in run.err
    text = (SHIPPED / "quick_experiment.yaml").read_text()
    text = text.replace("name: quick_experiment", "name: mine")
    Path("mine.yaml").write_text(text.replace("final_epochs: null", "final_epochs: 1"))
    assert run("--preset mine.yaml --synthetic --window 16 --final --output-dir out") == 0
    assert json.loads(Path("out/metrics.json").read_text())["epochs"] == 1


MEASURED = "--preset btc_eth_15m_8m --output-dir out"
"""A training from a preset that was measured with quick, 15m, window 60 and horizon 1, on BTCUSDT and ETHUSDT."""


def test_a_preset_is_trained_as_it_was_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.models.memory.default_size", lambda _device: "small")  # as on a GPU
    assert run(f"{MEASURED} --synthetic --epochs 1") == 0
    report = json.loads(Path("out/metrics.json").read_text())
    assert report["training"]["model"]["size"] == "quick"
    assert (report["data"]["window"], report["data"]["horizon"], report["data"]["bar"]) == (60, 1, 900_000_000)
    notices = [line for line in run.err.splitlines() if "measured with" in line]
    assert notices == ["notice: symbols SYNTHETIC differ from the BTCUSDT, ETHUSDT that the preset was measured with."]
    assert run(f"{SYNTHETIC} --epochs 1 --overwrite") == 0
    assert json.loads(Path("out/metrics.json").read_text())["training"]["model"]["size"] == "small"
    assert "measured with" not in run.err


def test_each_difference_from_the_measured_training_is_named(run: Run) -> None:
    random_bars(4100, 0, "BTCUSDT").frame.to_parquet("binance_BTCUSDT_5m.parquet")
    Path("campaign.yaml").write_text("data: {labels: {quantiles: [0.3, 0.7]}}")
    line = "--data binance_BTCUSDT_5m.parquet --config campaign.yaml --horizon 3 --window 8 --model quick"
    assert run(f"{MEASURED} {line} --epochs 1") == 0
    named = [line.split()[1] for line in run.err.splitlines() if line.startswith("notice: ")]
    assert named == ["interval", "window", "horizon", "symbols", "labels"]
    assert "notice: horizon 3 differs from the 1 that the preset was measured with.\n" in run.err
    assert "notice: interval 5m differs from the 15m that the preset was measured with.\n" in run.err
    report = json.loads(Path("out/metrics.json").read_text())
    assert report["data_config"]["labels"]["quantiles"] == [0.3, 0.7]


@pytest.mark.parametrize(
    ("line", "difference"),
    [
        ("--synthetic --model small", "model small differs from the quick"),
        ("--synthetic --interval 5m", "interval 5m differs from the 15m"),
        ("--synthetic --horizon 3", "horizon 3 differs from the 1"),
        ("--synthetic --window 8", "window 8 differs from the 60"),
        ("--config campaign.yaml", "labels fixed (fixed [-0.001, 0.001]) differ from the quantile"),
        ("--data binance_BTCUSDT_60m.parquet", "interval 1h differs from the 15m"),
    ],
)
def test_the_epochs_of_another_training_are_not_those_of_a_final_one(run: Run, line: str, difference: str) -> None:
    Path("campaign.yaml").write_text("data: {synthetic: {}, labels: {kind: fixed}}")
    assert run(f"{MEASURED} --final {line}") == 2
    assert run.err.count("\n") == 1
    assert run.err.startswith(
        f"error: The 9 epochs of preset btc_eth_15m_8m were confirmed for another training: {difference}"
    )
    assert "--epochs, or train without --final" in run.err
    assert not Path("out").exists()


def test_a_final_training_as_it_was_measured_or_of_a_given_length_is_allowed(run: Run) -> None:
    Path("few.yaml").write_text(
        (SHIPPED / "btc_eth_15m_8m.yaml")
        .read_text()
        .replace("final_epochs: 9", "final_epochs: 1")
        .replace("name: btc_eth_15m_8m", "name: few")
    )
    assert run("--preset few.yaml --synthetic --final --output-dir out") == 0
    assert json.loads(Path("out/metrics.json").read_text())["epochs"] == 1
    assert run("--preset few.yaml --synthetic --final --horizon 3 --epochs 2 --output-dir other") == 0
    assert json.loads(Path("other/metrics.json").read_text())["epochs"] == 2
    assert "horizon 3 differs from the 1" in run.err


def test_oversampling_and_weights_together_are_refused_with_the_reason(run: Run) -> None:
    assert run(f"{SYNTHETIC} --oversample") == 2
    assert "compensate twice" in run.err
    assert not Path("out").exists()
    assert run(f"{SYNTHETIC} --epochs 1 --oversample --class-weights none --warmup-steps 5") == 0
    training = json.loads(Path("out/metrics.json").read_text())["training"]
    assert training["balance"] == {"class_weights": "none", "oversample": True, "allow_double": False}
    assert training["trainer"]["warmup_steps"] == 5


def test_a_folder_with_the_name_of_a_preset_hides_nothing(run: Run) -> None:
    Path("production_small").mkdir()
    assert run("check production_small") == 0
    assert "A preset is a recipe" in run.out


def test_one_folder_has_one_training_at_a_time(run: Run) -> None:
    with reserved(Path("out")):
        assert run(f"{SYNTHETIC} --epochs 1") == 2
    assert "Another process is writing to out" in run.err
