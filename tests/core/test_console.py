from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from core import console
from core.console import repeat_options
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
        ("", ""),
    ],
)
def test_an_option_is_repeated_before_each_further_value(given_args: str, expected: str) -> None:
    assert repeat_options(given_args.split(), MANY) == expected.split()


words = st.sampled_from(["--data", "--symbols", "--days", "a", "b", "3"])


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


def test_ctrl_c_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
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
