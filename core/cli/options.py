"""Options that several commands of both command lines share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from core import console
from core.cli.data_settings import data_settings
from core.errors import ConfigError

VERDICT_COLOURS = {"pass": "green", "fail": "red", "too short to tell": "yellow", "not measured": "dim"}
"""Rich style of each verdict of the checklist."""
DataOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--data", help="Bar files, such as binance_BTCUSDT_5m.parquet, or folders of them; takes several values."
    ),
]
SymbolsOption = Annotated[
    list[str] | None, typer.Option("--symbols", help="Symbols to read from the store; takes several values.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="YAML file of a campaign, to use its data settings; options override them."),
]
DaysOption = Annotated[float | None, typer.Option("--days", help="Use only the last N days. Default: all.")]
UntilOption = Annotated[
    str | None, typer.Option("--until", help="End of the data, ISO 8601, UTC. Default: the newest bar.")
]
IntervalOption = Annotated[str | None, typer.Option("--interval", help="Bar length, such as 5m or 1h. Default: 5m.")]
StoreOption = Annotated[Path | None, typer.Option("--store", help="Folder of the bar files. Default: data.")]
ExchangeOption = Annotated[str | None, typer.Option("--exchange", help="Exchange of the bars. Default: binance.")]
WindowOption = Annotated[
    int | None, typer.Option("--window", help="Number of bars that one prediction sees. Default: 60.")
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Do not fetch bars that the store lacks.")]
FeaturesOption = Annotated[
    list[str] | None,
    typer.Option("--features", help="Extra columns to use as features, by name or glob; takes several values."),
]
FillUntradedOption = Annotated[
    int | None,
    typer.Option("--fill-untraded", help="Fill gaps of up to N bars with flat bars without volume. Default: 0."),
]
SessionsOption = Annotated[
    bool, typer.Option("--sessions", help="The market closes: let windows reach across nights and weekends.")
]
HorizonOption = Annotated[
    int | None, typer.Option("--horizon", help="Number of bars that a label looks ahead. Default: 3.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="Device to run on: auto, cpu or cuda.")]
SyntheticOption = Annotated[bool, typer.Option("--synthetic", help="Use the embedded synthetic market.")]

_DATA_OPTIONS: dict[str, tuple[Any, Any]] = {
    "data": (DataOption, None),
    "symbols": (SymbolsOption, None),
    "days": (DaysOption, None),
    "until": (UntilOption, None),
    "interval": (IntervalOption, None),
    "store": (StoreOption, None),
    "exchange": (ExchangeOption, None),
    "window": (WindowOption, None),
    "horizon": (HorizonOption, None),
    "features": (FeaturesOption, None),
    "fill_untraded": (FillUntradedOption, None),
    "sessions": (SessionsOption, False),
    "offline": (OfflineOption, False),
    "synthetic": (SyntheticOption, False),
}
"""Declaration and default of each option that names or describes data, in the order of `--help`."""


def with_data_options(*names: str, **declarations: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that name its data, in place of its parameter `source`.

    The command is called with the data settings that the options ask for, as `data_settings` returns them.

    Args:
        *names: names of the options' parameters, such as `symbols`; all options if none is named.
        **declarations: declarations that replace the common ones, by the parameter's name.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        options = {
            name: console.option_parameter(name, declarations.get(name, declaration), default)
            for name, (declaration, default) in _DATA_OPTIONS.items()
            if not names or name in names
        }

        def command(**values: Any) -> None:
            source = data_settings(**{name: values.pop(name) for name in options})
            function(source=source, **values)

        parameters = console.keyword_parameters(function)
        place = next(index for index, parameter in enumerate(parameters) if parameter.name == "source")
        parameters[place : place + 1] = options.values()
        return console.with_parameters(command, function, parameters)

    return decorate


def choice(value: str, options: Any, flag: str) -> str:
    """Return the value of an option if it is one of the allowed values.

    Args:
        value: the value on the command line.
        options: the `Literal` type that lists the allowed values.
        flag: the option, such as `--device`, for the message.

    Raises:
        ConfigError: the value is not allowed; the message lists the allowed values.
    """
    allowed = get_args(options)
    if value not in allowed:
        raise ConfigError(f"{flag} {value!r} is not known", f"Use one of {', '.join(allowed)}")
    return value
