"""What the commands of `preset-search` ask in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cluster.address import enable_ray_token

RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Ray cluster to join: auto, or HOST:PORT of its head; http(s)://… is a cluster's job server, which then "
        "runs this command (for `run`: launch). Default: this machine alone.",
        callback=enable_ray_token,
    ),
]


CampaignFile = Annotated[
    Path | None, typer.Argument(metavar="[CAMPAIGN.yaml]", help="Settings of the campaign; flags override them.")
]
NameArgument = Annotated[str, typer.Argument(help="Name of the campaign.")]
NameOption = Annotated[str | None, typer.Option("--name", help="Name of the campaign and of its folder.")]
RootOption = Annotated[Path, typer.Option("--results", help="Folder of all campaigns.")]
SyntheticOption = Annotated[
    bool, typer.Option("--synthetic", help="Use the embedded synthetic market: the default when no data are named.")
]
TrialsOption = Annotated[int | None, typer.Option("--trials", help="Trials to run. Default: 16.")]
MoreTrialsOption = Annotated[
    int | None, typer.Option("--trials", help="Trials in all, if more are wanted than before.", min=1)
]
HoursOption = Annotated[float | None, typer.Option("--hours", help="Ask for no more trials after so many hours.")]
SamplerOption = Annotated[str | None, typer.Option("--sampler", help="tpe, random or gp. Default: tpe.")]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy", help="What the sampler learns of stopped trials: complete, pruned, full_only. Default: complete."
    ),
]
MaxEpochsOption = Annotated[
    int | None, typer.Option("--max-epochs", help="Epochs of a trial at full fidelity. Default: 18.")
]
MetricOption = Annotated[str | None, typer.Option("--metric", help="Ranking metric. Default: macro_f1.")]
IncumbentOption = Annotated[str | None, typer.Option("--incumbent", help="Preset to beat. Default: production_small.")]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="quick, small or large. Default: quick; small on a GPU.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed of sampler and trainings. Default: 0.")]
DeviceOption = Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")]
ConfirmOption = Annotated[bool, typer.Option("--confirm", help="Confirm the best trials when the search has ended.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="A small version of the same: 4 trials, 3 epochs, few bars.")
]
LostStorageOption = Annotated[
    str | None,
    typer.Option("--storage", help="Bring the campaign's files from its storage first: its machine was lost."),
]
