"""What both command lines share: errors in one line, options that take several values, tables, progress.

Results go to standard output, progress and errors to standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand

from core.errors import PresetSearchError

# Where the width is unknown (a pipe, a log), tables are not squeezed into 80 columns.
_WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120
out = Console(highlight=False, soft_wrap=True, width=_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True, width=None if sys.stderr.isatty() else _WIDTH)
INTERRUPTED = 130
"""Exit code after Ctrl-C."""
SYNTHETIC_NOTICE = "SYNTHETIC DATA: a made-up market with a planted signal. No figure here says anything of a real one."


class Command(TyperCommand):
    """A command whose repeatable options also take several values: `--data A B` is `--data A --data B`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option's name before each further value, then parse as usual."""
        repeatable = {
            name for parameter in self.params if getattr(parameter, "multiple", False) for name in parameter.opts
        }
        return super().parse_args(ctx, repeat_options(args, repeatable))


def repeat_options(args: Sequence[str], repeatable: set[str]) -> list[str]:
    """Turn `--data A B` into `--data A --data B` for the options named; all else is left as it is."""
    result: list[str] = []
    current: str | None = None
    values = 0
    for argument in args:
        if argument.startswith("-"):
            current, values = (argument, 0) if argument in repeatable else (None, 0)
        elif current is not None:
            values += 1
            if values > 1:
                result.append(current)
        result.append(argument)
    return result


def plain(text: object, style: str = "") -> Text:
    """What a file or a user says, shown as it is: no markup, no emoji codes, and without control characters."""
    shown = (" " if each.isspace() else each for each in str(text))
    return Text("".join(each for each in shown if each.isprintable()), style)


def run(app: typer.Typer) -> None:
    """Run a command line: an error that the user can mend is one line and exit code 2; Ctrl-C is 130."""
    try:
        app()
    except PresetSearchError as error:
        err.print(Text.assemble(("error:", "bold red"), " ", plain(" ".join(str(error).split()))))
        sys.exit(2)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            err.print("interrupted")
        raise


def progress_bar() -> Progress:
    """A progress bar with count, elapsed and remaining time, on standard error."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=err,
    )


Row = tuple[str, Mapping[str, float | None], Sequence[str]]


def metrics_table(title: str, rows: Sequence[Row], extra: Sequence[str]) -> Table:
    """A table of candidates side by side.

    Args:
        title: above the table.
        rows: name, metrics and further cells of each candidate.
        extra: headings of the further cells.
    """
    shown = {
        "macro_f1": "macro-F1",
        "mcc": "MCC",
        "direction_auc": "direction AUC",
        "balanced_accuracy": "bal. accuracy",
        "accuracy": "accuracy",
        "nll": "NLL",
    }
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in shown.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in extra:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, values, cells in rows:
        table.add_row(name, *("" if values.get(key) is None else f"{values[key]:.4f}" for key in shown), *cells)
    return table
