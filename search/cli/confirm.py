"""`preset-search confirm` and `verify`: is the winner's skill real, and can it be had again?"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from core import console, presets
from core.cli.data_settings import bar_location, data_settings
from core.cli.options import ConfigOption, DataOption, ExchangeOption, OfflineOption, StoreOption, SymbolsOption
from core.config import merge_sources
from core.console import INTERRUPTED, Row
from search.cli.options import NameArgument, RayAddressOption, RootOption
from search.results import manifest
from search.results.folder import ROOT, VERDICT_FILE, CampaignFolder

if TYPE_CHECKING:
    from search.cluster.nodes import Node
    from search.results.verdict import Estimate, Verdict

CONFIRM_EPILOG = (
    "Examples:\n\npreset-search confirm btc-eth-30d\n\n"
    "preset-search confirm btc-eth-30d --top 1 --seeds 2 --folds 2 --incumbent quick_experiment"
)
VERIFY_EPILOG = (
    "Examples:\n\npreset-search verify btc_eth_30d --symbols BTCUSDT ETHUSDT --store data\n\n"
    "preset-search verify btc_eth_30d --config results/btc-eth-30d/campaign.yaml  # a feature table's, too"
)
OUTSIDE = 1
"""Exit code where a figure does not come out again, or was not measured on the bars of the record."""


def confirm(
    name: NameArgument,
    top: Annotated[
        int | None, typer.Option(help="Best trials to train again. Default: the campaign's, or 3.", min=1)
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Trainings of each on a fold. Default: the campaign's, or 3.", min=1)
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Blocks of time. Default: the campaign's, or 5.", min=1)] = None,
    incumbent: Annotated[str | None, typer.Option(help="Preset to beat. Default: the campaign's.")] = None,
    address: RayAddressOption = None,
    root: RootOption = ROOT,
) -> None:
    """Train the best trials and the incumbent again, on seeds and stretches of time that the search did not use.

    The best of them is read once on test; the verdict is written into the campaign's folder. What
    is done is kept: after an interruption the same command goes on.
    """
    from search.cluster import session  # Ray takes seconds to import

    folder = CampaignFolder.find(root, name)
    if (written := _closed(folder)) is not None:
        console.err.print("This campaign has its verdict; test is read once, so it stays as it is.")
        show_verdict(written)
        return
    with session.join_cluster(address) as nodes:
        confirm_and_show(name, root, {"top": top, "seeds": seeds, "folds": folds}, incumbent, nodes)


def _closed(folder: CampaignFolder) -> Verdict | None:
    """The verdict of a campaign that has one for good; None if one is to be made, or was not written to the end.

    The manifest is written last: once it lists the verdict, trainings that were left behind make no other.
    """
    listed = manifest.manifest_lists(folder, VERDICT_FILE)
    if not listed and (folder.cells.exists() or folder.read_verdict() is None):
        return None
    manifest.check_manifest(folder)
    shutil.rmtree(folder.cells, ignore_errors=True)
    return folder.read_verdict()


def confirm_and_show(
    name: str,
    root: Path,
    changes: dict[str, int | None],
    incumbent: str | None = None,
    nodes: tuple[Node, ...] = (),
) -> None:
    """Confirm a campaign and print what came of it."""
    from search.confirmation import run as confirmation
    from search.confirmation.plan import plan_confirmation
    from search.engine.ray_engine import RayEngine

    named = {key: value for key, value in changes.items() if value is not None}
    plan = plan_confirmation(name, root, named, incumbent, nodes)
    max_concurrent = plan.campaign.resources.max_concurrent
    console.err.print(
        f"confirmation of {name}: {len(plan.candidates) - 1} trial(s) and {plan.incumbent} x {plan.settings.seeds} "
        f"seeds x {plan.settings.folds} folds = {len(plan.cells)} trainings, {max_concurrent} at a time; "
        f"{plan.missing} to be trained, about {max(plan.seconds / max_concurrent / 60, 1):.0f} min"
    )
    try:
        verdict = confirmation.run_confirmation(plan, RayEngine())
    except KeyboardInterrupt:
        where = "" if root == ROOT else f" --results {root}"
        console.out.print(f"What was trained is kept. next: preset-search confirm {escape(name + where)}")
        raise typer.Exit(INTERRUPTED) from None
    show_verdict(verdict)
    folder = plan.campaign.folder
    for path in (folder.verdict, folder.confirmation_table, folder.manifest):
        console.out.print(f"wrote {escape(str(path))}")


def show_verdict(verdict: Verdict) -> None:
    """Print a verdict.

    Args:
        verdict: the verdict of a confirmation, fresh or read from its file.
    """
    synthetic = " of the SYNTHETIC market" if verdict.data["synthetic"] else ""
    metric = verdict.ranking_metric
    table = Table("", metric, "central 95 %", f"{metric} less the incumbent's", title=f"Out of fold{synthetic}")
    for candidate in verdict.candidates:
        mark = " (winner)" if candidate.trial == verdict.winner.trial else ""
        lead = " ".join(_format_estimate(candidate.lead))
        table.add_row(f"trial #{candidate.trial}{mark}", *_format_estimate(candidate.out_of_fold[metric]), lead)
    incumbent = verdict.incumbent
    table.add_row(f"incumbent: {incumbent.preset}", *_format_estimate(incumbent.out_of_fold[metric]))
    console.out.print(table)
    if verdict.test:
        rows: list[Row] = [("winner, trained once more", verdict.test.metrics, [])]
        rows += [(name, metrics, []) for name, metrics in verdict.test.baselines.items()]
        console.out.print(console.metrics_table(f"The one reading of test{synthetic}", rows, []))
    gates = Table("gate", "found", "bound", "")
    for gate in verdict.gates:
        gates.add_row(escape(gate.name), _format_value(gate.value), gate.bound, gate.verdict)
    console.out.print(gates)
    for line in _conclusion(verdict):
        console.out.print(line)


def _format_value(value: float | bool | None) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _format_estimate(estimate: Estimate) -> tuple[str, str]:
    """Return a figure and its interval as texts; the interval is empty where there is none."""
    interval = "" if estimate.low is None else f"[{estimate.low:.4f}, {estimate.high:.4f}]"
    return _format_value(estimate.value), escape(interval)


def _conclusion(verdict: Verdict) -> list[str]:
    """Return the lines below the tables: what may be claimed of the winner, and what limits the claim."""
    lines = [f"[bold]{verdict.status.capitalize()}.[/] Recommended: {verdict.recommended}."]
    if verdict.status != "certified":
        reasons = "; ".join(verdict.failed_gates) or verdict.reason or "a dry run"
        lines += [f"Not certified because of: {escape(reasons)}."]
    if tradable := verdict.tradable:
        ratio = "not defined" if tradable.deflated_sharpe is None else f"{tradable.deflated_sharpe:.3f}"
        lines += [
            f"Tradable net of costs: {tradable.verdict} (Deflated Sharpe Ratio {ratio}, {tradable.bound} needed)."
        ]
    if overfitting := verdict.overfitting:
        probability = overfitting.probability
        text = probability if isinstance(probability, str) else f"{probability:.2f}"
        lines += [f"Probability of overfitting: {text}."]
    for entry in verdict.earlier_entries:
        lines += [f"{escape(entry.campaign)} had read some of this test span before, as its {' and '.join(entry.saw)}."]
    return lines


def verify(
    name: Annotated[str, typer.Argument(metavar="PRESET", help="A confirmed preset: its name, or its file's path.")],
    data: DataOption = None,
    symbols: SymbolsOption = None,
    store: StoreOption = None,
    exchange: ExchangeOption = None,
    offline: OfflineOption = False,
    config_file: ConfigOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a confirmed preset again with its final seed, and say whether its figures of test come out again.

    Without data, a preset of the synthetic market makes its own; others need the bars that it was confirmed on: on
    others, nothing is verified. The figures out of fold, of other trainings, are not made again.
    """
    from search.confirmation.verify import verify_preset as verifying

    named = data_settings(data=data, symbols=symbols, store=store, exchange=exchange, offline=offline)
    source = merge_sources(bar_location(config_file) if config_file else {}, named)
    loaded = presets.load_preset(name)
    found = verifying(loaded, source, device, os.cpu_count() or 1)
    table = Table("", "recorded", "central 95 %", "now", "")
    inside = [found.is_inside(figure, value) for _, figure, value in found.figures]
    for (metric, figure, value), fits in zip(found.figures, inside, strict=True):
        ends = "" if figure.low is None else f"[{figure.low:.4f}, {figure.high:.4f}]"
        told = ("inside" if fits else "outside") if found.same_data else "other bars"
        recorded = "not defined" if figure.value is None else f"{figure.value:.4f}"
        table.add_row(metric, recorded, escape(ends), f"{value:.4f}", told)
    console.out.print(table)
    if not found.same_data:
        console.err.print(
            "[bold red]These are not the bars that it was confirmed on: nothing was verified.[/] Name those bars."
        )
        raise typer.Exit(OUTSIDE)
    assert loaded.provenance is not None
    assert loaded.provenance.confirmation is not None
    seed = loaded.provenance.confirmation.final_seed
    console.out.print(f"Verified was the final training (seed {seed}), not the figures out of fold.")
    if not all(inside):
        raise typer.Exit(OUTSIDE)
