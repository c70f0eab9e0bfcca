"""The files of a campaign."""

from __future__ import annotations

from pathlib import Path

from core.config import check_name
from core.errors import ConfigError

BEGUN_FILE = "begun.json"
"""Folder of the cells that are done, in the campaign's; removed when there is a verdict."""


ROW_FILE = "row.json"
"""What a cell that is done came to."""


PREDICTIONS_FILE = "predictions.parquet"


RETURNS_FILE = "returns.parquet"


ROOT = Path("results")


CONFIG_FILE = "campaign.yaml"


TRIALS_FILE = "trials.parquet"


CURVES_FILE = "curves.parquet"


SUMMARY_FILE = "summary.json"


JOURNAL_FILE = "journal.log"


STOP_FILE = ".stop"
"""While it is there, a running campaign ends as soon as it can."""


RESTORED_FILE = ".restored"
"""Left in a folder that came from its storage, until its search is gone on with."""


INCUMBENT_FILE = "incumbent.json"


CONFIRMATION_FILE = "confirmation.parquet"


VERDICT_FILE = "verdict.json"


MANIFEST_FILE = "manifest.json"


CELLS = "confirmation"
"""Folder of the trainings of a confirmation that is under way."""


def campaign_folder(root: Path, name: str) -> Path:
    """The folder of a finished campaign.

    Raises:
        ConfigError: there is none.
    """
    check_name(name, "campaign")
    path = root / name
    if not (path / CONFIG_FILE).is_file():
        known = sorted(item.parent.name for item in root.glob(f"*/{CONFIG_FILE}"))
        raise ConfigError(
            f"There is no campaign {name!r} in {root}", f"There are: {', '.join(known) or 'none; start with run'}"
        )
    return path
