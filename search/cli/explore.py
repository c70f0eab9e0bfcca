"""`preset-search campaigns`, `trials` and `compare`: look at what campaigns have found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from core import console
from core.console import Command
from core.errors import ConfigError, one_line
from search.campaign.short_params import NOT_SEARCHED, SHORT_PARAMS
from search.cli.options import NameArgument, RootOption
from search.results.folder import CONFIG_FILE, ROOT, CampaignFolder

if TYPE_CHECKING:
    import pandas as pd

    from search.results.trial_list import TrialView
    from search.study.conditions import Condition
    from search.study.trial_record import TrialRecord

CAMPAIGNS_EPILOG = "Examples:\n\npreset-search campaigns\n\npreset-search campaigns --json | jq '.[].best'"
COMPARE_EPILOG = "Example:\n\npreset-search compare btc-eth-30d btc-eth-60d"
LIST_EPILOG = (
    "Examples:\n\npreset-search trials list btc-eth-30d --top 10\n\n"
    "preset-search trials list btc-eth-30d --sort val_direction_auc --min 0.55\n\n"
    "preset-search trials list btc-eth-30d --stopped-at 2 --csv stopped.csv"
)
SHOW_EPILOG = "Example:\n\npreset-search trials show btc-eth-30d 7"
HEADINGS = {
    "number": "#",
    "value": "value",
    "status": "status",
    "epochs": "epochs",
    **{name: short for name, (short, _) in SHORT_PARAMS.items()},
    "val_auc": "AUC",
    "val_direction_auc": "dir. AUC",
    "val_macro_f1": "macro-F1",
}
"""Headings of the columns that a list of trials shows, by the name of the column in trials.parquet."""

trials_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="List and show the trials of a campaign.")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def campaigns(as_json: JsonOption = False, root: RootOption = ROOT) -> None:
    """List all campaigns with their state, one line each."""
    from search.campaign.status import read_campaign_status

    rows: list[dict[str, Any]] = []
    for path in sorted(root.glob(f"*/{CONFIG_FILE}")):
        name = path.parent.name
        try:
            rows.append(asdict(read_campaign_status(root, name)))
        except ConfigError as error:
            rows.append({"name": name, "phase": "damaged", "error": one_line(error)})
    if as_json:
        console.print_json(rows)
        return
    table = Table("name", "state", "trials", "epochs", "hours", "best")
    for row in rows:
        if "error" in row:
            table.add_row(console.plain(row["name"]), "[bold red]damaged[/]", "", "", "", console.plain(row["error"]))
            continue
        best = "" if row["best"] is None else f"{row['metric']} {row['best'][0]:.4f} (#{row['best'][1]})"
        ended = f"{row['requested'] - row['remaining']} of {row['requested']}"
        cells = row["name"], row["phase"], ended, row["epochs"], f"{row['hours']:.2f}", best
        table.add_row(*map(console.plain, cells))
    console.out.print(table if rows else console.plain(f"There is no campaign in {root}"))


@trials_app.command("list", cls=Command, epilog=LIST_EPILOG)
def list_trials(
    name: NameArgument,
    top: Annotated[int | None, typer.Option("--top", help="List the first N only.", min=1)] = None,
    sort: Annotated[str, typer.Option("--sort", help="Column of trials.parquet to sort by.")] = "value",
    ascending: Annotated[bool, typer.Option("--ascending", help="Show the smallest first.")] = False,
    minimum: Annotated[float | None, typer.Option("--min", help="List trials of at least this value.")] = None,
    status: Annotated[
        str | None, typer.Option("--status", help="List complete, stopped, failed or interrupted trials only.")
    ] = None,
    stopped_at: Annotated[
        int | None, typer.Option("--stopped-at", help="List trials only that were stopped after this epoch.", min=1)
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write all columns to this CSV file.")] = None,
    as_json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """List the trials of a campaign, also of one that is running; the best first."""
    from core.files import write_text
    from search.results.trial_list import Selection, read_trial_table, select_trials

    folder = CampaignFolder.find(root, name)
    table = read_trial_table(folder)
    found = select_trials(table, Selection(sort, ascending, minimum, status, stopped_at, top))
    if csv is not None:
        write_text(csv, found.to_csv(index=False))
        console.err.print(console.plain(f"wrote {csv}"))
    if as_json:
        console.print_json(found.to_dict("records"))
    elif csv is None:
        console.out.print(_trials_table(found, sort, _read_conditions(folder)))


def _read_conditions(folder: CampaignFolder) -> Mapping[str, Condition]:
    """Return the conditions of hyperparameters; none of a campaign whose settings only another version can read."""
    try:
        return folder.read_config().space.conditions()
    except ConfigError:
        return {}


def _trials_table(trials: pd.DataFrame, sort: str, conditions: Mapping[str, Condition]) -> Table:
    """Return a table of trials, with the column that they are sorted by."""
    from search.study.conditions import inactive

    columns = dict(HEADINGS)
    if trials["window"].isna().all():
        del columns["window"]
    table = Table(collapse_padding=True)
    for column, heading in (columns | {sort: columns.get(sort, sort)}).items():
        table.add_column(heading, justify="left" if column == "status" else "right", no_wrap=True)
    for row in trials.to_dict("records"):
        short = {name: format(row[name], spec) for name, (_, spec) in SHORT_PARAMS.items() if name in columns}
        short |= dict.fromkeys(inactive(conditions, {str(key): value for key, value in row.items()}), NOT_SEARCHED)
        cells = (short.get(column, console.short_number(row[column])) for column in columns | {sort: ""})
        table.add_row(*map(console.plain, cells))
    return table


@trials_app.command("show", cls=Command, epilog=SHOW_EPILOG)
def show(
    name: NameArgument,
    number: Annotated[int, typer.Argument(help="Number of the trial.")],
    as_json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """Show one trial: its values, its curve, the decisions about it, and what following its calls would have earned."""
    from search.results.trial_list import read_trial

    view = read_trial(CampaignFolder.find(root, name), number)
    if as_json:
        console.print_json(_as_row(view))
        return
    record = view.record
    console.out.print(
        console.plain(f"trial {number} of {name}: {record.outcome or 'not ended'} {record.reason}".strip())
    )
    console.out.print(console.plain(f"proposed by: {record.origin}"))
    console.out.print(console.plain(_format_params(record)))
    for death in record.deaths:
        console.out.print(console.plain(f"its process was lost: {death}"))
    if record.epochs:
        scores = [epoch.score for _, epoch in sorted(record.epochs.items())]
        ends = f"{console.short_number(scores[0])} to {console.short_number(scores[-1])}"
        console.out.print(console.plain(f"score by epoch: {console.sparkline(scores)} {ends}"))
        console.out.print(_curve_table(view))
    if view.trades:
        console.out.print(_trades_table(view))
    if view.cells is not None and not view.cells.empty:
        console.out.print(_cells_table(view.cells))


def _curve_table(view: TrialView) -> Table:
    columns = ["epoch", "score", "train_loss", "val_auc", "val_direction_auc", "val_macro_f1", "val_nll", "seconds"]
    table = Table(title="Epochs", title_justify="left")
    for column in columns:
        table.add_column(column.removeprefix("val_"), justify="right", no_wrap=True)
    table.add_column("decision")
    for row in view.curve.to_dict("records"):
        has_decision = isinstance(row["action"], str)
        decision = f"{row['action']}: rank {row['rank']} of {row['seen']}, {row['kept']} go on" if has_decision else ""
        table.add_row(*(console.short_number(row[column]) for column in columns), decision)
    return table


def _trades_table(view: TrialView) -> Table:
    table = Table(title="Following its calls, 10 bp for a round trip, not compounded", title_justify="left")
    for heading in ("rows", "seed", "exits", "winning", "net return", "Sharpe (annual)", "drawdown"):
        table.add_column(heading, justify="left" if heading == "rows" else "right", no_wrap=True)
    for trades in view.trades:
        figures = trades.winning, trades.net_return, trades.sharpe, trades.drawdown
        table.add_row(trades.split, str(trades.seed), str(trades.exits), *map(console.short_number, figures))
    return table


def _cells_table(cells: pd.DataFrame) -> Table:
    """Return a table of a trial's trainings in the confirmation, in the order of fold and seed."""
    metrics = ["held_out_auc", "held_out_direction_auc", "held_out_macro_f1", "held_out_nll"]
    table = Table(title="Trainings of the confirmation", title_justify="left")
    for heading in ("rows", "seed", "best epoch", *(metric.removeprefix("held_out_") for metric in metrics)):
        table.add_column(heading, justify="left" if heading == "rows" else "right", no_wrap=True)
    for row in cells.sort_values(["split", "seed"]).to_dict("records"):
        figures = (console.short_number(row.get(metric)) for metric in metrics)
        table.add_row(console.plain(row["split"]), str(row["seed"]), console.short_number(row["best_epoch"]), *figures)
    return table


