"""Commands that a cluster's job server runs: `launch`, `attach`, `fetch-results`; and others, given its address."""

from __future__ import annotations

import functools
import inspect
import re
import shlex
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from rich.markup import escape
from rich.text import Text

from core import console
from core.console import Command
from core.errors import ConfigError
from core.preset import check_name
from search import archive, homecoming, ledger, parcel, results
from search.address import is_server
from search.jobs import DEFAULT_ADDRESS, Client, Head, call, connect, forget, newest, plain, start
from search.options import NameArgument, RootOption
from search.settings import resolve

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
_PANEL = "On a cluster"
_PROPOSED = re.compile(r"(.*(?:next|then): preset-search (\S+) .*?)(?: --results .*)?")
_HANDED = ("confirm", "resume", "stop")
"""Commands that run on the head; others want the results here."""
ServerOption = Annotated[str, typer.Option("--address", help="The cluster's job server.", rich_help_panel=_PANEL)]
PythonOption = Annotated[
    str, typer.Option("--python", help="The interpreter on the head.", rich_help_panel=_PANEL, show_default=True)
]
RemoteOption = Annotated[
    str, typer.Option("--remote-results", help="Folder of all campaigns on the head.", rich_help_panel=_PANEL)
]
DetachOption = Annotated[bool, typer.Option("--detach", help="Do not wait for the job's end.", rich_help_panel=_PANEL)]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address", help="http(s)://… hands this command to that cluster's job server.", rich_help_panel=_PANEL
    ),
]


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
    config = resolve(campaign_file, {}, {})
    head = Head(python, remote)
    with tempfile.TemporaryDirectory(prefix="preset-search-") as scratch:
        presets = parcel.fill(Path(scratch), campaign_file, config)
        client = connect(address)
        line = head.entrypoint(["run", "--address", "auto"], with_file=True, with_presets=presets > 0)
        job = start(client, config.name, line, Path(scratch))
    _watch(client, job, config.name, _where(address, head), detach)


def attach(
    name: NameArgument,
    address: ServerOption = DEFAULT_ADDRESS,
    python: PythonOption = Head.python,
    remote: RemoteOption = Head.results,
) -> None:
    """Show the output of a campaign's newest job on a cluster, from its beginning until it ends."""
    client = connect(address)
    _watch(client, newest(client, name).id, name, _where(address, Head(python, remote)), detach=False)


def status(name: NameArgument, root: RootOption = results.ROOT) -> None:
    """How far a campaign is, while it runs and afterwards, and what to do next."""
    from search.status import status as status_of  # what it asks takes seconds to import

    found = status_of(root, name)
    for line in found.lines():
        console.out.print(line, markup=False)
    where = "" if root == results.ROOT else f" --results {shlex.quote(str(root))}"
    for line in found.following:
        console.out.print(f"next: preset-search {line}{where}", markup=False)


def fetch_results(
    name: NameArgument,
    address: ServerOption = DEFAULT_ADDRESS,
    root: RootOption = results.ROOT,
    python: PythonOption = Head.python,
    remote: RemoteOption = Head.results,
) -> None:
    """Copy a campaign's results home from a cluster, and its lines of the ledger.

    Checkpoints stay there. What comes is checked against its manifest before anything is put in place; a folder of that
    name is replaced only by more of the same campaign. A campaign that runs has no manifest yet: what there is comes.
    """
    check_name(name, "campaign")
    head = Head(python, remote)
    client = connect(address)
    from search.joblog import output

    job = call(client, name, head.entrypoint(["pack-results", name]))
    code, log = output(client, job, _say)
    forget(client, job)
    if code != 0:
        asked = _asked("status", name, _where(address, head))
        raise ConfigError(f"The head did not hand out {name}: {_last_line(log)}", f"Look with: {asked}")
    came = homecoming.put(archive.unpack(archive.from_log(log)), root, name)
    console.out.print(f"wrote {escape(str(came.folder))}")
    if came.looks:
        console.out.print(f"wrote {escape(str(root / ledger.LEDGER_FILE))} ({came.looks} lines)")
    if not came.concluded:
        console.out.print("The campaign has not ended, or was not concluded: this is what there is so far.")


def pack_results(name: NameArgument, root: RootOption = results.ROOT) -> None:
    """Print a campaign's results, for `fetch-results` to read."""
    folder = results.folder(root, name)
    for line in archive.to_lines(archive.pack(folder, ledger.of_campaign(root / ledger.LEDGER_FILE, name))):
        typer.echo(line)


def take_presets(folder: Annotated[Path, typer.Argument(help="Of what travelled.")]) -> None:
    """Put the presets that travelled with a campaign where it looks for them."""
    parcel.unpack(folder, Path())


