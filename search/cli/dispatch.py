"""Sends a command to the job server of a cluster if its `--address` names one, and shows the output of the job."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from core import console
from core.config import check_name
from core.errors import ConfigError
from search.cluster.address import is_job_server
from search.remote.jobs import DEFAULT_ADDRESS, Head, JobClient, connect, delete_job, run_job, start_job
from search.results.folder import ROOT

HEAD_COMMANDS = ("confirm", "resume", "stop", "watch")
"""Commands that a job server can run on the head; all others work on local results."""
_PANEL = "On a cluster"
_PROPOSED_COMMAND = re.compile(r"(.*(?:next|then): preset-search (\S+) .*?)(?: --results .*)?")
"""A line of output that proposes a command: all but its `--results`, and the name of the command."""
JobServerOption = Annotated[
    str, typer.Option("--address", help="Address of the cluster's job server.", rich_help_panel=_PANEL)
]
PythonOption = Annotated[
    str, typer.Option("--python", help="Python interpreter on the head.", rich_help_panel=_PANEL, show_default=True)
]
RemoteOption = Annotated[
    str, typer.Option("--remote-results", help="Folder of all campaigns on the head.", rich_help_panel=_PANEL)
]
DetachOption = Annotated[bool, typer.Option("--detach", help="Do not wait for the job to end.", rich_help_panel=_PANEL)]
OptionalJobServerOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="http(s)://… is the job server of a cluster, which then runs this command.",
        rich_help_panel=_PANEL,
    ),
]


def dispatchable(long: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command run on the head of a cluster if its `--address` is that of a job server.

    Args:
        long: whether the command runs for long. If so, it is the campaign's job, which can be detached from and
            attached to.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        options: dict[str, tuple[Any, Any]] = {
            "address": (OptionalJobServerOption, None), "python": (PythonOption, Head.python),
            "remote": (RemoteOption, Head.results), "detach": (DetachOption, False),
        }  # fmt: skip
        if not long:
            del options["detach"]
        own_parameters = console.keyword_parameters(function)
        own_names = {parameter.name for parameter in own_parameters}
        added = {name: option for name, option in options.items() if name not in own_names}

        def command(ctx: typer.Context, **values: Any) -> None:
            address = values["address"]
            if is_job_server(address):
                _dispatch(ctx, values, long, takes_address="address" not in added)
                return
            if "address" in added and address is not None:
                raise ConfigError(
                    f"--address {address!r} is not the address of a job server",
                    f"Give an address such as {DEFAULT_ADDRESS}",
                )
            function(**{name: value for name, value in values.items() if name not in added})

        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        added_parameters = [
            console.option_parameter(name, annotation, default) for name, (annotation, default) in added.items()
        ]
        return console.with_parameters(command, function, [context, *own_parameters, *added_parameters])

    return decorate


def _dispatch(ctx: typer.Context, values: dict[str, Any], long: bool, takes_address: bool) -> None:
    """Run a command of this program on the head, and exit with its exit code.

    Args:
        ctx: context of the command.
        values: values of the command's parameters, by name.
        long: whether the command is the campaign's job, see `dispatchable`.
        takes_address: whether the command itself has an `--address`, of the Ray cluster to join.

    Raises:
        ConfigError: the name cannot be a campaign's, or `--results` is given.
        Exit: the command on the head failed.
    """
    from search.remote.job_log import follow_job

    console.set_verbosity(values.get("verbose", False), values.get("quiet", False))
    name, address = check_name(values["name"], "campaign"), values["address"]
    head = Head(values["python"], values["remote"])
    if values.get("root", ROOT) != ROOT:
        raise ConfigError("--results is a local folder, but the campaign is on the cluster", "Use --remote-results")
    local = ("address", "python", "remote", "detach", "root")
    forwarded = {parameter: value for parameter, value in values.items() if parameter not in local}
    words = [str(ctx.info_name), *arguments(ctx.command.params, forwarded)]
    client = connect(address)
    if long:
        line = head.entrypoint([*words, "--address", "auto"] if takes_address else words)
        watch_job(client, start_job(client, name, line), name, location_flags(address, head), values["detach"])
        return
    job = run_job(client, name, head.entrypoint(words))
    code = follow_job(client, job, head_printer(location_flags(address, head)), say)
    delete_job(client, job)
    if code:
        raise typer.Exit(code)


def arguments(parameters: Sequence[Any], given: dict[str, Any]) -> list[str]:
    """Return the words of a command line that gives these values to a command's parameters.

    Args:
        parameters: Click's parameters of the command.
        given: values by the names of the parameters; those that are None or False are left out.
    """
    words: list[str] = []
    for parameter in parameters:
        value = given.get(parameter.name)
        if value is None or value is False:
            continue
        items = value if isinstance(value, list) else [] if value is True else [value]
        texts = [str(item) for item in items]
        if parameter.param_type_name == "argument":
            words += texts
        else:
            words += [f"{parameter.opts[0]}={text}" for text in texts] or [parameter.opts[0]]
    return words


def location_flags(address: str, head: Head) -> str:
    """Return the options that name a cluster in a proposed command; options with their default values are left out.

    Args:
        address: address of the job server.
        head: the environment on the head.
    """
    options = {
        "--address": (address, ""),
        "--python": (head.python, Head.python),
        "--remote-results": (head.results, Head.results),
    }
    return " ".join(f"{flag} {shlex.quote(value)}" for flag, (value, default) in options.items() if value != default)


def head_printer(flags: str) -> Callable[[str], None]:
    """Return a function that prints a line of the head's output, in which proposed commands work on this machine.

    Args:
        flags: options that name the cluster, see `location_flags`.
    """

    def show(line: str) -> None:
        proposed = _PROPOSED_COMMAND.fullmatch(line)
        if proposed:
            line = f"{proposed[1]} {flags}" if proposed[2] in HEAD_COMMANDS else proposed[1]
        console.out.print(Text(line))

    return show


def command_line(command: str, name: str, flags: str) -> str:
    """Return the command line that runs a command of a campaign on the same cluster.

    Args:
        command: name of the command.
        name: name of the campaign.
        flags: options that name the cluster, see `location_flags`.
    """
    return f"preset-search {command} {name} {flags}"


def say(text: str) -> None:
    """Print a plain text to standard error."""
    console.err.print(text, markup=False)


def watch_job(client: JobClient, job: str, name: str, flags: str, detach: bool) -> None:
    """Show the output of a campaign's job until it ends, and exit with its exit code; Ctrl-C leaves the job running.

    Args:
        client: client of the job server.
        job: id of the job.
        name: name of the campaign.
        flags: options that name the cluster, see `location_flags`.
        detach: whether to leave at once, and only print how to attach again.

    Raises:
        Exit: the job failed.
    """
    from search.remote.job_log import follow_job

    say(f"job {job}")
    code = None
    if not detach:
        try:
            code = follow_job(client, job, head_printer(flags), say)
        except KeyboardInterrupt:
            say("")
    if code is None:
        attach = command_line("attach", name, flags)
        console.out.print(f"The campaign continues on the cluster. To watch it: {attach}", markup=False)
        for command in ("status", "stop"):
            console.out.print(f"{command}: {command_line(command, name, flags)}", markup=False)
        return
    console.out.print(f"results: {command_line('fetch-results', name, flags)}", markup=False)
    if code:
        raise typer.Exit(code)
