"""`preset-search replay` and `study`: look into the Optuna record of a campaign."""

from __future__ import annotations

from typing import Annotated

import typer

from core import console
from core.console import Command
from search.cli.options import NameArgument, RootOption
from search.results.folder import ROOT, CampaignFolder

REPLAY_EPILOG = "Example:\n\npreset-search replay btc-eth-30d"
study_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Optuna's record of a campaign.")


def replay(name: NameArgument, root: RootOption = ROOT) -> None:
    """Make every proposal of a campaign again from its journal, and say whether they are the same."""
    from search.config import study_settings
    from search.study.replay import replay_study

    folder = CampaignFolder.find(root, name)
    found = replay_study(folder.journal, study_settings(folder.read_config()))
    console.out.print(f"{found.equal} of {found.proposals} proposals came out the same to the last bit")
    if found.first_difference is not None:
        number, recorded, again = found.first_difference
        console.out.print(f"[bold red]trial {number} differs:[/] recorded {recorded}, made again {again}")
        raise typer.Exit(1)


@study_app.command(
    "copy", cls=Command, epilog="Example:\n\npreset-search study copy btc-eth-30d --to sqlite:///studies.db"
)
def copy(
    name: NameArgument,
    to: Annotated[str, typer.Option("--to", help="An Optuna storage, for example sqlite:///studies.db.")],
    root: RootOption = ROOT,
) -> None:
    """Copy a campaign's study into any storage that Optuna knows."""
    from search.study import study

    count = study.copy_study(CampaignFolder.find(root, name).journal, name, to)
    console.out.print(f"copied {count} trials")