def compare(
    names: Annotated[list[str], typer.Argument(metavar="CAMPAIGN CAMPAIGN…", help="Names of campaigns.")],
    as_json: JsonOption = False,
    root: RootOption = ROOT,
) -> None:
    """Compare campaigns side by side; their winners in pairs, where both confirmations trained the same cells."""
    from search.results.comparison import compare_winners, differing_settings, read_figures

    if len(names) < 2:
        raise ConfigError("One campaign alone cannot be compared", "Name two or more")
    folders = [CampaignFolder.find(root, name) for name in names]
    figures = [read_figures(folder) for folder in folders]
    settings = differing_settings(figures)
    leads = [lead for folder in folders[1:] if (lead := compare_winners(folders[0], folder)) is not None]
    if as_json:
        campaigns = [{key: value for key, value in asdict(item).items() if key != "settings"} for item in figures]
        console.print_json({"campaigns": campaigns, "settings": settings, "paired": [asdict(lead) for lead in leads]})
        return
    rows: dict[str, list[str]] = {
        "data": [item.data for item in figures],
        "ranked by": [item.metric for item in figures],
        "trials, epochs": [f"{item.trials}, {item.epochs}" for item in figures],
        "hours of training": [f"{item.hours:.2f}" for item in figures],
        "winner in the search (optimistic)": [console.short_number(item.search) for item in figures],
        "winner out of fold": [_interval(item.out_of_fold) for item in figures],
        "lead over the incumbent": [_interval(item.lead) for item in figures],
        "winner on test": [_interval(item.test) for item in figures],
        "verdict": [item.status or "not confirmed" for item in figures],
    }
    console.out.print(_side_by_side("", names, rows))
    differing = {name: [console.short_number(value) for value in values] for name, values in settings.items()}
    console.out.print(_side_by_side("Settings that differ", names, differing))
    for lead in leads:
        error = (
            "" if lead.standard_error is None else f", standard error over {lead.folds} folds {lead.standard_error:.4f}"
        )
        text = f"{lead.name} less {lead.other} on {lead.cells} cells in pairs: {lead.lead:+.4f}{error}; "
        console.out.print(console.plain(f"{text}ahead on {lead.ahead}."))
    if not leads:
        console.out.print(
            "No two of the confirmations trained the same cells: the winners cannot be compared in pairs."
        )


