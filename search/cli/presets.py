"""`preset-search export`, `regenerate` and `presets`: preset files, which hold the results of campaigns."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from core import console
from core.config import flatten
from core.console import Command
from core.errors import ConfigError
from core.presets import SHIPPED, USER_FOLDER, Preset, load_preset, preset_names, preset_yaml, save_preset
from search.cli.options import NameArgument, RootOption
from search.results.folder import ROOT, CampaignFolder

NOT_CERTIFIED = 1
"""Exit code if a preset had to be certified and is not, or if a file differs from what its campaign gives."""

presets_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="List, show, compare and check presets.")
FolderOption = Annotated[Path, typer.Option("--presets", help="Folder of the preset files.")]
EXPORT_EPILOG = (
    "Examples:\n\npreset-search export btc-eth-30d --as btc_eth_30d\n\n"
    "preset-search export btc-eth-30d --as btc_eth_30d --require-certified"
)
REGENERATE_EPILOG = (
    "Examples:\n\npreset-search regenerate btc-eth-30d\n\npreset-search regenerate --all --check  # for CI"
)


def export(
    name: NameArgument,
    preset_name: Annotated[str, typer.Option("--as", help="Name of the preset to write.")],
    require_certified: Annotated[
        bool,
        typer.Option(
            "--require-certified", help="Exit with code 1 if the preset is not certified; the file is written anyway."
        ),
    ] = False,
    root: RootOption = ROOT,
    presets: FolderOption = USER_FOLDER,
) -> None:
    """Write the winner of a campaign to a preset file, with a record of what may be claimed of it."""
    from search.results.export import make_preset

    preset = make_preset(CampaignFolder.find(root, name), preset_name)
    assert preset.provenance is not None
    path = save_preset(preset, presets)
    status = preset.provenance.status
    console.out.print(console.plain(f"wrote {path} ({status})"))
    name_or_path = preset_name if presets == USER_FOLDER else path
    words = [
        "preset-train", "--preset", name_or_path, "--config", CampaignFolder(root / name).config_file,
        "--model", preset.provenance.model, "--output-dir", f"checkpoints/{preset_name}",
    ]  # fmt: skip
    console.out.print(console.plain(f"next: {shlex.join(map(str, words))}"))
    if require_certified and status != "certified":
        console.err.print(console.plain(f"{preset_name} is {status}", "bold red"))
        raise typer.Exit(NOT_CERTIFIED)


def regenerate(
    names: Annotated[list[str] | None, typer.Argument(metavar="[CAMPAIGN…]", help="Names of campaigns.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Use all campaigns in the folder.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit with code 1 if a file differs from what its campaign gives."),
    ] = False,
    root: RootOption = ROOT,
    presets: Annotated[
        Path | None, typer.Option("--presets", help="Folder of the preset files. Default: presets.")
    ] = None,
) -> None:
    """Write the preset files of campaigns again, from their recorded results alone.

    A preset keeps the name that it was exported under; if there is no file yet, it gets the name of its campaign. Files
    of other campaigns, of other data or of a newer schema are never replaced; a damaged file is kept as `.yaml.bak`.

    With `--check`, existing files are compared instead, including the shipped presets unless `--presets` names a
    folder; a campaign without a file is reported, too.
    """
    from search.results.regenerate import regenerate_all, regenerate_campaigns

    if bool(names) == every:
        raise ConfigError("Either campaigns or --all must be given", "Name the campaigns, or give --all")
    folders = [presets or USER_FOLDER]
    _check_folders(root, presets if check else None)
    if check and presets is None:
        folders.append(SHIPPED)
    result = regenerate_all(root, folders, check) if every else regenerate_campaigns(root, names or [], folders, check)
    for name, reason in result.skipped.items():
        console.out.print(console.plain(f"{root / name}: skipped: {reason}"))
    for place, problem in result.problems.items():
        console.out.print(console.plain(f"{place}: {problem}", "bold red"))
    if not result.campaigns:
        console.out.print("nothing was compared" if check else "nothing was written")
    if result.problems or (check and not result.campaigns):
        raise typer.Exit(NOT_CERTIFIED)


def _check_folders(root: Path, presets: Path | None) -> None:
    """Check that the folder of the campaigns exists, and that of the presets if one is named.

    Raises:
        ConfigError: a folder does not exist.
    """
    for folder, option in ((root, "--results"), (presets, "--presets")):
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"There is no folder {folder}", f"Name an existing folder with {option}")


@presets_app.command("list", cls=Command, epilog="Example:\n\npreset-search presets list")
def list_presets() -> None:
    """List all presets that can be used here, with what may be claimed of them."""
    table = Table("name", "status", "campaign", "headline (test)", "description")
    for name in preset_names():
        try:
            preset = load_preset(name)
        except ConfigError as error:
            table.add_row(console.plain(name), "[bold red]damaged[/]", "", "", console.plain(error))
            continue
        provenance = preset.provenance
        status, campaign = (provenance.status, provenance.campaign) if provenance else ("guide", "")
        table.add_row(name, status, *map(console.plain, (campaign, _headline(preset), preset.description)))
    console.out.print(table)


def _headline(preset: Preset) -> str:
    """Return the macro-F1 on test with its interval as text; empty if the preset was not confirmed."""
    test = preset.provenance and preset.provenance.confirmation and preset.provenance.confirmation.test
    if not test or test.macro_f1.value is None:
        return ""
    interval = console.format_interval(test.macro_f1.low, test.macro_f1.high)
    return f"macro-F1 {test.macro_f1.value:.4f} {interval}".rstrip()


@presets_app.command(cls=Command, epilog="Example:\n\npreset-search presets show production_small")
def show(name: Annotated[str, typer.Argument(help="Name of a preset, or path to its .yaml file.")]) -> None:
    """Show the whole file of a preset, with a comment above each value."""
    for line in preset_yaml(load_preset(name)).rstrip("\n").split("\n"):
        console.out.print(console.plain(line))


@presets_app.command(cls=Command, epilog="Example:\n\npreset-search presets diff production_small quick_experiment")
def diff(
    first: Annotated[str, typer.Argument(help="A preset.")],
    second: Annotated[str, typer.Argument(help="Another preset.")],
) -> None:
    """Show the values in which two presets differ."""
    left, right = (flatten(load_preset(name).model_dump(mode="json")) for name in (first, second))
    table = Table("", *(Column(console.plain(name)) for name in (first, second)))
    for key in {**left, **right}:
        if left.get(key) != right.get(key):
            table.add_row(*map(console.plain, (key, left.get(key, ""), right.get(key, ""))))
    console.out.print(table)


@presets_app.command(cls=Command, epilog="Example:\n\npreset-search presets check presets/*.yaml")
def check(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[PRESET…]", help="Names or .yaml files. Default: all presets.")
    ] = None,
) -> None:
    """Check that presets can be loaded: schema, values and names."""
    damaged = 0
    for name in files or preset_names():
        try:
            load_preset(name)
            console.out.print(console.plain(f"{name}: valid"))
        except ConfigError as error:
            damaged += 1
            console.out.print(Text.assemble(console.plain(f"{name}:", "bold red"), " ", console.plain(error)))
    if damaged:
        raise ConfigError(f"{damaged} of the presets cannot be loaded", "Fix or regenerate them")
