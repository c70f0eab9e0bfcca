"""Options that several commands of `preset-search` share."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from search.cluster.address import enable_ray_token
from search.results.folder import ROOT

RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Ray cluster to join: auto, or HOST:PORT of its head. http(s)://… is the job server of a cluster, which "
        "then runs this command; instead of `run`, use `launch`. Default: this machine alone.",
        callback=enable_ray_token,
    ),
]
CampaignFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="[CAMPAIGN.yaml]", help="YAML file with the settings of the campaign; options override them."
    ),
]
NameArgument = Annotated[str, typer.Argument(help="Name of the campaign.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Name of the campaign and of its folder.")]
RootOption = Annotated[Path, typer.Option("--results", help="Folder of all campaigns.")]
SyntheticOverride = Annotated[
    bool, typer.Option("--synthetic", help="Use the embedded synthetic market, the default if no data are named.")
]
WindowOverride = Annotated[
    int | None, typer.Option("--window", help="Number of bars that one prediction sees. Default: 16.")
]
TrialsOption = Annotated[int | None, typer.Option("--trials", help="Number of trials. Default: 16.")]
MoreTrialsOption = Annotated[
    int | None, typer.Option("--trials", help="New total number of trials, to extend the campaign.", min=1)
]
HoursOption = Annotated[float | None, typer.Option("--hours", help="Start no more trials after this many hours.")]
SamplerOption = Annotated[str | None, typer.Option("--sampler", help="Sampler: tpe, random or gp. Default: tpe.")]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="What the sampler learns of stopped trials: complete, pruned or full_only. Default: complete.",
    ),
]
MaxEpochsOption = Annotated[
    int | None, typer.Option("--max-epochs", help="Number of epochs of a trial that is not stopped. Default: 18.")
]
EpochWindowsOption = Annotated[
    int | None,
    typer.Option("--epoch-windows", help="Most windows that an epoch of a trial reads. Default: 16384.", min=1),
]
MetricOption = Annotated[
    str | None, typer.Option("--metric", help="Validation metric that ranks trials. Default: auc.")
]
IncumbentOption = Annotated[str | None, typer.Option("--incumbent", help="Preset to beat. Default: production_small.")]
TrainIncumbentOption = Annotated[
    bool, typer.Option("--train-incumbent", help="Train the incumbent in the search, too; confirm does so in any case.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Model size: quick, small or large. Default: quick; small on a GPU.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed of the sampler and of all trainings. Default: 0.")]
DeviceOverride = Annotated[
    str | None, typer.Option("--device", help="Device to train on: auto, cpu or cuda. Default: auto.")
]
ConfirmOption = Annotated[bool, typer.Option("--confirm", help="Confirm the best trials when the search has ended.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Run a small version of the campaign: 4 trials, 3 epochs, few bars.")
]
LostStorageOption = Annotated[
    str | None,
    typer.Option("--storage", help="Storage to restore the campaign from first, if its machine was lost."),
]


def results_flag(root: Path) -> str:
    """Return the option that names the same folder of campaigns in a proposed command; empty for the default folder.

    Args:
        root: folder of all campaigns.
    """
    return "" if root == ROOT else f" --results {shlex.quote(str(root))}"
