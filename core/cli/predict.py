"""`preset-train predict`: applies a trained model to bars, and writes its predictions to a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.markup import escape
from rich.table import Table

from core import console
from core.cli.data_settings import bars_like_the_trainings
from core.cli.options import ConfigOption, DeviceOption, choice, with_data_options
from core.config import DataConfig, Device
from core.console import SYNTHETIC_NOTICE
from core.errors import ConfigError
from core.files import check_writable, writing

if TYPE_CHECKING:
    import pandas as pd

    from core.data.newest_bars import NewestBar
    from core.evaluation.decision import DecisionRule
    from core.inference import TrainedModel

NO_CURRENT_CALL = 3
"""Exit code where the newest bar of a symbol has no call, or is too old for a call of now."""
MAX_UNSEEN_DAYS = 5
"""Days without bars that make little difference to the decision rule; markets may also be closed for so long."""
_WARM_UP = 400
"""Bars before the first one that can be predicted: features look back 239, and windows begin after them."""
DEFAULT_MAX_AGE = 3
"""Number of bars that may have closed since the newest one where bars are fetched up to now."""
_TIME = "%Y-%m-%d %H:%M:%S"
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
"""Units of an age, in seconds; the largest one is used of which it has at least two."""
PREDICT_EPILOG = (
    "Examples:\n\n"
    "preset-train predict checkpoints/btc/checkpoint.pt --data data/binance_BTCUSDT_5m.parquet\n\n"
    "preset-train predict checkpoints/btc/checkpoint.pt --symbols BTCUSDT --days 60 --output calls.csv\n\n"
    "preset-train predict checkpoints/btc/checkpoint.pt --symbols BTCUSDT --days 60 --offline --max-age 12"
)


@with_data_options("data", "symbols", "days", "until", "store", "exchange", "offline", "synthetic")
def predict(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint.pt written by preset-train, or its folder.")],
    config_file: ConfigOption = None,
    *,
    source: dict[str, Any],
    output: Annotated[Path, typer.Option("--output", help="File to write: .parquet or .csv.")] = Path(
        "predictions.parquet"
    ),
    device: DeviceOption = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    max_age: Annotated[
        int | None,
        typer.Option(
            "--max-age",
            min=0,
            help="Exit with 3 if more bars than this have closed since the newest one. Default: "
            f"{DEFAULT_MAX_AGE} with --symbols, any number with --offline, --until or bars from elsewhere.",
        ),
    ] = None,
) -> None:
    """Write calibrated probabilities of SELL, HOLD and BUY for every bar, from bars like those of the training.

    Bars of --symbols are fetched up to now, unless --offline or --until is given. The exit code is 3 if the newest bar
    of a symbol is older than --max-age, or has no call, because there are too few bars or some are missing near it.
    """
    from core.data.newest_bars import find_newest_bars
    from core.data.sources.fetch import fetch_missing
    from core.data.sources.reader import read_market
    from core.inference import TrainedModel
    from core.training.device import resolve_device
    from core.training.run import CHECKPOINT_FILE

    torch_device = resolve_device(cast(Device, choice(device, Device, "--device")))
    _check_output(output, overwrite)
    trained = TrainedModel.load(checkpoint / CHECKPOINT_FILE if checkpoint.is_dir() else checkpoint)
    config = bars_like_the_trainings(trained, source, config_file)
    fetch_missing(config, _now(), up_to_now=True)
    market = read_market(config, labelled=False, features=trained.features)
    if market.is_synthetic:
        console.err.print(f"[bold yellow]{SYNTHETIC_NOTICE}[/]")
    table = trained.predict(market, torch_device)
    _write_table(output, table)
    newest_bars = find_newest_bars(market)
    _show_newest_calls(table, newest_bars)
    _show_notes(table, trained)
    console.out.print(f"wrote {escape(str(output))}")
    now = _now()
    if not market.is_synthetic:
        _show_ends(newest_bars, now)
    has_old = _show_old_bars(newest_bars, market.span.bar, now, _age_limit(config, max_age))
    missing = [bar for bar in newest_bars if not bar.has_call]
    for bar in missing:
        console.out.print(f"[bold red]No call:[/] {escape(_explain_missing_call(bar))}")
    if missing or has_old:
        raise typer.Exit(NO_CURRENT_CALL)


def _check_output(output: Path, overwrite: bool) -> None:
    """Refuse a file for the predictions that cannot be written, or that exists and may not be replaced."""
    if output.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{output} is neither .parquet nor .csv", "Give --output a name with one of these endings")
    if output.exists() and not overwrite:
        raise ConfigError(f"{output} already exists", "Choose another --output, or add --overwrite")
    check_writable(output.parent)


def _write_table(output: Path, table: pd.DataFrame) -> None:
    """Write the predictions in the format that the ending of the file's name says."""
    with writing(output) as temporary:
        if output.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)


