"""Terminal output and command wrappers that both command lines share.

Results go to standard output; progress, notices and errors go to standard error.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, get_type_hints

import typer
from rich.console import Console, ConsoleDimensions, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand

from core import logs
from core.errors import ConfigError, PresetSearchError, one_line


class _Console(Console):
    """A console that finds its width whenever it prints, and assumes 120 columns in a pipe or a log instead of 80."""

    @property  # type: ignore[misc]  # nothing sets it
    def size(self) -> ConsoleDimensions:
        """Columns and lines: as the environment says, or else those of the terminal."""
        columns, lines = 120, 25
        if self.is_terminal:
            with suppress(OSError):
                columns, lines = os.get_terminal_size(self.file.fileno())
        named = os.environ.get("COLUMNS", "")
        return ConsoleDimensions(int(named) if named.isdigit() else columns or 120, lines or 25)


out = _Console(highlight=False, soft_wrap=True)
err = _Console(stderr=True, highlight=False, soft_wrap=True)
INTERRUPTED = 130
"""Exit code after Ctrl-C."""
SYNTHETIC_NOTICE = (
    "SYNTHETIC DATA: an artificial market with a planted signal. No figure here says anything about a real market."
)


class _TerminalHandler(logging.Handler):
    """Prints log lines to standard error, above the progress bar if one is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record as one dim line."""
        err.print(Text(self.format(record), "dim"))


_TERMINAL = _TerminalHandler()
_TERMINAL.setFormatter(logs.PlainLines())


def set_verbosity(verbose: bool, quiet: bool) -> None:
    """Set what the terminal shows besides results and errors, which are always shown.

    Args:
        verbose: whether to show log lines, too.
        quiet: whether to hide progress and notices.

    Raises:
        ConfigError: both are set.
    """
    if verbose and quiet:
        raise ConfigError("--verbose and --quiet cannot be combined", "Use one of them")
    err.quiet = quiet
    for name in logs.LOGGERS:
        logger = logging.getLogger(name)
        logger.removeHandler(_TERMINAL)
        logger.setLevel(logging.NOTSET)
        if verbose:
            logger.addHandler(_TERMINAL)
            logger.setLevel(logging.DEBUG)


VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show log lines, too.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Hide progress and notices.")]


def keyword_parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return a function's parameters as keyword-only ones, with their annotations evaluated."""
    hints = get_type_hints(function, include_extras=True)
    return [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
        for name, parameter in inspect.signature(function).parameters.items()
    ]


def option_parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """Return the parameter of one more option of a command."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def with_parameters(
    command: Callable[..., None], function: Callable[..., None], parameters: Sequence[inspect.Parameter]
) -> Callable[..., None]:
    """Return `command` under the name and the help text of `function`, with the options that the parameters declare.

    Typer reads the options of a command from its signature.

    Args:
        command: the function to be called with the values of all parameters, by keyword.
        function: the function that `command` wraps.
        parameters: keyword-only parameters with evaluated annotations, in the order of `--help`.
    """
    functools.update_wrapper(command, function)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def with_verbosity(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options `--verbose` and `--quiet` to a command, which is called without them."""

    def command(verbose: bool, quiet: bool, **values: Any) -> None:
        set_verbosity(verbose, quiet)
        function(**values)

    options = [option_parameter("verbose", VerboseOption, False), option_parameter("quiet", QuietOption, False)]
    return with_parameters(command, function, [*keyword_parameters(function), *options])


class Command(TyperCommand):
    """Parses commands whose repeatable options also take several values: `--data A B` is `--data A --data B`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option's name before each further value, then parse as usual."""
        repeatable = {
            name for parameter in self.params if getattr(parameter, "multiple", False) for name in parameter.opts
        }
        return super().parse_args(ctx, repeat_options(args, repeatable))


def repeat_options(args: Sequence[str], repeatable: set[str]) -> list[str]:
    """Repeat the name of an option before each further value: `--data A B` becomes `--data A --data B`.

    The first value may follow a sign: `--data=A B` becomes `--data=A --data B`.

    Args:
        args: the words of a command line.
        repeatable: names of the options that take several values, such as `--data`; all others are left as they are.
    """
    result: list[str] = []
    current: str | None = None
    values = 0
    for argument in args:
        if argument.startswith("-"):
            name, has_value, _ = argument.partition("=")
            current, values = (name, len(has_value)) if name in repeatable else (None, 0)
        elif current is not None:
            values += 1
            if values > 1:
                result.append(current)
        result.append(argument)
    return result


def plain(text: object, style: str = "") -> Text:
    """Return text of a file or a user to be printed literally: no markup, no emoji codes, no control characters.

    Args:
        text: the text, or a value whose text is shown.
        style: Rich style of the whole text, such as `bold red`.
    """
    characters = (" " if character.isspace() else character for character in str(text))
    return Text("".join(character for character in characters if character.isprintable()), style)


