from __future__ import annotations

import inspect
import json
import logging
import os
import sys
import termios
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from core import console, logs
from core.console import repeat_options, with_verbosity
from core.errors import ConfigError

MANY = {"--data", "--symbols"}


@pytest.mark.parametrize(
    ("given_args", "expected"),
    [
        ("--data a b c", "--data a --data b --data c"),
        ("--data a --data b", "--data a --data b"),
        ("--data a b --days 3 --symbols X Y", "--data a --data b --days 3 --symbols X --symbols Y"),
        ("--days 3 4", "--days 3 4"),
        ("x y", "x y"),
        ("--data --synthetic", "--data --synthetic"),
        ("--data=a", "--data=a"),
        ("--data=a b c", "--data=a --data b --data c"),
        ("--data=a --days=3 4", "--data=a --days=3 4"),
        ("--data= a", "--data= --data a"),
        ("--symbols=a=b c", "--symbols=a=b --symbols c"),
        ("", ""),
    ],
)
def test_an_option_is_repeated_before_each_further_value(given_args: str, expected: str) -> None:
    assert repeat_options(given_args.split(), MANY) == expected.split()


words = st.sampled_from(["--data", "--data=a", "--symbols", "--days", "--days=3", "a", "b", "3"])


@given(args=st.lists(words))
def test_repeating_options_twice_changes_nothing_more(args: list[str]) -> None:
    once = repeat_options(args, MANY)
    assert repeat_options(once, MANY) == once
    assert [word for word in once if not word.startswith("--")] == [word for word in args if not word.startswith("--")]


def test_options_that_take_one_value_are_left_as_they_are() -> None:
    assert repeat_options(["--data", "a", "b"], set()) == ["--data", "a", "b"]


def _run_failing(error: BaseException) -> int | str | None:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        console.run(app)
    return caught.value.code


@pytest.fixture(autouse=True)
def _no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["program"])


@pytest.mark.parametrize(
    "what",
    ["plain", "long " + "word " * 80 + "end", "[bold]a[/] [x]", r"C:\[new]", ":smile: 12:30:45"],
    ids=["plain", "longer than any screen", "markup", "backslash", "emoji code"],
)
def test_an_error_a_user_can_mend_is_one_line_word_for_word(capsys: pytest.CaptureFixture[str], what: str) -> None:
    assert _run_failing(ConfigError(what, "Mend it")) == 2
    captured = capsys.readouterr()
    assert captured.err == f"error: {what}. Mend it.\n"
    assert captured.out == ""


def test_a_message_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run_failing(ConfigError("first\n  second", "Mend it")) == 2
    assert capsys.readouterr().err == "error: first second. Mend it.\n"


def test_a_message_loses_what_would_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run_failing(ConfigError("\x1b[31mred\x1b]0;title\x07 \x9b1m \u202eback \ud800", "Mend it")) == 2
    assert capsys.readouterr().err == "error: [31mred]0;title 1m back . Mend it.\n"


