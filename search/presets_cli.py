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
from search.options import NameArgument, RootOption

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

    A campaign's preset keeps the name that it was exported under; without a file it gets the campaign's. Files that are
    not of the same campaign and data are not touched. `--check` compares the files that are there.
    """
    if bool(names) == every:
        raise ConfigError("Say which campaigns", "Name them, or give --all")
    there = {path.parent.name for path in root.glob(f"*/{results.CONFIG_FILE}")}
    known, wrong = _by_campaign(presets)
    if every:
        wrong |= {path: f"there is no campaign {name}" for name in known.keys() - there for path in known[name]}
    for name in sorted(there) if every else names or []:
        folder = results.folder(root, name)
        for path in known.get(name) or ([] if check else [presets / f"{default_name(name)}.yaml"]):
            wrong[path] = _regenerated(path, make_preset(folder, path.stem), check)
    wrong = {path: said for path, said in wrong.items() if said}
    for path, said in wrong.items():
        console.out.print(f"{escape(str(path))}: {escape(said)}", style="bold red")
    if not there and not known:
        console.out.print(f"no campaign in {escape(str(root))}, no preset of one in {escape(str(presets))}")
    if wrong:
        raise typer.Exit(NOT_CERTIFIED)


def _regenerated(path: Path, made: Preset, check: bool) -> str:
    """Compare a file, or write it; what is wrong with it, if anything is."""
    text = preset.to_yaml(made)
    if path.is_file() and path.read_bytes() == text.encode():
        console.out.print(f"{escape(str(path))}: unchanged")
        return ""
    if check:
        return "differs"
    if path.exists() and not (preset.is_of_same_campaign(path, made) or _is_damaged(path, made)):
        return "holds another preset; choose another name with export --as, or remove that file"
    write_text(path, text)
    console.out.print(f"{escape(str(path))}: written")
    return ""


def _is_damaged(path: Path, made: Preset) -> bool:
    """Whether a file was this preset before someone damaged it."""
    try:
        preset.load(str(path))
    except ConfigError:
        assert made.provenance is not None
        return f"campaign: {made.provenance.campaign}\n" in path.read_text(encoding="utf-8", errors="replace")
    return False


def default_name(campaign: str) -> str:
    """The name of the preset of a campaign, if nobody says another."""
    name = campaign.replace("-", "_")
    return f"my_{name}"[:64] if name in preset.shipped_names() else name


def _by_campaign(folder: Path) -> tuple[dict[str, list[Path]], dict[Path, str]]:
    """The preset files of each campaign, and what is wrong with those that cannot be read."""
    found: dict[str, list[Path]] = {}
    wrong = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            loaded = preset.load(str(path))
        except ConfigError as error:
            wrong[path] = str(error)
            continue
        if loaded.provenance is not None:
            found.setdefault(loaded.provenance.campaign, []).append(path)
    return found, wrong


@presets_app.command("list", cls=Command, epilog="Example:\n\npreset-search presets list")
def list_presets() -> None:
    """All presets that are found here, with what may be claimed of them."""
    table = Table("name", "status", "campaign", "headline (test)", "description")
    for name in preset.list_names():
        try:
            loaded = preset.load(name)
        except ConfigError as error:
            table.add_row(name, "[bold red]damaged[/]", "", "", escape(str(error)))
            continue
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
    wrong = []
    for name in files or preset.list_names():
        try:
            preset.load(name)
            console.out.print(f"{escape(name)}: fine")
        except ConfigError as error:
            wrong.append(name)
            console.out.print(f"[bold red]{escape(name)}:[/] {escape(str(error))}")
    if wrong:
        raise ConfigError(f"{len(wrong)} of the presets cannot be loaded", "Mend or regenerate them")