def _last_line(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return plain(lines[-1]).removeprefix("error: ")[:300] if lines else "it said nothing"


def _where(address: str, head: Head) -> str:
    """The options that name the same cluster again."""
    named = {
        "--address": (address, ""),
        "--python": (head.python, Head.python),
        "--remote-results": (head.results, Head.results),
    }
    return " ".join(f"{flag} {shlex.quote(value)}" for flag, (value, usual) in named.items() if value != usual)


def _printer(where: str) -> Callable[[str], None]:
    """Prints what the head says; the commands that it proposes, as they are given from here."""

    def show(line: str) -> None:
        found = _PROPOSED.fullmatch(line)
        if found:
            line = f"{found[1]} {where}" if found[2] in _HANDED else found[1]
        console.out.print(Text(line))

    return show


def _asked(command: str, name: str, where: str) -> str:
    return f"preset-search {command} {name} {where}"


def _say(text: str) -> None:
    console.err.print(text, markup=False)


def _watch(client: Client, job: str, name: str, where: str, detach: bool) -> None:
    """Show a campaign's job until it ends, and end with its exit code; or leave it, saying how to come back."""
    from search.joblog import follow

    _say(f"job {job}")
    code = None
    if not detach:
        try:
            code = follow(client, job, _printer(where), _say)
        except KeyboardInterrupt:
            _say("")
    if code is None:
        console.out.print(f"The campaign goes on there. To see it: {_asked('attach', name, where)}", markup=False)
        for command in ("status", "stop"):
            console.out.print(f"{command}: {_asked(command, name, where)}", markup=False)
        return
    console.out.print(f"results: {_asked('fetch-results', name, where)}", markup=False)
    if code:
        raise typer.Exit(code)


def handed(long: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command of a campaign be handed to a cluster: with an `--address` of http(s)://, it runs on the head.

    Args:
        long: whether it works for long: then it is the campaign's job, which can be detached from and attached to.
    """

    def wrap(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)
        further: dict[str, tuple[Any, Any]] = {
            "address": (AddressOption, None), "python": (PythonOption, Head.python),
            "remote": (RemoteOption, Head.results), "detach": (DetachOption, False),
        }  # fmt: skip
        if not long:
            del further["detach"]
        added = {name: each for name, each in further.items() if name not in own.parameters}

        @functools.wraps(function)
        def command(ctx: typer.Context, **given: Any) -> None:
            address = given["address"]
            if is_server(address):
                _hand(ctx, given, long, takes_address="address" not in added)
                return
            if "address" in added and address is not None:
                raise ConfigError(f"--address {address!r} is no job server's", f"Give one like {DEFAULT_ADDRESS}")
            function(**{name: value for name, value in given.items() if name not in added})

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            inspect.Parameter("ctx", keyword, annotation=typer.Context),
            *(each.replace(kind=keyword, annotation=hints[name]) for name, each in own.parameters.items()),
            *(
                inspect.Parameter(name, keyword, default=usual, annotation=hint)
                for name, (hint, usual) in added.items()
            ),
        ]
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        return command

    return wrap


def _hand(ctx: typer.Context, given: dict[str, Any], long: bool, takes_address: bool) -> None:
    """Have a command of this program run on the head, and end with its exit code."""
    from search.joblog import follow

    name, address, head = (
        check_name(given["name"], "campaign"),
        given["address"],
        Head(given["python"], given["remote"]),
    )
    if given.get("root", results.ROOT) != results.ROOT:
        raise ConfigError("--results is a folder here, the campaign is on the cluster", "Use --remote-results")
    apart = ("address", "python", "remote", "detach", "root")
    words = [str(ctx.info_name), *arguments(ctx.command.params, {k: v for k, v in given.items() if k not in apart})]
    client = connect(address)
    if long:
        line = head.entrypoint([*words, "--address", "auto"] if takes_address else words)
        _watch(client, start(client, name, line), name, _where(address, head), given["detach"])
        return
    job = call(client, name, head.entrypoint(words))
    code = follow(client, job, _printer(_where(address, head)), _say)
    forget(client, job)
    if code:
        raise typer.Exit(code)


def arguments(parameters: Sequence[Any], given: dict[str, Any]) -> list[str]:
    """A command's arguments as words again: what was given of its parameters, by name.

    Args:
        parameters: the command's.
        given: values by the parameters' names; those that are None or off are left out.
    """
    words: list[str] = []
    for parameter in parameters:
        value = given.get(parameter.name)
        if value is None or value is False:
            continue
        values = [] if value is True else [str(each) for each in value] if isinstance(value, list) else [str(value)]
        if parameter.param_type_name == "argument":
            words += values
        else:
            words += [f"{parameter.opts[0]}={each}" for each in values] if values else [parameter.opts[0]]
    return words


def add_to(app: typer.Typer) -> None:
    """Make these commands a command line's."""
    app.command(cls=Command, epilog=LAUNCH_EPILOG)(launch)
    app.command(cls=Command, epilog=ATTACH_EPILOG)(attach)
    app.command(cls=Command, epilog=STATUS_EPILOG)(handed()(status))
    app.command("fetch-results", cls=Command, epilog=FETCH_EPILOG)(fetch_results)
    app.command("pack-results", cls=Command, hidden=True)(pack_results)
    app.command("take-presets", cls=Command, hidden=True)(take_presets)
