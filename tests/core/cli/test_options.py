from __future__ import annotations

from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from core.cli.options import ConfigOption, choice, with_data_options
from core.config import DataConfig, Device, SyntheticConfig
from core.console import Command
from core.errors import ConfigError

RUN = CliRunner()


class Probe:
    """A command with data options that keeps what it is called with."""

    def __init__(self, *names: str, **declarations: Any) -> None:
        self.source: dict[str, Any] | None = None
        self.epochs: int | None = None
        self.app = typer.Typer(pretty_exceptions_enable=False)

        @self.app.command(cls=Command)
        @with_data_options(*names, **declarations)
        def command(config_file: ConfigOption = None, *, source: dict[str, Any], epochs: int | None = None) -> None:
            """Keep the values."""
            self.source, self.epochs = source, epochs

    def __call__(self, line: str) -> int:
        return RUN.invoke(self.app, line.split()).exit_code


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("", {}),
        ("--epochs 3", {}),
        ("--data a.parquet b.parquet", {"files": ["a.parquet", "b.parquet"]}),
        ("--symbols=A B --features=f g --days=3", {"symbols": ["A", "B"], "features": ["f", "g"], "days": 3.0}),
        ("--symbols A B --store bars", {"symbols": ["A", "B"], "store": "bars"}),
        ("--days 2.5 --until 2024-05-01 --interval 1h", {"days": 2.5, "until": "2024-05-01", "interval": "1h"}),
        ("--exchange kraken --offline", {"exchange": "kraken", "offline": True}),
        ("--window 8 --horizon 2 --features f_*", {"window": 8, "horizon": 2, "features": ["f_*"]}),
        ("--synthetic", {"synthetic": SyntheticConfig().model_dump(mode="json")}),
    ],
)
def test_a_command_is_handed_the_data_settings_that_its_options_ask_for(line: str, settings: dict[str, Any]) -> None:
    probe = Probe()
    assert probe(line) == 0
    assert probe.source == settings
    assert probe.epochs == (3 if "--epochs" in line else None)
    assert set(settings) <= set(DataConfig.model_fields)


def test_a_command_may_take_some_of_the_options() -> None:
    probe = Probe("symbols", "store")
    assert probe("--symbols A --store bars") == 0
    assert probe.source == {"symbols": ["A"], "store": "bars"}
    assert probe("--window 8") == 2


def test_the_options_stand_where_the_command_takes_the_settings_and_keep_their_help() -> None:
    shown = RUN.invoke(Probe().app, ["--help"], terminal_width=160).output
    order = [shown.index(option) for option in ("--config", "--data", "--features", "--synthetic", "--epochs")]
    assert order == sorted(order)
    assert "--source" not in shown
    assert "Use the embedded synthetic market." in shown


def test_a_command_may_declare_an_option_in_other_words() -> None:
    other = Annotated[bool, typer.Option("--synthetic", help="Said otherwise.")]
    probe = Probe(synthetic=other)
    assert "Said otherwise." in RUN.invoke(probe.app, ["--help"], terminal_width=160).output
    assert probe("--synthetic") == 0
    assert probe.source is not None
    assert "synthetic" in probe.source


def test_a_value_that_is_no_choice_is_refused_with_all_choices() -> None:
    assert choice("cpu", Device, "--device") == "cpu"
    with pytest.raises(ConfigError, match="--device 'tpu' is not known") as caught:
        choice("tpu", Device, "--device")
    assert caught.value.remedy == "Use one of auto, cpu, cuda"
