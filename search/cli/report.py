"""`preset-search report`: writes the report of a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core import console
from core.errors import PresetSearchError, one_line
from search.cli.options import NameArgument, RootOption
from search.results.folder import ROOT, CampaignFolder

REPORT_EPILOG = (
    "Examples:\n\npreset-search report btc-eth-30d\n\npreset-search report btc-eth-30d --output ~/btc-eth-30d.html"
)


def report(
    name: NameArgument,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write. Default: report.html in the campaign's folder.")
    ] = None,
    root: RootOption = ROOT,
) -> None:
    """Write a report of a campaign as one HTML file, which any browser shows without a network.

    A campaign that is running or was killed is reported as far as it is.
    """
    from search.report.write import write_report  # Plotly and pandas take long to import

    path = write_report(CampaignFolder.find(root, name), output)
    console.out.print(console.plain(f"wrote {path}"))


def write_report_beside(folder: CampaignFolder) -> None:
    """Write the report of a campaign at the end of a command that has done its work, and say where it is.

    A report that fails takes nothing back of what the command has done: one line says why.

    Args:
        folder: the folder of the campaign.
    """
    try:
        from search.report.write import write_report

        console.out.print(console.plain(f"wrote {write_report(folder)}"))
    except PresetSearchError as error:
        console.err.print(console.plain(f"The report was not written: {one_line(error)}"))
    except Exception as error:  # whatever goes wrong in a report, the campaign has its results
        reason = f"{type(error).__name__}: {one_line(error)}"
        console.err.print(
            console.plain(f"The report was not written ({reason}). Write it with: preset-search report {folder.name}")
        )