def _now() -> int:
    """Return the present time in microseconds since 1970."""
    from core.data.file_format import datetime_microseconds

    return datetime_microseconds(datetime.now(UTC))


def _age_limit(config: DataConfig, max_age: int | None) -> int | None:
    """Return how many bars may have closed since the newest one; None for any number.

    Args:
        config: settings of the bars that are predicted.
        max_age: value of --max-age; None if it is not given.
    """
    if max_age is not None:
        return max_age
    is_fetched_up_to_now = bool(config.symbols) and not config.offline and config.until is None
    return DEFAULT_MAX_AGE if is_fetched_up_to_now else None


def _bars_since(bar: NewestBar, length: int, now: int) -> int:
    """Return how many bars have closed since the newest one.

    Args:
        bar: the newest bar of a symbol.
        length: length of a bar in microseconds.
        now: present time, in microseconds since 1970.
    """
    return max((now - bar.opened) // length - 1, 0)


def _describe_newest_bar(bar: NewestBar, now: int) -> str:
    """Return a line on when the newest bar of a symbol opened, and how long ago that was.

    Args:
        bar: the newest bar of a symbol.
        now: present time, in microseconds since 1970.
    """
    opened = f"newest bar of {bar.symbol} opened {datetime.fromtimestamp(bar.newest / 1e6, UTC):{_TIME}}"
    seconds = (now - bar.newest) // 1_000_000
    if seconds < 0:
        return f"{opened}, which is later than the clock of this machine says that it is"
    size, unit = next((size, unit) for size, unit in _UNITS if seconds >= 2 * size or size == 1)
    count = seconds // size
    return f"{opened}, {count:,} {unit if count == 1 else unit + 's'} ago"


def _show_ends(newest_bars: Sequence[NewestBar], now: int) -> None:
    """Print when the newest bar of each symbol opened, and whether a bar after it was left out.

    Args:
        newest_bars: the newest bar of each symbol.
        now: present time, in microseconds since 1970.
    """
    for bar in newest_bars:
        console.out.print(escape(_describe_newest_bar(bar, now)))
        if bar.left_out is not None:
            console.out.print(escape(_describe_left_out(bar.symbol, bar.left_out)))


def _show_old_bars(newest_bars: Sequence[NewestBar], length: int, now: int, limit: int | None) -> bool:
    """Print which symbols have a newest bar that is too old for a call of now, and return whether any has.

    Args:
        newest_bars: the newest bar of each symbol.
        length: length of a bar in microseconds.
        now: present time, in microseconds since 1970.
        limit: number of bars that may have closed since the newest one; None for any number.
    """
    ages = {bar.symbol: _bars_since(bar, length, now) for bar in newest_bars}
    old = [symbol for symbol, age in ages.items() if limit is not None and age > limit]
    for symbol in old:
        age = f"{ages[symbol]:,} bars have closed since the newest one of {symbol}"
        console.out.print(
            f"[bold red]Old bars:[/] {escape(age)}, more than {limit}: its newest call is not one of now."
        )
    return bool(old)


def _describe_left_out(symbol: str, opened: int) -> str:
    """Return a line on the last bar of a file, which was left out.

    Args:
        symbol: name of the symbol.
        opened: when the bar opens, in microseconds since 1970.
    """
    when = f"{datetime.fromtimestamp(opened / 1e6, UTC):{_TIME}}"
    return f"the last bar of {symbol} in its file opened {when}; it may be incomplete and was left out"


def _explain_missing_call(bar: NewestBar) -> str:
    """Return a sentence on why the newest bar of a symbol has no call."""
    if bar.missing_before_left_out:
        count = bar.missing_before_left_out
        return (
            f"{count:,} {'bar is' if count == 1 else 'bars are'} missing between the newest complete bar of "
            f"{bar.symbol} and the end of its file: its newest call is from before them."
        )
    newest = "The newest bar" if bar.unpredicted == 1 else f"The newest {bar.unpredicted} bars"
    reason = (
        f"a bar is missing {bar.since_gap} bars before the end; windows do not reach across it, nor do features if it "
        "is one of many"
        if bar.has_gap
        else f"windows and features need more than its {bar.since_gap} bars"
    )
    return f"{newest} of {bar.symbol} cannot be predicted: {reason}."


def _show_newest_calls(table: pd.DataFrame, newest_bars: Sequence[NewestBar]) -> None:
    """Print the newest call of each symbol beside its newest bar, which may be a later one."""
    newest_calls = {row["symbol"]: row for row in table.groupby("symbol").tail(1).to_dict("records")}
    shown = Table(title="Newest call of each symbol", title_justify="left")
    for heading in ("symbol", "newest bar", "call at bar", "SELL", "HOLD", "BUY", "call"):
        shown.add_column(heading)
    for bar in newest_bars:
        opened = f"{datetime.fromtimestamp(bar.newest / 1e6, UTC):{_TIME}}"
        row = newest_calls.get(bar.symbol)
        cells = ["none", "", "", "", ""]
        if row is not None:
            probabilities = [f"{row[name]:.3f}" for name in ("sell", "hold", "buy")]
            cells = [f"{row['timestamp']:{_TIME}}", *probabilities, row["call"]]
        shown.add_row(escape(bar.symbol), opened, *cells)
    console.out.print(shown)


def _why_uncalibrated(trained: TrainedModel) -> str:
    """Say why the probabilities of a model are not calibrated."""
    from core.training.run import TRAINED

    if trained.about.get("state") == TRAINED:
        return "the training was interrupted before it was measured on val"
    return "nothing was held out"


def _rule_metric(trained: TrainedModel) -> str:
    """Return the metric that the decision rule of a model was fitted for."""
    from core.evaluation.decision import rule_metric

    return rule_metric(trained.config.trainer.metric)


def _describe_calls(trained: TrainedModel) -> str:
    """Return a sentence on how the calls follow from the probabilities."""
    if trained.rule is None:
        return "Calls are the class with the largest raw score, before any calibration"
    best = f", as was best for {_rule_metric(trained)} on val" if trained.calibration else ""
    return (
        f"A call compares each probability with its mean of the past weeks{best}, so it need not be the most probable "
        "class"
    )


def _describe_unseen(table: pd.DataFrame, rule: DecisionRule) -> str:
    """Return a sentence on bars that were not given and that the decision rule would follow; empty if there are none.

    Args:
        table: the predictions.
        rule: the decision rule of the model, which has followed the bars up to `rule.since`.
    """
    from core.data.file_format import DAY, column_microseconds, iso

    opened = column_microseconds(table["timestamp"])
    later = opened[opened > rule.since] if rule.since is not None else opened[:0]
    if len(later) == 0 or rule.since is None or later.min() - rule.since <= max(MAX_UNSEEN_DAYS * DAY, rule.bar):
        return ""
    days = math.ceil((later.max() - rule.since + _WARM_UP * rule.bar) / DAY)
    return (
        f"These means are as they were at {iso(rule.since)[:10]}: the bars since then, before the first one here, were "
        f"not given. Give them, too (--days {days}), for the calls that a confirmation makes."
    )


def _show_notes(table: pd.DataFrame, trained: TrainedModel) -> None:
    """Print what a reader of the predictions has to know about all of them."""
    before = " before the model was updated" if "update" in trained.about else ""
    kind = f"calibrated on val{before}" if trained.calibration else f"not calibrated: {_why_uncalibrated(trained)}"
    console.out.print(f"{len(table)} bars. Probabilities are {kind}. {_describe_calls(trained)}.")
    if trained.rule is not None and (unseen := _describe_unseen(table, trained.rule)):
        console.out.print(unseen)
    seen = int((table["split"] != "new").sum())
    if seen:
        console.out.print(f"{seen} of them lie in the span of the training: calls there look better than they are.")
