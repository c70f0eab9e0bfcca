"""Hands a command to the job server of a cluster, where its `--address` names one."""

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
from search.remote.jobs import DEFAULT_ADDRESS, Client, Head, connect, delete_job, run_job, start_job
from search.results.folder import ROOT

HEAD_COMMANDS = ("confirm", "resume", "stop")
"""Commands that run on the head; others want the results here."""
_PANEL = "On a cluster"
_PROPOSED = re.compile(r"(.*(?:next|then): preset-search (\S+) .*?)(?: --results .*)?")
ServerOption = Annotated[str, typer.Option("--address", help="The cluster's job server.", rich_help_panel=_PANEL)]
PythonOption = Annotated[
    str, typer.Option("--python", help="The interpreter on the head.", rich_help_panel=_PANEL, show_default=True)
]
RemoteOption = Annotated[
    str, typer.Option("--remote-results", help="Folder of all campaigns on the head.", rich_help_panel=_PANEL)
]
DetachOption = Annotated[bool, typer.Option("--detach", help="Do not wait for the job's end.", rich_help_panel=_PANEL)]
JobServerOption = Annotated[
    str | None,
    typer.Option(
        "--address", help="http(s)://… hands this command to that cluster's job server.", rich_help_panel=_PANEL
    ),
]


def dispatchable(long: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command of a campaign be handed to a cluster: with an `--address` of http(s)://, it runs on the head.

    Args:
        long: whether it works for long: then it is the campaign's job, which can be detached from and attached to.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        options: dict[str, tuple[Any, Any]] = {
            "address": (JobServerOption, None), "python": (PythonOption, Head.python),
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
                    f"--address {address!r} is not the address of a job server", f"Give one like {DEFAULT_ADDRESS}"
                )
            function(**{name: value for name, value in values.items() if name not in added})

        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        added_parameters = [
            console.option_parameter(name, annotation, default) for name, (annotation, default) in added.items()
        ]
        return console.with_parameters(command, function, [context, *own_parameters, *added_parameters])

    return decorate


def _dispatch(ctx: typer.Context, given: dict[str, Any], long: bool, takes_address: bool) -> None:
    """Have a command of this program run on the head, and end with its exit code."""
    from search.remote.job_log import follow_job

    name, address, head = (
        check_name(given["name"], "campaign"),
        given["address"],
        Head(given["python"], given["remote"]),
    )
    if given.get("root", ROOT) != ROOT:
        raise ConfigError("--results is a folder here, the campaign is on the cluster", "Use --remote-results")
    apart = ("address", "python", "remote", "detach", "root")
    words = [str(ctx.info_name), *arguments(ctx.command.params, {k: v for k, v in given.items() if k not in apart})]
    client = connect(address)
    if long:
        line = head.entrypoint([*words, "--address", "auto"] if takes_address else words)
        watch_job(client, start_job(client, name, line), name, location_flags(address, head), given["detach"])
        return
    job = run_job(client, name, head.entrypoint(words))
    code = follow_job(client, job, head_printer(location_flags(address, head)), say)
    delete_job(client, job)
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


def location_flags(address: str, head: Head) -> str:
    """The options that name the same cluster again."""
    named = {
        "--address": (address, ""),
        "--python": (head.python, Head.python),
        "--remote-results": (head.results, Head.results),
    }
    return " ".join(f"{flag} {shlex.quote(value)}" for flag, (value, usual) in named.items() if value != usual)


def head_printer(where: str) -> Callable[[str], None]:
    """Prints what the head says; the commands that it proposes, as they are given from here."""

    def show(line: str) -> None:
        found = _PROPOSED.fullmatch(line)
        if found:
            line = f"{found[1]} {where}" if found[2] in HEAD_COMMANDS else found[1]
        console.out.print(Text(line))

    return show


def command_line(command: str, name: str, where: str) -> str:
    """The command line that runs a command on the same cluster again."""
    return f"preset-search {command} {name} {where}"


def say(text: str) -> None:
    """Print a plain text to the error stream."""
    console.err.print(text, markup=False)


def watch_job(client: Client, job: str, name: str, where: str, detach: bool) -> None:
    """Show a campaign's job until it ends, and end with its exit code; or leave it, saying how to come back."""
    from search.remote.job_log import follow_job

    say(f"job {job}")
    code = None
    if not detach:
        try:
            code = follow_job(client, job, head_printer(where), say)
        except KeyboardInterrupt:
            say("")
    if code is None:
        console.out.print(f"The campaign goes on there. To see it: {command_line('attach', name, where)}", markup=False)
        for command in ("status", "stop"):
            console.out.print(f"{command}: {command_line(command, name, where)}", markup=False)
        return
    console.out.print(f"results: {command_line('fetch-results', name, where)}", markup=False)
    if code:
        raise typer.Exit(code)
