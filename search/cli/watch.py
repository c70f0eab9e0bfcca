"""`preset-search watch`: follow a running campaign, from another shell or another machine."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live

from core import console
from search.cli.options import NameArgument, RootOption, results_flag
from search.results.folder import ROOT, CampaignFolder

if TYPE_CHECKING:
    from search.campaign.live_view import LiveView

WATCH_EPILOG = (
    "Examples:\n\npreset-search watch btc-eth-30d\n\npreset-search watch btc-eth-30d --json >> events.jsonl\n\n"
    "preset-search watch btc-eth-30d --address http://127.0.0.1:8265"
)
_LINE_SECONDS = 30.0
"""How often a line is printed where there is no terminal."""


def watch(
    name: NameArgument,
    every: Annotated[float, typer.Option("--every", help="Seconds between two readings.", min=0.2)] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what happens as JSON, an event a line.")] = False,
    root: RootOption = ROOT,
) -> None:
    """Follow a running campaign: how far it is, which trials are best, which are running and which failed.

    It reads the campaign's journal, disturbs nothing, and ends when the campaign does. Of one that has ended, or that
    a crash has ended, it shows the last state and what to do next.
    """
    folder = CampaignFolder.find(root, name)
    with suppress(KeyboardInterrupt):  # to stop watching is no error
        if as_json:
            _print_events(folder, every)
        elif console.out.is_terminal:
            _show(folder, every)
        else:
            _print_lines(folder, every)


def _read(folder: CampaignFolder) -> tuple[LiveView, bool]:
    """Read the present state of a campaign, and whether a driver runs it."""
    from search.campaign.estimate import RemainingTime
    from search.campaign.live_view import make_live_view
    from search.campaign.status import read_campaign_status
    from search.study.journal.file import is_held

    is_running = is_held(folder.journal)
    status = read_campaign_status(folder.path.parent, folder.name)
    config, trials = folder.read_config(), folder.read_journal()
    remaining = RemainingTime(
        rungs=config.rungs,
        reduction=config.reduction,
        max_epochs=config.steps,
        pauses=config.asha == "promotion",
        concurrency=max(sum(trial.outcome is None for trial in trials), 1),
        requested=config.trials if is_running else 0,
        epochs=config.epochs,
    )
    remaining.read(trials)
    flag = results_flag(folder.path.parent)
    commands = [f"{command}{flag}" for command in status.next_commands]
    view = make_live_view(config, trials, remaining, status.hours * 3600, status.phase, commands)
    return view, is_running


def _show(folder: CampaignFolder, every: float) -> None:
    from search.campaign.live_view import render

    view, is_running = _read(folder)
    with Live(render(view), console=console.out, auto_refresh=False) as live:
        while is_running:
            view, is_running = _wait_and_read(folder, every)
            live.update(render(view), refresh=True)


def _print_lines(folder: CampaignFolder, every: float) -> None:
    from search.campaign.live_view import describe

    view, is_running = _read(folder)
    while is_running:
        console.out.print(console.plain("; ".join(line for line, _ in describe(view))))
        view, is_running = _wait_and_read(folder, max(every, _LINE_SECONDS))
    for line, _ in describe(view):
        console.out.print(console.plain(line))
    for command in view.next_commands:
        console.out.print(console.plain(f"next: preset-search {command}"))


def _wait_and_read(folder: CampaignFolder, every: float) -> tuple[LiveView, bool]:
    """Wait, then read again, but for no more than a tenth of the time: journals of thousands of trials are long."""
    time.sleep(every)
    started = time.monotonic()
    state = _read(folder)
    time.sleep(9 * max(time.monotonic() - started - every / 9, 0.0))
    return state


def _print_events(folder: CampaignFolder, every: float) -> None:
    from search.campaign.events import EventReader
    from search.study.journal.file import is_held

    reader = EventReader()
    while True:
        is_running = is_held(folder.journal)  # before it is read: what happens in between is read, too
        for event in reader.read(folder.read_journal()):
            console.print_json_line(event)
        if not is_running:
            return
        time.sleep(every)