def _side_by_side(title: str, names: Sequence[str], rows: dict[str, list[str]]) -> Table:
    table = Table(title=title or None, title_justify="left")
    table.add_column("")
    for name in names:
        table.add_column(console.plain(name))
    for heading, cells in rows.items():
        table.add_row(*map(console.plain, (heading, *cells)))
    return table


def _interval(ends: tuple[float | None, float | None, float | None]) -> str:
    value, low, high = ends
    return f"{console.short_number(value)} {console.format_interval(low, high)}".strip()


def _format_params(record: TrialRecord) -> str:
    """Return the hyperparameters of a trial as text, and which of them have base values only."""
    shown = {name: console.short_number(value) for name, value in record.params.items()}
    shown |= dict.fromkeys(record.not_searched, NOT_SEARCHED)
    return "  ".join(f"{name} {value}" for name, value in shown.items())


def _as_row(view: TrialView) -> dict[str, Any]:
    record = view.record
    return {
        "number": record.number,
        "params": record.params,
        "not_searched": list(record.not_searched),
        "origin": record.origin,
        "status": record.outcome,
        "reason": record.reason,
        "deaths": record.deaths,
        "epochs": view.curve.drop(columns="number").to_dict("records"),
        "trades": [asdict(trades) for trades in view.trades],
        "cells": [] if view.cells is None else view.cells.to_dict("records"),
    }
