"""Commands that run campaigns through a cluster's job server: `launch`, `attach`, `fetch-results`; and `status`."""

from __future__ import annotations

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
    JobServerOption,
    PythonOption,
    RemoteOption,
    command_line,
    location_flags,
    say,
    watch_job,
)
from search.cli.options import NameArgument, RootOption, results_flag
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
from search.results import judged, ledger
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
    campaign_file: Annotated[
        Path, typer.Argument(metavar="CAMPAIGN.yaml", help="YAML file with the settings of the campaign.")
    ],
    address: JobServerOption = DEFAULT_ADDRESS,
    detach: DetachOption = False,
    python: PythonOption = Head.python,
    remote: RemoteOption = Head.results,
    verbose: console.VerboseOption = False,
    quiet: console.QuietOption = False,
) -> None:
    """Run a campaign on a cluster: its job server runs `preset-search run` on the head.

    Ctrl-C, a lost connection or a closed laptop leave the campaign running; `attach` shows its output again. The file
    and the presets that it names are uploaded. Market data are not: the file names their paths on the head, relative to
    the folder that holds its results.
    """
    from search.remote import upload

    console.set_verbosity(verbose, quiet)
    verbosity = [flag for flag, is_set in (("--verbose", verbose), ("--quiet", quiet)) if is_set]
    config = resolve_config(campaign_file, {}, {})
    head = Head(python, remote)
    with tempfile.TemporaryDirectory(prefix="preset-search-") as scratch:
        presets = upload.collect_files(Path(scratch), campaign_file, config)
        client = connect(address)
        line = head.entrypoint(["run", "--address", "auto", *verbosity], with_file=True, with_presets=presets > 0)
        job = start_job(client, config.name, line, Path(scratch))
    watch_job(client, job, config.name, location_flags(address, head), detach)


def attach(
    name: NameArgument,
    address: JobServerOption = DEFAULT_ADDRESS,
    python: PythonOption = Head.python,
    remote: RemoteOption = Head.results,
) -> None:
    """Show the output of a campaign's newest job on a cluster, from its beginning until the job ends."""
    client = connect(address)
    watch_job(client, newest_job(client, name).id, name, location_flags(address, Head(python, remote)), detach=False)


def status(name: NameArgument, root: RootOption = ROOT) -> None:
    """Show how far a campaign is, while it runs or afterwards, and what to do next."""
    from search.campaign.status import read_campaign_status

    progress = read_campaign_status(root, name)
    for line in progress.lines():
        console.out.print(line, markup=False)
    for line in progress.next_commands:
        console.out.print(f"next: preset-search {line}{results_flag(root)}", markup=False)


def fetch_results(
    name: NameArgument,
    address: JobServerOption = DEFAULT_ADDRESS,
    root: RootOption = ROOT,
    python: PythonOption = Head.python,
    remote: RemoteOption = Head.results,
) -> None:
    """Download the results of a campaign from a cluster, with its entries in the ledger.

    Checkpoints stay on the cluster. All files are checked against the manifest of the campaign before anything is
    written, and a local folder is replaced only by results that continue it. A running campaign has no manifest yet;
    its results so far are downloaded.
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
        status_command = command_line("status", name, location_flags(address, head))
        raise ConfigError(
            f"The head did not return the results of {name}: {_last_line(log)}", f"Check the campaign: {status_command}"
        )
    installed = download.install_results(archive.unpack(archive.decode_log(log)), root, name)
    console.out.print(f"wrote {escape(str(installed.folder))}")
    if installed.new_ledger_entries:
        console.out.print(f"wrote {escape(str(root / LEDGER_FILE))} ({installed.new_ledger_entries} lines)")
    for contested, other in judged.find_contested(root):
        console.out.print(
            f"[bold yellow]{escape(contested)} is not certified any more:[/] {escape(other)} had read some of its test "
            "span before. Export its preset again."
        )
    if not installed.concluded:
        console.out.print("The campaign has not ended or was not concluded; these are its results so far.")


def pack_results(name: NameArgument, root: RootOption = ROOT) -> None:
    """Print the results of a campaign as text, for `fetch-results` to read."""
    from search.remote import archive

    folder = CampaignFolder.find(root, name)
    for line in archive.encode_lines(archive.pack(folder.path, ledger.lines_of_campaign(folder.ledger, name))):
        typer.echo(line)


def install_presets(folder: Annotated[Path, typer.Argument(help="Folder of the uploaded files.")]) -> None:
    """Install the presets that were uploaded with a campaign."""
    from search.remote import upload

    upload.install_presets(folder, Path())


def _last_line(log: str) -> str:
    """Return the last line of a job's output, at most 300 characters of it."""
    lines = [line for line in log.splitlines() if line.strip()]
    return without_control_characters(lines[-1]).removeprefix("error: ")[:300] if lines else "it printed nothing"
