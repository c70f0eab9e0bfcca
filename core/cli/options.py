"""The options that both command lines share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from core import console
from core.cli.data_settings import data_settings
from core.errors import ConfigError

VERDICT_COLOURS = {"pass": "green", "fail": "red", "not measured": "dim"}
DataOption = Annotated[
    list[Path] | None,
    typer.Option("--data", help="Bar files named <exchange>_<SYMBOL>_<interval>.parquet; several may follow."),
]
SymbolsOption = Annotated[
    list[str] | None, typer.Option("--symbols", help="Symbols to read from the store; several may follow.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="A campaign's YAML, whose data settings are used; flags override them."),
]
DaysOption = Annotated[float | None, typer.Option("--days", help="Use the last N days. Default: all.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="End of the span, ISO 8601, UTC. Default: newest.")]
IntervalOption = Annotated[str | None, typer.Option("--interval", help="Bar length in the store. Default: 5m.")]
StoreOption = Annotated[Path | None, typer.Option("--store", help="Folder of bar files. Default: data.")]
ExchangeOption = Annotated[str | None, typer.Option("--exchange", help="Whose bars. Default: binance.")]
WindowOption = Annotated[int | None, typer.Option("--window", help="Bars one prediction sees. Default: 60.")]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Fetch nothing that the store lacks.")]
FeaturesOption = Annotated[
    list[str] | None, typer.Option("--features", help="Further columns that are features; globs; several may follow.")
]
HorizonOption = Annotated[int | None, typer.Option("--horizon", help="Bars ahead a label looks. Default: 3.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
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
    """Return `value` if it is one of a Literal's values.

    Raises:
        ConfigError: it is not.
    """
    known = get_args(options)
    if value not in known:
        raise ConfigError(f"{flag} {value!r} is not known", f"Use one of {', '.join(known)}")
    return value
