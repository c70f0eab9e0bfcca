"""`preset-search`: find the hyperparameters, and export them as a preset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from core import console
from core.cli.options import with_data_options
from core.config import check_name
from core.console import INTERRUPTED, SYNTHETIC_NOTICE, Row
from core.errors import ConfigError
from search.cli.confirm import confirm_and_show
from search.cli.options import (
    CampaignFile,
    ConfirmOption,
    DeviceOption,
    DryRunOption,
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
    SyntheticOption,
    TrialsOption,
)
from search.cluster.address import is_job_server
from search.config import resolve_config
from search.results.folder import ROOT, CampaignFolder
from search.storage.location import resolve_location
from search.study.trial_record import COMPLETE, FAILED

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


@with_data_options(synthetic=SyntheticOption)
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
    metric: MetricOption = None,
    incumbent: IncumbentOption = None,
    model: ModelOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    confirm: ConfirmOption = False,
    dry_run: DryRunOption = False,
    address: RayAddressOption = None,
    root: RootOption = ROOT,
) -> None:
    """Search for the best hyperparameters on the given bars.

    Without data it searches the embedded synthetic market. Bars are read from files, or from the
    store, to which what is missing is fetched from the exchange first.
    """
    from core.data.sources.fetch import fetch_missing

    if is_job_server(address):
        raise ConfigError(
            "`run` runs on this machine", f"For the cluster: preset-search launch campaign.yaml --address {address}"
        )
    from search.campaign.plan import check_folder_free, plan_campaign
    from search.campaign.run import run_campaign
    from search.cluster import session
    from search.engine.ray_engine import RayEngine

    flags: dict[str, Any] = {
        "name": name, "trials": trials, "hours": hours, "sampler": sampler, "policy": policy,
        "max_epochs": max_epochs, "metric": metric, "incumbent": incumbent,
        "model": model, "seed": seed, "device": device, "dry_run": dry_run or None, "confirm": {} if confirm else None,
    }  # fmt: skip
    config = resolve_config(campaign_file, source, {key: value for key, value in flags.items() if value is not None})
    check_folder_free(root / config.name)
    fetch_missing(config.data)
    with session.join_cluster(address) as nodes:
        plan = plan_campaign(config, root, nodes)
        _announce(plan)
        engine = RayEngine()
        outcome = run_campaign(plan, engine)
        _report(plan, outcome, root)
        if config.confirm is not None and outcome.winner is not None:
            confirm_and_show(config.name, root, {}, nodes=nodes if address is None else session.describe_nodes())


def resume(
    name: NameArgument,
    trials: MoreTrialsOption = None,
    hours: HoursOption = None,
    storage: LostStorageOption = None,
    address: RayAddressOption = None,
    root: RootOption = ROOT,
) -> None:
    """Go on with a campaign that was stopped, interrupted or killed; or extend one that has ended."""
    from search.campaign import backup
    from search.campaign.plan import plan_resume
    from search.campaign.run import resume_campaign
    from search.cluster import session
    from search.engine.ray_engine import RayEngine
    from search.storage.filesystem import Storage

    if storage is not None:
        folder = backup.restore(root, check_name(name, "campaign"), Storage(resolve_location(storage)).subfolder(name))
        console.err.print(f"restored {escape(str(folder.path))} from its storage")
    with session.join_cluster(address) as nodes:
        plan = plan_resume(name, root, trials, hours, nodes)
        _announce(plan)
        _report(plan, resume_campaign(plan, RayEngine()), root)


def stop(name: NameArgument, root: RootOption = ROOT) -> None:
    """Ask a running campaign to end: what was learned is kept, and `resume` goes on from there."""
    from search.study.journal import is_held

    folder = CampaignFolder.find(root, name)
    if not is_held(folder.journal):
        raise ConfigError(f"Campaign {name} is not running", f"To go on with it: preset-search resume {name}")
    folder.stop_request.touch()
    console.out.print(f"campaign {escape(name)} was asked to stop; its trials end with their present epoch")


def _announce(plan: Any) -> None:
    """Say what is about to run."""
    from core.data import summary

    config, dataset = plan.config, plan.dataset
    if dataset.is_synthetic:
        console.err.print(f"[bold yellow]{SYNTHETIC_NOTICE}[/]")
    for sentence in summary.advice(dataset):
        console.err.print(f"[bold yellow]advice:[/] {escape(sentence)}")
    console.err.print(
        f"campaign {config.name}{' (dry run)' if config.dry_run else ''}: {config.trials} trials of up to "
        f"{config.max_epochs} epochs, model {config.model}, on {', '.join(dataset.symbol_names)}, "
        f"{dataset.span[0]} to {dataset.span[1]}: {len(dataset.train)} train and {len(dataset.val)} val windows "
        f"({plan.data['rows']['test']} test windows stay unseen)"
    )


def _table(plan: Any, outcome: Any) -> Table:
    """Make the table that sets winner, incumbent and baselines side by side on val."""
    best, incumbent = outcome.winner, outcome.incumbent
    rows: list[Row] = []
    if best:
        values = {key.removeprefix("val_"): value for key, value in best.items() if key.startswith("val_")}
        rows.append((f"winner: trial #{best['number']}", values, [f"{best['best_epoch']} of {best['epochs']}"]))
    if incumbent.outcome == COMPLETE:
        best_epoch = incumbent.last.best_epoch
        name = f"incumbent: {plan.config.incumbent}"
        rows.append((name, incumbent.best_metrics, [f"{best_epoch} of {incumbent.last_epoch}"]))
    rows.extend((BASELINE_LABELS[name], scores, [""]) for name, scores in outcome.baselines.items())
    title = console.market_title("Validation window", plan.dataset.is_synthetic)
    return console.metrics_table(title, rows, ["best epoch"])


def _report(plan: Any, outcome: Any, root: Path) -> None:
    """Print the closing table, the paths and the next command."""
    from core.evaluation import metrics

    config, best, incumbent = plan.config, outcome.winner, outcome.incumbent
    console.out.print(_table(plan, outcome))
    counts = ", ".join(f"{count} {status}" for status, count in sorted(outcome.counts.items()))
    console.out.print(f"Trials: {counts}. {outcome.seconds:.0f} s. Ended by: {outcome.ended_by}.")
    if best:
        console.out.print(
            "The winner was chosen on these rows, as the best of many: its figures are optimistic. It is not confirmed."
        )
    if best and best["value"] <= metrics.ranking_score(outcome.baselines["majority"], config.metric):
        console.out.print("[bold]No skill found:[/] the winner is no better than always calling the majority class.")
    for path in outcome.files:
        console.out.print(f"wrote {escape(str(path))}")
    for difference in outcome.differences:
        console.out.print(f"[bold yellow]run again with another result:[/] {escape(difference)}")
    if incumbent.outcome == FAILED:
        console.out.print(f"The incumbent failed: {escape(incumbent.reason)}")
    if outcome.unfinished:
        console.out.print(f"{outcome.ended_by.capitalize()}. next: preset-search resume {config.name}{_where(root)}")
        raise typer.Exit(INTERRUPTED if outcome.ended_by == "interrupted" else 0)
    console.out.print(_next(config.name, root) if best else "No trial reached full fidelity: there is no winner.")


def _next(campaign: str, root: Path) -> str:
    """The commands that confirm and export a campaign's winner."""
    preset, where = CampaignFolder(root / campaign).default_preset_name, _where(root)
    return f"next: preset-search confirm {campaign}{where}\nthen: preset-search export {campaign} --as {preset}{where}"


def _where(root: Path) -> str:
    return "" if root == ROOT else f" --results {escape(str(root))}"
