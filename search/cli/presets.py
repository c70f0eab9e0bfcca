"""`preset-search export`, `regenerate` and `presets`: what campaigns came to, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from core import console
from core.console import Command
from core.errors import ConfigError
from core.presets import SHIPPED, USER_FOLDER, Preset, load_preset, preset_names, preset_yaml, save_preset
from search.cli.options import NameArgument, RootOption
from search.results.folder import ROOT, CampaignFolder

NOT_CERTIFIED = 1
"""Exit code where a certified preset was asked for, or a file is not what its campaign gives."""

presets_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Look at preset files.")
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
        bool, typer.Option("--require-certified", help="Exit with 1 if it is not; the file is written all the same.")
    ] = False,
    root: RootOption = ROOT,
    presets: FolderOption = USER_FOLDER,
) -> None:
    """Write a campaign's winner as a preset file, which says what may be claimed of it."""
    from search.results.export import make_preset

    made = make_preset(CampaignFolder.find(root, name), preset_name)
    assert made.provenance is not None
    path = save_preset(made, presets)
    status = made.provenance.status
    console.out.print(console.plain(f"wrote {path} ({status})"))
    flags = f"--config {CampaignFolder(root / name).config_file} --model {made.provenance.model}"
    named = preset_name if presets == USER_FOLDER else path
    console.out.print(
        console.plain(f"next: preset-train --preset {named} {flags} --output-dir checkpoints/{preset_name}")
    )
    if require_certified and status != "certified":
        console.err.print(console.plain(f"{preset_name} is {status}", "bold red"))
        raise typer.Exit(NOT_CERTIFIED)


def regenerate(
    names: Annotated[list[str] | None, typer.Argument(metavar="[CAMPAIGN…]", help="Names of campaigns.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All campaigns that are there.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a file is not what its campaign gives.")
    ] = False,
    root: RootOption = ROOT,
    presets: Annotated[
        Path | None, typer.Option("--presets", help="Folder of the preset files. Default: presets.")
    ] = None,
) -> None:
    """Write the preset files of campaigns again, from their recorded results alone.

    A campaign's preset keeps the name that it was exported under; without a file it gets the campaign's. Files that are
    not of the same campaign and data, or of a newer schema, are not touched; a damaged one is kept as `.yaml.bak`.
    `--check` compares the files that are there, the shipped presets with them unless `--presets` names a folder; a
    campaign without a file is told, too.
    """
    from search.results.regenerate import regenerate_all, regenerate_campaigns

    if bool(names) == every:
        raise ConfigError("Say which campaigns", "Name them, or give --all")
    folders = [presets or USER_FOLDER]
    _check_there(root, presets if check else None)
    if check and presets is None:
        folders.append(SHIPPED)
    done = regenerate_all(root, folders, check) if every else regenerate_campaigns(root, names or [], folders, check)
    for name, reason in done.skipped.items():
        console.out.print(console.plain(f"{root / name}: skipped: {reason}"))
    for place, problem in done.problems.items():
        console.out.print(console.plain(f"{place}: {problem}", "bold red"))
    if not done.campaigns:
        console.out.print("nothing was compared" if check else "nothing was written")
    if done.problems or (check and not done.campaigns):
        raise typer.Exit(NOT_CERTIFIED)


def _check_there(root: Path, presets: Path | None) -> None:
    for folder, option in ((root, "--results"), (presets, "--presets")):
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"There is no folder {folder}", f"Name the folder with {option}")


@presets_app.command("list", cls=Command, epilog="Example:\n\npreset-search presets list")
def list_presets() -> None:
    """All presets that are found here, with what may be claimed of them."""
    table = Table("name", "status", "campaign", "headline (test)", "description")
    for name in preset_names():
        try:
            loaded = load_preset(name)
        except ConfigError as error:
            table.add_row(console.plain(name), "[bold red]damaged[/]", "", "", console.plain(error))
            continue
        source = loaded.provenance
        status, campaign = (source.status, source.campaign) if source else ("guide", "")
        table.add_row(
            name, status, *(console.plain(each) for each in (campaign, _headline(loaded), loaded.description))
        )
    console.out.print(table)


def _headline(loaded: Preset) -> str:
    test = loaded.provenance and loaded.provenance.confirmation and loaded.provenance.confirmation.test
    if not test or test.macro_f1.value is None:
        return ""
    ends = "" if test.macro_f1.low is None else f" [{test.macro_f1.low:.4f}, {test.macro_f1.high:.4f}]"
    return f"macro-F1 {test.macro_f1.value:.4f}{ends}"


@presets_app.command(cls=Command, epilog="Example:\n\npreset-search presets show production_small")
def show(name: Annotated[str, typer.Argument(help="Name of a preset, or the path of a file.")]) -> None:
    """The whole file, each value below what it means."""
    for line in preset_yaml(load_preset(name)).rstrip("\n").split("\n"):
        console.out.print(console.plain(line))


@presets_app.command(cls=Command, epilog="Example:\n\npreset-search presets diff production_small quick_experiment")
def diff(
    first: Annotated[str, typer.Argument(help="A preset.")], second: Annotated[str, typer.Argument(help="Another.")]
) -> None:
    """The values in which two presets differ."""
    one, other = (_flat(load_preset(name).model_dump(mode="json")) for name in (first, second))
    table = Table("", *(Column(console.plain(name)) for name in (first, second)))
    for key in sorted(one.keys() | other.keys(), key=list({**one, **other}).index):
        if one.get(key) != other.get(key):
            table.add_row(*(console.plain(each) for each in (key, one.get(key, ""), other.get(key, ""))))
    console.out.print(table)


def _flat(content: dict[str, object], before: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in content.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found


@presets_app.command(cls=Command, epilog="Example:\n\npreset-search presets check presets/*.yaml")
def check(
    files: Annotated[list[str] | None, typer.Argument(metavar="[PRESET…]", help="Names or files; all if none.")] = None,
) -> None:
    """Make sure that preset files can be loaded: schema, values, names."""
    wrong = []
    for name in files or preset_names():
        try:
            load_preset(name)
            console.out.print(console.plain(f"{name}: fine"))
        except ConfigError as error:
            wrong.append(name)
            console.out.print(Text.assemble(console.plain(f"{name}:", "bold red"), " ", console.plain(error)))
    if wrong:
        raise ConfigError(f"{len(wrong)} of the presets cannot be loaded", "Mend or regenerate them")
