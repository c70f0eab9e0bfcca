"""`preset-train`: trains one model from a preset, checks it, predicts with it, and updates it with new bars."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from core import console
from core.cli.check import CHECK_EPILOG, check
from core.cli.predict import PREDICT_EPILOG, predict
from core.cli.train import TRAIN_EPILOG, train
from core.cli.update import UPDATE_EPILOG, update
from core.console import Command, with_verbosity

EPILOG = (
    "Examples:\n\n"
    "preset-train --preset quick_experiment --synthetic --output-dir checkpoints/try\n\n"
    "preset-train check checkpoints/try\n\n"
    "preset-train predict checkpoints/try --synthetic\n\n"
    "preset-train update checkpoints/try --synthetic --output-dir checkpoints/updated\n\n"
    "All options of a training: preset-train train --help"
)


class _TrainByDefault(TyperGroup):
    """Runs `train` where no command is named: `preset-train --preset X` is `preset-train train --preset X`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `train` before the arguments if they begin with neither a command nor `--help`."""
        is_complete = args[:1] and (args[0] in self.commands or args[0] in self.get_help_option_names(ctx))
        return super().parse_args(ctx, args if is_complete else ["train", *args])


app = typer.Typer(
    cls=_TrainByDefault, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False,
    help="Train one model from a preset, check it, predict with it, and update it with new bars. Without the name of a "
    "command, train is meant.",
    epilog=EPILOG,
)  # fmt: skip
app.command(cls=Command, epilog=TRAIN_EPILOG)(with_verbosity(train))
app.command(cls=Command, epilog=CHECK_EPILOG)(check)
app.command(cls=Command, epilog=PREDICT_EPILOG)(predict)
app.command(cls=Command, epilog=UPDATE_EPILOG)(update)


def main() -> None:
    """Run `preset-train`."""
    console.run(app)
