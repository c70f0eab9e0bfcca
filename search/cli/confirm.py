"""`preset-search confirm` and `verify`: whether the winner's skill is real, and whether it can be reproduced."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from core import console, presets
from core.cli.data_settings import bar_location
from core.cli.options import ConfigOption, DeviceOption, with_data_options
from core.config import SOURCES, DataConfig, merge_sources, parse, refuse_without_effect
from core.console import INTERRUPTED, Row
from search.cli.options import NameArgument, RayAddressOption, RootOption, results_flag
from search.cli.report import write_report_beside
from search.results import judged, manifest
from search.results.folder import LEDGER_FILE, ROOT, VERDICT_FILE, CampaignFolder

if TYPE_CHECKING:
    from search.cluster.nodes import Node
    from search.results.race_records import Neighbourhood
    from search.results.verdict import Estimate, Verdict

CONFIRM_EPILOG = (
    "Examples:\n\npreset-search confirm btc-eth-30d\n\n"
    "preset-search confirm btc-eth-30d --top 1 --seeds 2 --folds 2 --incumbent quick_experiment"
)
JUDGE_EPILOG = (
    "Examples:\n\npreset-search judge btc-eth-30d\n\n"
    "preset-search judge btc-eth-30d --data BTCUSDT_5m.parquet ETHUSDT_5m.parquet"
)
VERIFY_EPILOG = (
    "Examples:\n\npreset-search verify btc_eth_30d --symbols BTCUSDT ETHUSDT --store data\n\n"
    "preset-search verify btc_eth_30d --config results/btc-eth-30d/campaign.yaml  # also for a feature table"
)
OUTSIDE = 1
"""Exit code where a figure is not reproduced, or was not measured on the recorded bars."""


def confirm(
    name: NameArgument,
    top: Annotated[
        int | None, typer.Option(help="Number of best trials to train again. Default: the campaign's, or 8.", min=1)
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Most trainings of each on a fold. Default: the campaign's, or 3.", min=1)
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="Number of blocks of time. Default: the campaign's, or 5.", min=1)
    ] = None,
    trainings: Annotated[
        int | None, typer.Option(help="Most trainings in all. Default: the campaign's, or 61.", min=1)
    ] = None,
    neighbours: Annotated[
        bool | None,
        typer.Option(
            "--neighbours/--no-neighbours",
            help="Train neighbours of the winner, too. Default: the campaign's, or yes; with one trial, no.",
        ),
    ] = None,
    incumbent: Annotated[str | None, typer.Option(help="Preset to beat. Default: the campaign's.")] = None,
    address: RayAddressOption = None,
    root: RootOption = ROOT,
) -> None:
    """Train the best trials and the incumbent again, with seeds and on blocks of time that the search did not use.

    Trials that turn out to be behind the best are dropped on the way; what they would have taken, others get. The best
    is then evaluated once on the test rows, and the verdict is written into the campaign's folder.
    Finished trainings are kept: after an interruption, the same command continues.
    """
    from search.cluster import session  # Ray takes seconds to import

    folder = CampaignFolder.find(root, name)
    if (verdict := _final_verdict(folder)) is not None:
        console.err.print("This campaign has its verdict, which is final: the test rows are read only once.")
        show_verdict(verdict)
        return
    with session.join_cluster(address) as nodes:
        changes = {"top": top, "seeds": seeds, "folds": folds, "trainings": trainings, "neighbours": neighbours}
        confirm_and_show(name, root, changes, incumbent, nodes)


def _final_verdict(folder: CampaignFolder) -> Verdict | None:
    """Return the final verdict of a campaign; None if it has none yet, or if writing it was interrupted.

    The manifest is written last: once it lists the verdict, trainings that were left behind cannot change it.
    """
    is_final = manifest.manifest_lists(folder, VERDICT_FILE)
    if not is_final and (folder.cells.exists() or folder.read_verdict() is None):
        return None
    manifest.check_manifest(folder)
    shutil.rmtree(folder.cells, ignore_errors=True)
    return judged.read_judged_verdict(folder)


def confirm_and_show(
    name: str,
    root: Path,
    changes: dict[str, int | bool | None],
    incumbent: str | None = None,
    nodes: tuple[Node, ...] = (),
) -> None:
    """Confirm the winner of a campaign, and print the verdict.

    Args:
        name: name of the campaign.
        root: folder of all campaigns.
        changes: settings that override the campaign's own, see `search.config.ConfirmConfig`; None where not given.
        incumbent: preset to beat; None for the campaign's own.
        nodes: the machines that train.

    Raises:
        Exit: the confirmation was interrupted.
    """
    from search.confirmation import run as confirmation
    from search.confirmation.notices import short_test_notice
    from search.confirmation.plan import plan_confirmation
    from search.engine.ray_engine import RayEngine

    given = {key: value for key, value in changes.items() if value is not None}
    plan = plan_confirmation(name, root, given, incumbent, nodes)
    if (notice := short_test_notice(plan.dataset)) and not plan.campaign.config.dry_run:
        console.err.print(escape(notice))
    max_concurrent = plan.campaign.resources.max_concurrent
    console.err.print(
        f"confirmation of {name}: {len(plan.candidates) - 1} trial(s) and {plan.incumbent} on {plan.settings.folds} "
        f"folds with up to {plan.settings.seeds} seeds, at most {plan.most} trainings in all, {max_concurrent} at a "
        f"time; {plan.missing} of the race to be trained, about {max(plan.seconds / max_concurrent / 60, 1):.0f} min"
    )
    try:
        verdict = confirmation.run_confirmation(plan, RayEngine())
    except KeyboardInterrupt:
        console.out.print(
            f"Finished trainings are kept. next: preset-search confirm {escape(name + results_flag(root))}"
        )
        raise typer.Exit(INTERRUPTED) from None
    show_verdict(verdict)
    folder = plan.campaign.folder
    for path in (folder.verdict, folder.confirmation_table, folder.manifest):
        console.out.print(f"wrote {escape(str(path))}")
    write_report_beside(folder)


def show_verdict(verdict: Verdict) -> None:
    """Print a verdict: figures out of fold and on test, gates, and the conclusion.

    Args:
        verdict: the verdict of a confirmation.
    """
    is_synthetic = verdict.data.synthetic
    metric = verdict.ranking_metric
    title = console.market_title("Out-of-fold rows", is_synthetic)
    table = Table("", metric, "central 95 %", f"{metric} minus incumbent", title=title)
    for candidate in verdict.candidates:
        mark = " (winner)" if candidate.trial == verdict.winner.trial else ""
        lead = " ".join(_format_estimate(candidate.lead))
        table.add_row(f"trial #{candidate.trial}{mark}", *_format_estimate(candidate.out_of_fold[metric]), lead)
    incumbent = verdict.incumbent
    table.add_row(f"incumbent: {incumbent.preset}", *_format_estimate(incumbent.out_of_fold[metric]))
    for dropped in verdict.race.dropped if verdict.race else ():
        table.add_row(f"trial #{dropped.trial}", "", f"dropped after {dropped.cells} trainings", dropped.reason)
    console.out.print(table)
    if verdict.test:
        rows: list[Row] = [("winner, trained once more", verdict.test.metrics, [])]
        rows += [(name, metrics, []) for name, metrics in verdict.test.baselines.items()]
        console.out.print(console.metrics_table(console.market_title("Test window", is_synthetic), rows, []))
    gates = Table("gate", "value", "bound", "verdict")
    for gate in verdict.gates:
        gates.add_row(escape(gate.name), _format_value(gate.value), gate.bound, gate.verdict)
    console.out.print(gates)
    for line in _conclusion(verdict):
        console.out.print(line)


def _format_value(value: float | bool | None) -> str:
    """Return a figure or the answer of a gate as text."""
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _format_estimate(estimate: Estimate) -> tuple[str, str]:
    """Return a figure and its interval as texts; the interval is empty where there is none."""
    return _format_value(estimate.value), escape(console.format_interval(estimate.low, estimate.high))


def _conclusion(verdict: Verdict) -> list[str]:
    """Return the lines below the tables: what may be claimed of the winner, and what limits the claim."""
    lines = [f"[bold]{verdict.status.capitalize()}.[/] Recommended: {verdict.recommended}."]
    if by_fold := ", ".join(_format_value(lead) for lead in verdict.lead.by_fold):
        lines += [f"Winner minus incumbent by fold, the earliest first: {by_fold}."]
    if verdict.neighbours:
        lines += [_describe_neighbours(verdict.neighbours, verdict.ranking_metric)]
    reasons = "; ".join(verdict.failed_gates) or verdict.reason or "a dry run"
    if verdict.status == "not certified":
        lines += [f"Not certified because of: {escape(reasons)}."]
    if verdict.schema_version == 1:
        lines += [f"Make the verdict anew by the present rules: preset-search judge {escape(verdict.campaign)}"]
    if verdict.status == "too short to tell":
        lines += [
            f"Too few independent stretches of time for: {escape(reasons)}. Search and confirm with more days of data."
        ]
    if tradable := verdict.tradable:
        sharpe = tradable.probabilistic_sharpe
        ratio = "not defined" if sharpe is None else f"{sharpe:.3f}"
        lines += [
            f"Tradable on test, net of costs: {tradable.verdict} (Probabilistic Sharpe Ratio {ratio}, "
            f"{tradable.bound} needed)."
        ]
    if overfitting := verdict.overfitting:
        probability = overfitting.probability
        text = probability if isinstance(probability, str) else f"{probability:.2f}"
        lines += [f"Probability of overfitting: {text}."]
    for entry in verdict.earlier_entries:
        lines += [f"{escape(entry.campaign)} had read some of this test span before, as its {' and '.join(entry.saw)}."]
    return lines


def _describe_neighbours(found: Neighbourhood, metric: str) -> str:
    """Return the line on the neighbours of the winner."""
    meaning = {
        "plateau": "plateau (no drop to be seen)",
        "spike": "spike (the neighbours are worse)",
        None: "too few trainings to tell",
    }[found.word]
    interval = escape(console.format_interval(found.low, found.high))
    return (
        f"Neighbours of the winner: {meaning}. Mean drop in {metric} {_format_value(found.drop)} {interval}, of "
        f"{len(found.neighbours)} neighbours on {found.cells} cell(s)."
    )


@with_data_options("data", "symbols", "store", "exchange", "offline")
def verify(
    name: Annotated[
        str, typer.Argument(metavar="PRESET", help="Name of a confirmed preset, or path to its .yaml file.")
    ],
    *,
    source: dict[str, Any],
    config_file: ConfigOption = None,
    device: DeviceOption = "auto",
    root: RootOption = ROOT,
) -> None:
    """Train a confirmed preset again with its recorded seed, and check that its figures on test are reproduced.

    A preset of the synthetic market needs no data. All others need the bars that they were confirmed on; with other
    bars, nothing is verified. The out-of-fold figures, which come from other trainings, are not reproduced. The ledger
    in the folder of all campaigns records that the test rows were read.
    """
    from search.confirmation.recorded_data import OtherBarsError
    from search.confirmation.verify import verify_preset

    if any(name in source for name in SOURCES):
        refuse_without_effect(parse(DataConfig, source, "command line"), source)
    source = merge_sources(bar_location(config_file) if config_file else {}, source)
    preset = presets.load_preset(name)
    try:
        verification = verify_preset(preset, source, device, os.cpu_count() or 1, root / LEDGER_FILE)
    except OtherBarsError as error:
        console.err.print(f"[bold red]{escape(str(error))}[/]")
        raise typer.Exit(OUTSIDE) from None
    table = Table("", "recorded", "central 95 %", "now", "")
    inside = [verification.is_inside(figure, value) for _, figure, value in verification.figures]
    for (metric, figure, value), is_inside in zip(verification.figures, inside, strict=True):
        interval = console.format_interval(figure.low, figure.high)
        verdict = "inside" if is_inside else "outside"
        recorded = "not defined" if figure.value is None else f"{figure.value:.4f}"
        table.add_row(metric, recorded, escape(interval), f"{value:.4f}", verdict)
    console.out.print(table)
    assert preset.provenance is not None
    assert preset.provenance.confirmation is not None
    seed = preset.provenance.confirmation.final_seed
    console.out.print(f"Only the final training (seed {seed}) was verified, not the out-of-fold figures.")
    if not all(inside):
        raise typer.Exit(OUTSIDE)


@with_data_options("data", "symbols", "store", "exchange", "offline")
def judge(name: NameArgument, *, source: dict[str, Any], root: RootOption = ROOT) -> None:
    """Judge a confirmed campaign anew from its recorded predictions, by the present rules; nothing is trained.

    An early version judged by intervals that were too narrow. Its verdict is kept as verdict-schema-1.json beside the
    new one. The bars are needed for the baselines; without options they are read from where the campaign's file says.
    Presets of the campaign keep their old figures until they are written again, with regenerate.
    """
    from search.confirmation.judge import is_judged, judge_campaign

    folder = CampaignFolder.find(root, name)
    if is_judged(folder):
        console.err.print("This campaign was judged by the present rules already: nothing is written.")
        show_verdict(judge_campaign(folder, source))
        return
    show_verdict(judge_campaign(folder, merge_sources(bar_location(folder.config_file), source)))
    console.out.print(f"wrote {escape(str(folder.verdict))}")
    console.out.print(f"next: preset-search regenerate {escape(name + results_flag(root))}")
