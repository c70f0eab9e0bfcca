"""Commands that a cluster's job server runs: `launch`, `attach`, `fetch-results`; and others, given its address."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from core import console
from core.config import check_name
from core.errors import ConfigError
from search.cli.dispatch import (
    DetachOption,
    PythonOption,
    RemoteOption,
    ServerOption,
    command_line,
    location_flags,
    say,
    watch_job,
)
from search.cli.options import NameArgument, RootOption
from search.config import resolve_config
from search.remote.jobs import (
    DEFAULT_ADDRESS,
    Head,
    connect,
    delete_job,
    newest_job,
    run_job,
    start_job,
    without_control_characters,
)
from search.results import ledger
from search.results.folder import LEDGER_FILE, ROOT, CampaignFolder

LAUNCH_EPILOG = (
    "Examples:\n\nray dashboard cluster.yaml  # opens the tunnel; leave it open\n\n"
    "preset-search launch campaign.yaml\n\n"
    "preset-search launch campaign.yaml --detach --python /opt/venv/bin/python --address http://127.0.0.1:8265"
)
ATTACH_EPILOG = "Example:\n\npreset-search attach btc-eth-30d"
FETCH_EPILOG = (
    "Examples:\n\npreset-search fetch-results btc-eth-30d\n\n"
    "preset-search fetch-results btc-eth-30d --address http://127.0.0.1:8265 --results results"
)
STATUS_EPILOG = (
    "Examples:\n\npreset-search status btc-eth-30d\n\npreset-search status btc-eth-30d --address http://127.0.0.1:8265"
)


def launch(
    campaign_file: Annotated[Path, typer.Argument(metavar="CAMPAIGN.yaml", help="Settings of the campaign.")],
    address: ServerOption = DEFAULT_ADDRESS,
    detach: DetachOption = False,
    python: PythonOption = Head.python,
    remote: RemoteOption = Head.results,
) -> None:
    """Run a campaign on a cluster, from here: its job server runs `preset-search run` on the head.

    Ctrl-C, a lost connection or a closed laptop leave the campaign running; `attach` shows its output again. The file
    and the presets that it names travel along. Data do not: their paths are the head's, seen from the folder that holds
    its results.
    """
    from search.remote import upload

    config = resolve_config(campaign_file, {}, {})
    head = Head(python, remote)
    with tempfile.TemporaryDirectory(prefix="preset-search-") as scratch:
        presets = upload.collect_files(Path(scratch), campaign_file, config)
        client = connect(address)
        line = head.entrypoint(["run", "--address", "auto"], with_file=True, with_presets=presets > 0)
        job = start_job(client, config.name, line, Path(scratch))
    watch_job(client, job, config.name, location_flags(address, head), detach)


def attach(
    name: NameArgument,
    address: ServerOption = DEFAULT_ADDRESS,
    python: PythonOption = Head.python,
    remote: RemoteOption = Head.results,
) -> None:
    """Show the output of a campaign's newest job on a cluster, from its beginning until it ends."""
    client = connect(address)
    watch_job(client, newest_job(client, name).id, name, location_flags(address, Head(python, remote)), detach=False)


def status(name: NameArgument, root: RootOption = ROOT) -> None:
    """How far a campaign is, while it runs and afterwards, and what to do next."""
    from search.campaign.status import read_campaign_status  # Optuna takes seconds to import

    progress = read_campaign_status(root, name)
    for line in progress.lines():
        console.out.print(line, markup=False)
    where = "" if root == ROOT else f" --results {shlex.quote(str(root))}"
    for line in progress.next_commands:
        console.out.print(f"next: preset-search {line}{where}", markup=False)


def fetch_results(
    name: NameArgument,
    address: ServerOption = DEFAULT_ADDRESS,
    root: RootOption = ROOT,
    python: PythonOption = Head.python,
    remote: RemoteOption = Head.results,
) -> None:
    """Copy a campaign's results home from a cluster, and its lines of the ledger.

    Checkpoints stay there. What comes is checked against its manifest before anything is put in place; a folder of that
    name is replaced only by more of the same campaign. A campaign that runs has no manifest yet: what there is comes.
    """
    from search.remote import archive, download

    check_name(name, "campaign")
    head = Head(python, remote)
    client = connect(address)
    from search.remote.job_log import wait_for_output

    job = run_job(client, name, head.entrypoint(["pack-results", name]))
    code, log = wait_for_output(client, job, say)
    delete_job(client, job)
    if code != 0:
        asked = command_line("status", name, location_flags(address, head))
        raise ConfigError(f"The head did not hand out {name}: {_last_line(log)}", f"Look with: {asked}")
    came = download.install_results(archive.unpack(archive.decode_log(log)), root, name)
    console.out.print(f"wrote {escape(str(came.folder))}")
    if came.new_ledger_entries:
        console.out.print(f"wrote {escape(str(root / LEDGER_FILE))} ({came.new_ledger_entries} lines)")
    if not came.concluded:
        console.out.print("The campaign has not ended, or was not concluded: this is what there is so far.")


def pack_results(name: NameArgument, root: RootOption = ROOT) -> None:
    """Print a campaign's results, for `fetch-results` to read."""
    from search.remote import archive

    folder = CampaignFolder.find(root, name)
    for line in archive.encode_lines(archive.pack(folder.path, ledger.lines_of_campaign(folder.ledger, name))):
        typer.echo(line)


def take_presets(folder: Annotated[Path, typer.Argument(help="Of what travelled.")]) -> None:
    """Put the presets that travelled with a campaign where it looks for them."""
    from search.remote import upload

    upload.install_presets(folder, Path())


def _last_line(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return without_control_characters(lines[-1]).removeprefix("error: ")[:300] if lines else "it said nothing"
