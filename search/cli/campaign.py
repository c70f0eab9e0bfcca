"""`preset-search run`, `resume` and `stop`: search for the best hyperparameters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape
from rich.table import Table

from core import console
from core.cli.options import with_data_options
from core.config import check_name
from core.console import INTERRUPTED, Row
from core.errors import ConfigError
from search.cli.confirm import confirm_and_show
from search.cli.options import (
    CampaignFile,
    ConfirmOption,
    DeviceOverride,
    DryRunOption,
    EpochWindowsOption,
    HoursOption,
    IncumbentOption,
    LostStorageOption,
    MaxEpochsOption,
    MetricOption,
    ModelOption,
    MoreTrialsOption,
    NameArgument,
    NameOption,
    PolicyOption,
    RayAddressOption,
    RootOption,
    SamplerOption,
    SeedOption,
    SyntheticOverride,
    TrainIncumbentOption,
    TrialsOption,
    WindowOverride,
    results_flag,
)
from search.cluster.address import is_job_server
from search.config import resolve_config
from search.results.folder import ROOT, CampaignFolder
from search.storage.location import resolve_location
from search.study.trial_record import COMPLETE, FAILED

if TYPE_CHECKING:
    from search.campaign.plan import CampaignPlan
    from search.campaign.summary import CampaignSummary
    from search.engine.protocol import Engine

RUN_EPILOG = (
    "Examples:\n\n"
    "preset-search run --name try-it\n\n"
    "preset-search run --data data/binance_BTCUSDT_5m.parquet data/binance_ETHUSDT_5m.parquet --days 30 "
    "--trials 16 --name btc-eth-30d\n\n"
    "preset-search run --symbols BTCUSDT ETHUSDT --store data --interval 5m --days 30 --name btc-eth-30d\n\n"
    "preset-search run campaign.yaml --trials 64\n\n"
    "preset-search run campaign.yaml --address auto  # on a machine of a Ray cluster"
)
RESUME_EPILOG = (
    "Examples:\n\npreset-search resume btc-eth-30d\n\npreset-search resume btc-eth-30d --trials 64 --hours 8\n\n"
    "preset-search resume btc-eth-30d --storage s3://bucket/campaigns  # on another machine"
)
STOP_EPILOG = "Example:\n\npreset-search stop btc-eth-30d"
BASELINE_LABELS = {"majority": "majority class", "bayes": "best possible: recipe known"}


@with_data_options(synthetic=SyntheticOverride, window=WindowOverride)
def run(
    campaign_file: CampaignFile = None,
    name: NameOption = None,
    *,
    source: dict[str, Any],
    trials: TrialsOption = None,
    hours: HoursOption = None,
    sampler: SamplerOption = None,
    policy: PolicyOption = None,
    max_epochs: MaxEpochsOption = None,
    epoch_windows: EpochWindowsOption = None,
    metric: MetricOption = None,
    incumbent: IncumbentOption = None,
    train_incumbent: TrainIncumbentOption = False,
    model: ModelOption = None,
    seed: SeedOption = None,
    device: DeviceOverride = None,
    confirm: ConfirmOption = False,
    dry_run: DryRunOption = False,
    address: RayAddressOption = None,
    root: RootOption = ROOT,
) -> None:
    """Search for the best hyperparameters on market data.

    Bars are read from files (--data), or from the store (--symbols), into which missing bars are fetched from the
    exchange first. Without either, the search runs on the embedded synthetic market.
    """
    from core.data.sources.fetch import fetch_missing

    if is_job_server(address):
        raise ConfigError(
            "`run` does not send campaigns to a job server",
            f"Use preset-search launch campaign.yaml --address {address}",
        )
    from search.campaign.plan import check_folder_free, plan_campaign
    from search.campaign.run import run_campaign
    from search.cluster import session

    flags: dict[str, Any] = {
        "name": name, "trials": trials, "hours": hours, "sampler": sampler, "policy": policy,
        "max_epochs": max_epochs, "epoch_windows": epoch_windows, "metric": metric, "incumbent": incumbent,
        "train_incumbent": train_incumbent or None,
        "model": model, "seed": seed, "device": device, "dry_run": dry_run or None, "confirm": {} if confirm else None,
    }  # fmt: skip
    config = resolve_config(campaign_file, source, {key: value for key, value in flags.items() if value is not None})
    check_folder_free(root / config.name)
    fetch_missing(config.data)
    with session.join_cluster(address) as nodes:
        _search_and_confirm(plan_campaign(config, root, nodes), run_campaign, root, address)


def resume(
    name: NameArgument,
    trials: MoreTrialsOption = None,
    hours: HoursOption = None,
    storage: LostStorageOption = None,
    address: RayAddressOption = None,
    root: RootOption = ROOT,
) -> None:
    """Continue a campaign that was stopped, interrupted or killed, or extend one that has ended.

    If its file has `confirm:`, the winner is confirmed when the search has ended.
    """
    from search.campaign import backup
    from search.campaign.plan import plan_resume
    from search.campaign.run import resume_campaign
    from search.cluster import session
    from search.storage.filesystem import Storage

    if storage is not None:
        folder = backup.restore(root, check_name(name, "campaign"), Storage(resolve_location(storage)).subfolder(name))
        console.err.print(f"restored {escape(str(folder.path))} from its storage")
    with session.join_cluster(address) as nodes:
        _search_and_confirm(plan_resume(name, root, trials, hours, nodes), resume_campaign, root, address)


def _search_and_confirm(
    plan: CampaignPlan,
    search: Callable[[CampaignPlan, Engine], CampaignSummary],
    root: Path,
    address: str | None,
) -> None:
    """Search, print the results, and confirm the winner if the campaign's file asks for that.

    Args:
        plan: the planned campaign.
        search: `run_campaign` or `resume_campaign`.
        root: folder of all campaigns.
        address: the cluster that this process has joined; None for this machine.
    """
    from search.cluster import session
    from search.engine.ray_engine import RayEngine

    _announce(plan)
    result = search(plan, RayEngine())
    _report(plan, result, root)
    if plan.config.confirm is not None and result.winner is not None:
        # Nodes may have come and gone during the search.
        confirm_and_show(plan.config.name, root, {}, nodes=() if address is None else session.describe_nodes())


def stop(name: NameArgument, root: RootOption = ROOT) -> None:
    """Ask a running campaign to end; all results are kept, and `resume` continues it."""
    from search.study.journal.file import is_held

    folder = CampaignFolder.find(root, name)
    if not is_held(folder.journal):
        raise ConfigError(
            f"Campaign {name} is not running", f"See how it ended with preset-search status {name}{results_flag(root)}"
        )
    folder.stop_request.touch()
    console.out.print(f"campaign {escape(name)} was asked to stop; its trials end after their current epoch")


def _announce(plan: CampaignPlan) -> None:
    """Print what is about to run, with all that is doubtful about its data."""
    from core.data import summary
    from search.campaign.estimate import describe_estimate
    from search.confirmation.notices import short_test_notice

    config, dataset = plan.config, plan.dataset
    short = None if config.dry_run else short_test_notice(dataset)
    notices = [*summary.advice(dataset), *plan.notices, *([short] if short else [])]
    console.print_data_notices(dataset.is_synthetic, notices)
    epochs = f"{config.max_epochs} epochs"
    length = epochs if config.cells is None else f"{config.steps} cells of {epochs}"
    console.err.print(
        f"campaign {config.name}{' (dry run)' if config.dry_run else ''}: {config.trials} trials of up to "
        f"{length}, model {config.model}, on {', '.join(dataset.symbol_names)}, "
        f"{dataset.span[0]} to {dataset.span[1]}: {len(dataset.train)} train and {len(dataset.val)} val windows "
        f"({plan.data['rows']['test']} test windows are held out)"
    )
    estimate = describe_estimate(plan)
    if estimate is not None and not plan.folder.journal.exists():
        console.err.print(estimate)


def _results_table(plan: CampaignPlan, result: CampaignSummary) -> Table:
    """Return a table that compares winner, incumbent and baselines on the rows that trials are ranked on."""
    best, incumbent = result.winner, result.incumbent
    rows: list[Row] = []
    if best:
        rows.append((f"winner: trial #{best.number}", best.metrics, [f"{best.best_epoch} of {best.epochs}"]))
    if incumbent is not None and incumbent.outcome == COMPLETE:
        best_epoch = incumbent.last.best_epoch
        name = f"incumbent: {plan.config.incumbent}"
        rows.append((name, incumbent.best_metrics, [f"{best_epoch} of {incumbent.last_epoch}"]))
    rows.extend((BASELINE_LABELS[name], metrics, [""]) for name, metrics in result.baselines.items())
    what, last = ("Validation window", "epoch") if plan.config.cells is None else ("Mean over cells", "cells")
    return console.metrics_table(console.market_title(what, plan.dataset.is_synthetic), rows, [last])


def _report(plan: CampaignPlan, result: CampaignSummary, root: Path) -> None:
    """Print the results, the files that were written, and the next commands.

    Raises:
        Exit: the campaign is not finished; exit code 130 if it was interrupted.
    """
    from core.evaluation import metrics

    config, best, incumbent = plan.config, result.winner, result.incumbent
    console.out.print(_results_table(plan, result))
    counts = ", ".join(f"{count} {status}" for status, count in sorted(result.counts.items()))
    console.out.print(f"Trials: {counts}. {result.seconds:.0f} s. Ended by: {result.ended_by}.")
    if best:
        console.out.print(
            "The winner was chosen on these rows, as the best of many: its figures are optimistic. It is not confirmed."
        )
    if best and best.value <= metrics.ranking_score(result.baselines["majority"], config.metric):
        console.out.print("[bold]No skill found:[/] the winner is not better than always calling the majority class.")
    for path in result.files:
        console.out.print(f"wrote {escape(str(path))}")
    for difference in result.differences:
        console.out.print(f"[bold yellow]run again with other figures:[/] {escape(difference)}")
    if incumbent is not None and incumbent.outcome == FAILED:
        console.out.print(f"The incumbent failed: {escape(incumbent.reason)}")
    flag = escape(results_flag(root))
    if result.unfinished:
        console.out.print(f"{result.ended_by.capitalize()}. next: preset-search resume {config.name}{flag}")
        raise typer.Exit(INTERRUPTED if result.ended_by == "interrupted" else 0)
    if best is None:
        console.out.print("No trial reached full fidelity, so there is no winner.")
        return
    preset = CampaignFolder(root / config.name).default_preset_name
    console.out.print(f"next: preset-search confirm {config.name}{flag}")
    console.out.print(f"then: preset-search export {config.name} --as {preset}{flag}")
