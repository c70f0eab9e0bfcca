"""`preset-search export`, `regenerate` and `presets`: what campaigns came to, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from core import console, preset
from core.console import Command
from core.errors import ConfigError
from core.files import write_text
from core.preset import Preset
from search import results
from search.export import make_preset

NOT_CERTIFIED = 1
"""Exit code where a certified preset was asked for, or a file is not what its campaign gives."""

presets_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Look at preset files.")
RootOption = Annotated[Path, typer.Option("--results", help="Folder of all campaigns.")]
FolderOption = Annotated[Path, typer.Option("--presets", help="Folder of the preset files.")]
EXPORT_EPILOG = (
    "Examples:\n\npreset-search export btc-eth-30d --as btc_eth_30d\n\n"
    "preset-search export btc-eth-30d --as btc_eth_30d --require-certified"
)
REGENERATE_EPILOG = (
    "Examples:\n\npreset-search regenerate btc-eth-30d\n\npreset-search regenerate --all --check  # for CI"
)


def export(
    name: Annotated[str, typer.Argument(help="Name of the campaign.")],
    preset_name: Annotated[str, typer.Option("--as", help="Name of the preset to write.")],
    require_certified: Annotated[
        bool, typer.Option("--require-certified", help="Exit with 1 if it is not; the file is written all the same.")
    ] = False,
    root: RootOption = results.ROOT,
    presets: FolderOption = preset.USER_FOLDER,
) -> None:
    """Write a campaign's winner as a preset file, which says what may be claimed of it."""
    made = make_preset(results.folder(root, name), preset_name)
    assert made.provenance is not None
    path = preset.save(made, presets)
    status = made.provenance.status
    console.out.print(f"wrote {escape(str(path))} ({status})")
    flags = f"--config {root / name / results.CONFIG_FILE} --model {made.provenance.model}"
    named = preset_name if presets == preset.USER_FOLDER else path
    console.out.print(
        f"next: preset-train --preset {escape(str(named))} {flags} --output-dir checkpoints/{preset_name}"
    )
    if require_certified and status != "certified":
        console.err.print(f"[bold red]{preset_name} is {status}[/]")
        raise typer.Exit(NOT_CERTIFIED)


def regenerate(
    names: Annotated[list[str] | None, typer.Argument(metavar="[CAMPAIGN…]", help="Names of campaigns.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All campaigns that are there.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a file is not what its campaign gives.")
    ] = False,
    root: RootOption = results.ROOT,
    presets: FolderOption = preset.USER_FOLDER,
) -> None:
    """Write the preset files of campaigns again, from their recorded results alone.

    A campaign's preset keeps the name that it was exported under; without a file it gets the campaign's.
    """
    if bool(names) == every:
        raise ConfigError("Say which campaigns", "Name them, or give --all")
    campaigns = sorted(path.parent.name for path in root.glob(f"*/{results.MANIFEST_FILE}")) if every else names or []
    known = _by_campaign(presets)
    differing = 0
    for name in campaigns:
        for preset_name in known.get(name) or [default_name(name)]:
            text = preset.to_yaml(make_preset(results.folder(root, name), preset_name))
            path = presets / f"{preset_name}.yaml"
            same = path.is_file() and path.read_bytes() == text.encode()
            differing += not same
            if not check and not same:
                write_text(path, text)
            done = "unchanged" if same else "differs" if check else "written"
            console.out.print(f"{escape(str(path))}: {done}", style="bold red" if check and not same else None)
    if not campaigns:
        console.out.print(f"no campaign in {escape(str(root))}")
    if check and differing:
        raise typer.Exit(NOT_CERTIFIED)


def default_name(campaign: str) -> str:
    """The name of the preset of a campaign, if nobody says another."""
    name = campaign.replace("-", "_")
    return f"my_{name}"[:64] if name in preset.shipped_names() else name


def _by_campaign(folder: Path) -> dict[str, list[str]]:
    """Names of the preset files of each campaign."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.yaml")):
        loaded = preset.load(str(path))
        if loaded.provenance is not None:
            found.setdefault(loaded.provenance.campaign, []).append(loaded.name)
    return found


@presets_app.command("list", cls=Command, epilog="Example:\n\npreset-search presets list")
def list_presets() -> None:
    """All presets that are found here, with what may be claimed of them."""
    table = Table("name", "status", "campaign", "headline (test)", "description")
    for name in preset.list_names():
        loaded = preset.load(name)
        source = loaded.provenance
        status, campaign = (source.status, source.campaign) if source else ("guide", "")
        table.add_row(name, status, campaign, _headline(loaded), loaded.description)
    console.out.print(table)


def _headline(loaded: Preset) -> str:
    test = loaded.provenance and loaded.provenance.confirmation and loaded.provenance.confirmation.test
    if not test:
        return ""
    ends = "" if test.macro_f1.low is None else f" [{test.macro_f1.low:.4f}, {test.macro_f1.high:.4f}]"
    return f"macro-F1 {test.macro_f1.value:.4f}{ends}"


@presets_app.command(cls=Command, epilog="Example:\n\npreset-search presets show production_small")
def show(name: Annotated[str, typer.Argument(help="Name of a preset, or the path of a file.")]) -> None:
    """The whole file, each value below what it means."""
    console.out.print(preset.to_yaml(preset.load(name)), markup=False, end="")


@presets_app.command(cls=Command, epilog="Example:\n\npreset-search presets diff production_small quick_experiment")
def diff(
    first: Annotated[str, typer.Argument(help="A preset.")], second: Annotated[str, typer.Argument(help="Another.")]
) -> None:
    """The values in which two presets differ."""
    one, other = (_flat(preset.load(name).model_dump(mode="json")) for name in (first, second))
    table = Table("", first, second)
    for key in sorted(one.keys() | other.keys(), key=list({**one, **other}).index):
        if one.get(key) != other.get(key):
            table.add_row(key, str(one.get(key, "")), str(other.get(key, "")))
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
    for name in files or preset.list_names():
        preset.load(name)
        console.out.print(f"{escape(name)}: fine")