def run(app: typer.Typer) -> None:
    """Run a command line: an error that the user can fix is one line and exit code 2; Ctrl-C is exit code 130."""
    try:
        app()
    except PresetSearchError as error:
        err.quiet = False
        err.print(Text.assemble(("error:", "bold red"), " ", plain(one_line(error))))
        sys.exit(2)
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            err.print("interrupted")
        raise


class ProgressBar(Progress):
    """A progress bar that can show more above its bars on a terminal, as long as it is live.

    Attributes:
        above: returns what to show; called from another thread, several times a second. None to show nothing.
    """

    above: Callable[[], RenderableType] | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return what is shown: what stands above, then the bars."""
        if self.above is not None and self.console.is_terminal:
            yield self.above()
        yield from super().get_renderables()

    def stop(self) -> None:
        """End the live display; of what it showed, the bars stay."""
        self.above = None
        super().stop()


def progress_bar() -> ProgressBar:
    """Return a progress bar with count, elapsed and remaining time, which is shown on standard error."""
    return ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=err,
        refresh_per_second=4,
    )


_SPARKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float]) -> str:
    """Return a curve as one line of characters; a value that is not finite is a space.

    >>> sparkline([0.1, 0.2, float("nan"), 0.4])
    '▁▃ █'
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return " " * len(values)
    low, high = min(finite), max(finite)
    width = (high - low) or 1.0
    heights = ((value - low) / width * (len(_SPARKS) - 1) if math.isfinite(value) else None for value in values)
    return "".join(" " if height is None else _SPARKS[round(height)] for height in heights)


def short_number(value: Any) -> str:
    """Return a value of a table as text: four decimals, unless the number is small; empty where there is no value.

    >>> short_number(0.25), short_number(0.00031), short_number(128), short_number(None)
    ('0.2500', '3.1e-04', '128', '')
    """
    if value is None or value != value or str(value) == "<NA>":
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0 or 1e-2 <= abs(value) < 1e5 else f"{value:.1e}"
    return str(value)


def market_title(title: str, is_synthetic: bool) -> str:
    """Return a table's title, which names the synthetic market: the notice above the table may be hidden.

    Args:
        title: the title for real market data.
        is_synthetic: whether the figures are those of the synthetic market.
    """
    return f"{title} of the SYNTHETIC market" if is_synthetic else title


def print_data_notices(is_synthetic: bool, advice: Sequence[str]) -> None:
    """Print to standard error what a reader of the figures has to know about the data.

    Args:
        is_synthetic: whether they are of the synthetic market.
        advice: sentences on what is doubtful about them, see `core.data.summary.advice`.
    """
    if is_synthetic:
        err.print(f"[bold yellow]{SYNTHETIC_NOTICE}[/]")
    for sentence in advice:
        err.print(f"[bold yellow]advice:[/] {escape(sentence)}")


def format_interval(low: float | None, high: float | None) -> str:
    """Return an interval as text; empty where there is none."""
    return "" if low is None or high is None else f"[{low:.4f}, {high:.4f}]"


METRIC_HEADINGS = {
    "auc": "AUC",
    "macro_f1": "macro-F1",
    "mcc": "MCC",
    "direction_auc": "direction AUC",
    "balanced_accuracy": "bal. acc.",
    "accuracy": "accuracy",
    "nll": "NLL",
}
"""Headings of the metrics that tables show, by the metric's name, in the order in which they are shown."""
Row = tuple[str, Mapping[str, float | None], Sequence[str]]


def metrics_table(title: str, rows: Sequence[Row], extra: Sequence[str]) -> Table:
    """Return a table that compares the metrics of several candidates.

    Args:
        title: the title above the table.
        rows: name, metrics by name, and extra cells of each candidate; metrics that are missing or None stay empty.
        extra: headings of the extra cells.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in METRIC_HEADINGS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in extra:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, values, cells in rows:
        figures = ("" if values.get(key) is None else f"{values[key]:.4f}" for key in METRIC_HEADINGS)
        table.add_row(name, *figures, *cells)
    return table


def print_json(content: Any) -> None:
    """Print plain values as strict JSON to standard output; what is missing or not a finite number is null.

    Args:
        content: mappings, sequences and values, those of numpy and pandas among them.
    """
    text = json.dumps(_plain_values(content), indent=2, ensure_ascii=False)
    out.print(text, markup=False, emoji=False, soft_wrap=True)


def print_json_line(content: Any) -> None:
    """Print plain values as strict JSON on one line, at once: another program may be reading it."""
    out.print(json.dumps(_plain_values(content), ensure_ascii=False), markup=False, emoji=False, soft_wrap=True)
    out.file.flush()


def _plain_values(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _plain_values(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain_values(value) for value in content]
    if hasattr(content, "tolist"):  # numpy's numbers and arrays
        return _plain_values(content.tolist())
    if content is None or str(content) in ("<NA>", "NaT", "nan", "inf", "-inf"):
        return None
    return content if isinstance(content, bool | int | float) else str(content)