def test_ctrl_c_is_not_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run_failing(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"


def test_a_fault_of_the_program_itself_is_not_hidden() -> None:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        console.run(app)


def test_a_table_shows_known_metrics_and_leaves_out_missing_ones(capsys: pytest.CaptureFixture[str]) -> None:
    values: dict[str, float | None] = {"macro_f1": 0.4215, "nll": 1.25, "direction_auc": None}
    table = console.metrics_table("Title", [("model", values, ["3 of 9"])], ["best epoch"])
    console.out.print(table)
    shown = capsys.readouterr().out
    for text in ("Title", "macro-F1", "direction AUC", "best epoch", "model", "0.4215", "1.2500", "3 of 9"):
        assert text in shown
    assert "0.0000" not in shown


@pytest.fixture
def _restored_verbosity() -> Iterator[None]:
    yield
    console.set_verbosity(verbose=False, quiet=False)


def _work(fail: bool = False) -> None:
    """Do what a command does: show progress and notices, log, print results, perhaps fail."""
    console.err.print("a notice")
    logging.getLogger("core.work").debug("a detail", extra={"trial": 3})
    logging.getLogger("elsewhere").warning("of another library")
    with console.progress_bar() as bar:
        bar.update(bar.add_task("progress", total=2), completed=2)
    console.out.print("a result")
    if fail:
        raise ConfigError("It failed", "Fix it")


def _run_working(monkeypatch: pytest.MonkeyPatch, *args: str) -> int | str | None:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(with_verbosity(_work))
    monkeypatch.setattr("sys.argv", ["program", *args])
    with pytest.raises(SystemExit) as caught:
        console.run(app)
    return caught.value.code


@pytest.mark.usefixtures("_restored_verbosity")
class TestVerbosity:
    def test_by_default_a_command_shows_progress_and_notices_and_no_log(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _run_working(monkeypatch) == 0
        captured = capsys.readouterr()
        assert captured.out == "a result\n"
        assert "a notice" in captured.err
        assert "progress" in captured.err
        assert "a detail" not in captured.err

    @pytest.mark.parametrize("flag", ["--quiet", "-q"])
    def test_quiet_hides_progress_and_notices_and_keeps_results(
        self, flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _run_working(monkeypatch, flag) == 0
        captured = capsys.readouterr()
        assert captured.out == "a result\n"
        assert captured.err == ""

    def test_quiet_hides_no_error(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        assert _run_working(monkeypatch, "--quiet", "--fail") == 2
        assert capsys.readouterr().err == "error: It failed. Fix it.\n"

    @pytest.mark.parametrize("flag", ["--verbose", "-v"])
    def test_verbose_shows_what_this_program_logs(
        self, flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _run_working(monkeypatch, flag) == 0
        captured = capsys.readouterr()
        assert captured.out == "a result\n"
        assert "a notice" in captured.err
        assert "debug: a detail  trial=3\n" in captured.err
        assert "of another library" not in captured.err

    def test_verbose_and_quiet_exclude_each_other(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert _run_working(monkeypatch, "--verbose", "--quiet") == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == "error: --verbose and --quiet cannot be combined. Use one of them.\n"

    def test_the_last_choice_holds_and_prints_each_line_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        for _ in range(2):
            console.set_verbosity(verbose=True, quiet=False)
        logging.getLogger("search").info("once")
        assert capsys.readouterr().err == "info: once\n"
        console.set_verbosity(verbose=False, quiet=False)
        logging.getLogger("search").warning("not at all")
        assert capsys.readouterr().err == ""
        assert [logging.getLogger(name).level for name in logs.LOGGERS] == [logging.NOTSET, logging.NOTSET]

    def test_log_lines_show_no_markup_and_no_secrets(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("TEST_TOKEN", "abcdef")
        console.set_verbosity(verbose=True, quiet=False)
        logging.getLogger("core").info("[bold]x[/] abcdef")
        assert capsys.readouterr().err == "info: [bold]x[/] ***\n"

    def test_the_options_are_the_commands_own_and_two_more(self) -> None:
        names = list(inspect.signature(with_verbosity(_work)).parameters)
        assert names == ["fail", "verbose", "quiet"]
        assert with_verbosity(_work).__doc__ == _work.__doc__


def test_the_width_is_that_of_the_environment_when_it_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in (70, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert console.out.width == console.err.width == columns
    monkeypatch.delenv("COLUMNS")
    assert console.out.width == 120  # captured output is no terminal


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    controller, terminal = os.openpty()
    with os.fdopen(controller), os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        for columns, shown in ((97, 97), (0, 120)):  # a terminal without a window says 0
            termios.tcsetwinsize(stream.fileno(), (30, columns))
            assert console.out.width == shown


def test_json_is_strict_whatever_the_values(capsys: pytest.CaptureFixture[str]) -> None:
    content = {
        "missing": [None, float("nan"), float("-inf"), np.float32("nan"), pd.NA, pd.NaT],
        "numbers": [1, 0.5, True, np.int64(2), np.float32(0.5), np.bool_(False)],
        "array": np.array([1.0, np.nan]),
        "text": "[bold]:smile: \u00fc",
        7: pd.Timestamp("2024-01-01", tz="UTC"),
    }
    console.print_json(content)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "missing": [None] * 6,
        "numbers": [1, 0.5, True, 2, 0.5, False],
        "array": [1.0, None],
        "text": "[bold]:smile: \u00fc",
        "7": "2024-01-01 00:00:00+00:00",
    }


def test_a_curve_without_a_finite_value_is_blank() -> None:
    assert console.sparkline([float("nan"), float("inf")]) == "  "
    assert console.sparkline([0.5, 0.5]) == "▁▁"
    assert console.sparkline([]) == ""
