"""`preset-search replay` and `study`: audit and copy the Optuna study of a campaign."""

from __future__ import annotations

from typing import Annotated

import typer

from core import console
from core.console import Command
from search.cli.options import NameArgument, RootOption
from search.results.folder import ROOT, CampaignFolder

REPLAY_EPILOG = "Example:\n\npreset-search replay btc-eth-30d"
study_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Work with the Optuna study of a campaign.")


def replay(name: NameArgument, root: RootOption = ROOT) -> None:
    """Repeat every proposal of a campaign from its journal, and check that it is the same."""
    from search.config import study_settings
    from search.study.replay import replay_study

    folder = CampaignFolder.find(root, name)
    result = replay_study(folder.journal, study_settings(folder.read_config()))
    console.out.print(f"{result.equal} of {result.proposals} proposals are equal to the last bit")
    if result.first_difference is not None:
        number, recorded, repeated = result.first_difference
        console.out.print(f"[bold red]trial {number} differs:[/] recorded {recorded}, repeated {repeated}")
        raise typer.Exit(1)


@study_app.command(
    "copy", cls=Command, epilog="Example:\n\npreset-search study copy btc-eth-30d --to sqlite:///studies.db"
)
def copy(
    name: NameArgument,
    to: Annotated[str, typer.Option("--to", help="URL of an Optuna storage, such as sqlite:///studies.db.")],
    root: RootOption = ROOT,
) -> None:
    """Copy the study of a campaign into another storage of Optuna, such as a database."""
    from search.study import study

    count = study.copy_study(CampaignFolder.find(root, name).journal, name, to)
    console.out.print(f"copied {count} trials")
