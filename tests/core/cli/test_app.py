"""Every command of preset-train shows how it is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.market import random_bars
from tests.helpers.training_commands import Run

pytestmark = pytest.mark.costly


def test_help_shows_how_to_begin(run: Run) -> None:
    assert run("--help") == 0
    assert "--synthetic" in run.out
    assert "Examples" in run.out


def test_help_is_that_of_the_program_and_names_its_commands(run: Run) -> None:
    assert run("--help") == 0
    assert "COMMAND" in run.out
    for command in ("train", "check", "predict"):
        assert f"│ {command} " in run.out
    assert "--class-weights" not in run.out


def test_help_after_options_is_that_of_train(run: Run) -> None:
    assert run("--preset quick_experiment --help") == 0
    assert "--class-weights" in run.out


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("predict out", "No bars are named"),
        ("predict out --synthetic --output calls.txt", "neither .parquet nor .csv"),
        ("predict out --synthetic --output taken.csv", "taken.csv already exists"),
        ("predict out --synthetic --output file/calls.csv", "cannot be written"),
        ("predict nothing.pt --synthetic", "nothing.pt cannot be read"),
        ("predict taken.csv --synthetic", "is not a checkpoint"),
        ("predict out --data test_SYNTHETIC_5m.parquet", "not every symbol has the column"),
        ("predict out --data test_OTHER_5m.parquet", "not trained on OTHER"),
        ("predict out --data test_SYNTHETIC_15m.parquet", "last 900 s, the model was trained on 300 s"),
        ("predict out --synthetic --days -1", "'days'"),
        ("check nothing", "There is no preset 'nothing'"),
        ("check nothing.pt", "nothing.pt cannot be read"),
        ("check file", "There is no preset 'file'"),
    ],
)
def test_a_mistake_of_the_other_commands_is_one_line(run: Run, trained: Path, line: str, named: str) -> None:
    Path("file").write_text("x")
    Path("taken.csv").write_text("x")
    bars = random_bars(600).frame
    bars.drop(columns="taker_buy_base").to_parquet("test_SYNTHETIC_5m.parquet")
    bars.to_parquet("test_OTHER_5m.parquet")
    random_bars(600, interval="15m").frame.to_parquet("test_SYNTHETIC_15m.parquet")
    before = sorted(Path().rglob("*"))
    assert run(line) == 2
    assert run.err.splitlines()[-1].startswith("error: ")
    assert run.err.count("\n") <= 2  # the notice that data are synthetic may come first
    assert named in run.err
    assert run.out == ""
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("command", ["train", "check", "predict"])
def test_every_command_shows_examples(run: Run, command: str) -> None:
    assert run(f"{command} --help") == 0
    assert "Example" in run.out
