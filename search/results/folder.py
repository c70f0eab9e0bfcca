"""The folder of a campaign: the names of its files, and the one place that reads them and reports damage."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import HYPERPARAMETER_NAMES, OPTIONAL_NAMES, check_name, parse
from core.errors import ConfigError
from core.files import read_yaml, reading
from core.presets import shipped_preset_names
from search.config import CampaignConfig
from search.results.records import (
    LOCATION_SETTINGS,
    TRIAL_TYPES,
    CampaignRecord,
    CellRecord,
    ConfirmationRecord,
    IncumbentRecord,
    SummaryRecord,
)
from search.study.journal.file import read_committed
from search.study.journal.records import read_records
from search.study.trial_record import STATUSES, TrialRecord

if TYPE_CHECKING:  # pandas takes longer to import than `status` and `--help` may take
    import pandas as pd

    from search.results.records import RankedTrial
    from search.results.verdict import Verdict

ROOT = Path("results")
"""Default folder of all campaigns."""

CONFIG_FILE = "campaign.yaml"
JOURNAL_FILE = "journal.log"
TRIALS_FILE = "trials.parquet"
CURVES_FILE = "curves.parquet"
SUMMARY_FILE = "summary.json"
INCUMBENT_FILE = "incumbent.json"
PREDICTIONS_FILE = "predictions.parquet"
RETURNS_FILE = "returns.parquet"
CONFIRMATION_FILE = "confirmation.parquet"
VERDICT_FILE = "verdict.json"
SUPERSEDED_VERDICT_FILE = "verdict-schema-1.json"
"""A verdict by rules that are no longer trusted, kept beside the one that replaces it."""
MANIFEST_FILE = "manifest.json"
LEDGER_FILE = "ledger.jsonl"
"""Lies beside the folders of the campaigns, not in one of them."""
STOP_FILE = ".stop"
"""While this file exists, a running campaign ends as soon as it can."""
RESTORED_FILE = ".restored"
"""Marks a folder that was restored from the campaign's storage, until its search is resumed."""
DRIVER_LOG_FILE = "driver.log"
"""Log of the driver, for people; the manifest does not list it."""
CELLS = "confirmation"
"""Folder of the finished cells of a confirmation that is under way; removed when the verdict is written."""
BEGUN_FILE = "begun.json"
"""File in `CELLS` with the settings that the confirmation was begun with."""
ROW_FILE = "row.json"
"""File in the folder of a finished cell with its row of the confirmation table."""
_TRIALS_REMEDY = "Resume the campaign: it writes the table again from its journal"


@dataclass(frozen=True)
class CampaignFolder:
    """The folder of one campaign: gives the paths of its files and reads them.

    A file that is damaged becomes a `ConfigError` that names the file and what to do.

    Attributes:
        path: path of the folder; its last part is the campaign's name.
    """

    path: Path

    @classmethod
    def find(cls, root: Path, name: str) -> CampaignFolder:
        """Return the folder of an existing campaign.

        Args:
            root: folder of all campaigns.
            name: name of the campaign.

        Raises:
            ConfigError: there is no such campaign; the message lists those that exist.
        """
        folder = cls(root / check_name(name, "campaign"))
        if not folder.is_campaign:
            names = ", ".join(sorted(path.parent.name for path in root.glob(f"*/{CONFIG_FILE}")))
            remedy = f"Name one of: {names}" if names else "Start one with: preset-search run"
            raise ConfigError(f"There is no campaign {name!r} in {root}", remedy)
        return folder

    @property
    def name(self) -> str:
        """Name of the campaign."""
        return self.path.name

    @property
    def default_preset_name(self) -> str:
        """Default name of the campaign's preset, which is never that of a shipped preset."""
        name = self.name.replace("-", "_")
        return f"my_{name}"[:64] if name in shipped_preset_names() else name

    @property
    def is_campaign(self) -> bool:
        """Whether a campaign was started in this folder."""
        return self.config_file.is_file()

    @property
    def is_concluded(self) -> bool:
        """Whether the last run of the search reached its end: resuming the search removes the manifest."""
        return self.manifest.is_file()

    @property
    def config_file(self) -> Path:
        """Path of the settings as given, and of what was resolved from them."""
        return self.path / CONFIG_FILE

    @property
    def journal(self) -> Path:
        """Path of the journal of the study, the single source of truth."""
        return self.path / JOURNAL_FILE

    @property
    def trials_table(self) -> Path:
        """Path of the table with a row for each trial."""
        return self.path / TRIALS_FILE

    @property
    def curves_table(self) -> Path:
        """Path of the table with a row for each epoch of each trial."""
        return self.path / CURVES_FILE

    @property
    def summary(self) -> Path:
        """Path of the summary of the search: its winner, the baselines, and how it ended."""
        return self.path / SUMMARY_FILE

    @property
    def incumbent(self) -> Path:
        """Path of the record of the incumbent's training."""
        return self.path / INCUMBENT_FILE

    @property
    def predictions(self) -> Path:
        """Path of the predictions: of full-fidelity trials on val, of the confirmation out of fold and on test."""
        return self.path / PREDICTIONS_FILE

    @property
    def returns(self) -> Path:
        """Path of the returns of the trades that follow those predictions."""
        return self.path / RETURNS_FILE

    @property
    def confirmation_table(self) -> Path:
        """Path of the table with a row for each cell of the confirmation."""
        return self.path / CONFIRMATION_FILE

    @property
    def verdict(self) -> Path:
        """Path of the verdict of the confirmation."""
        return self.path / VERDICT_FILE

    @property
    def manifest(self) -> Path:
        """Path of the hashes of the files that a preset is made from."""
        return self.path / MANIFEST_FILE

    @property
    def superseded_verdict(self) -> Path:
        """Path of the verdict that a newer one replaced, where there was one."""
        return self.path / SUPERSEDED_VERDICT_FILE

    @property
    def ledger(self) -> Path:
        """Path of the ledger, which all campaigns of the parent folder share."""
        return self.path.parent / LEDGER_FILE

    @property
    def stop_request(self) -> Path:
        """Path of the file whose existence asks a running campaign to end."""
        return self.path / STOP_FILE

    @property
    def restored_marker(self) -> Path:
        """Path of the file that marks a restored folder until its search is resumed."""
        return self.path / RESTORED_FILE

    @property
    def driver_log(self) -> Path:
        """Path of the driver's log."""
        return self.path / DRIVER_LOG_FILE

    @property
    def cells(self) -> Path:
        """Path of the folder with the finished cells of a confirmation that is under way."""
        return self.path / CELLS

    @property
    def confirmation_settings(self) -> Path:
        """Path of the settings that the confirmation was begun with."""
        return self.cells / BEGUN_FILE

    def cell(self, key: str) -> Path:
        """Return the path of the folder that keeps the result of a cell of the confirmation.

        Args:
            key: the key of the cell, see `search.confirmation.plan.Cell.key`.
        """
        return self.cells / key

    def finished_cells(self) -> int:
        """Count the finished cells of a confirmation that is under way."""
        return len(list(self.cells.glob(f"*/{ROW_FILE}")))

    def read_config(self) -> CampaignConfig:
        """Read the campaign's settings with the schema of this version.

        Raises:
            ConfigError: the file is damaged, or holds a setting that this version does not know.
        """
        return parse(CampaignConfig, self._read_section("config"), str(self.config_file))

    def _read_section(self, name: str) -> dict[str, Any]:
        section = read_yaml(self.config_file).get(name)
        if not isinstance(section, dict):
            raise ConfigError(f"{self.config_file} is not a campaign's file", "Restore it from a backup")
        return section

    def read_record(self) -> CampaignRecord:
        """Read the facts that the campaign's file records, whichever version wrote it.

        Raises:
            ConfigError: the file is damaged.
        """
        config, resolved = self._read_section("config"), self._read_section("resolved")
        with reading(self.config_file):
            given = {key: config[key] for key in ("name", "dry_run", "metric", "model", "seed")}
            own = {key: value for key, value in config.get("data", {}).items() if value is not None}
            settings = {key: value for key, value in own.items() if key not in LOCATION_SETTINGS}
            return CampaignRecord.model_validate(
                {**resolved, **given, "data": {**resolved["data"], "settings": settings}}
            )

    def read_journal(self) -> list[TrialRecord]:
        """Read the trials from the journal, which a driver may be writing meanwhile.

        Raises:
            ConfigError: the journal is missing or damaged.
        """
        lines, _ = read_committed(self.journal)
        with reading(self.journal):
            return read_records(lines, self.name)

    def read_trials(self) -> pd.DataFrame:
        """Read the trials table, with the columns and types of `search.results.records.TRIAL_TYPES`.

        A metric or a hyperparameter that is newer than the campaign is NaN.

        Raises:
            ConfigError: the table is missing or damaged.
        """
        import pandas as pd

        with reading(self.trials_table, _TRIALS_REMEDY):
            table = pd.read_parquet(self.trials_table)
            newer = {name for name in TRIAL_TYPES if name.startswith("val_")} | {*HYPERPARAMETER_NAMES, *OPTIONAL_NAMES}
            if missing := [name for name in TRIAL_TYPES if name not in table and name not in newer]:
                raise ValueError(f"it has no column {missing[0]}")
            if table["number"].duplicated().any():
                raise ValueError("it holds a trial twice")
            if unknown := sorted(set(table["status"]) - STATUSES):
                raise ValueError(f"it holds a trial with status {unknown[0]!r}")
            return table.reindex(columns=list(TRIAL_TYPES)).astype(TRIAL_TYPES)

    def read_ranked_trials(self) -> list[RankedTrial]:
        """Read the full-fidelity trials from the trials table, the best first, see `search.results.ranking`.

        Raises:
            ConfigError: the table is missing or damaged.
        """
        from search.results.ranking import rank_trials

        trials = self.read_trials()
        with reading(self.trials_table, _TRIALS_REMEDY):
            return rank_trials(trials)

    def read_curves(self) -> pd.DataFrame:
        """Read the curves table: a row for each trial and epoch.

        Raises:
            ConfigError: the table is missing or damaged.
        """
        return _read_table(self.curves_table)

    def read_predictions(self) -> pd.DataFrame:
        """Read the predictions of the full-fidelity trials and of the confirmation.

        Raises:
            ConfigError: the table is missing or damaged.
        """
        return _read_table(self.predictions)

    def read_returns(self) -> pd.DataFrame:
        """Read the returns of the trades that follow the predictions.

        Raises:
            ConfigError: the table is missing or damaged.
        """
        return _read_table(self.returns)

    def read_confirmation_table(self) -> pd.DataFrame | None:
        """Read the table of the confirmation: a row for each training; None if nothing was confirmed.

        Raises:
            ConfigError: the table is damaged.
        """
        return _read_table(self.confirmation_table) if self.confirmation_table.is_file() else None

    def read_incumbent(self) -> IncumbentRecord | None:
        """Read the record of the incumbent's training; None if it has not been begun.

        Raises:
            ConfigError: the file is damaged.
        """
        if not self.incumbent.is_file():
            return None
        with reading(self.incumbent, "Remove it: the training will be repeated"):
            return IncumbentRecord.model_validate(_read_json(self.incumbent))

    def read_confirmation(self) -> ConfirmationRecord | None:
        """Read the settings that the confirmation was begun with; None if none is under way.

        Raises:
            ConfigError: the file is damaged.
        """
        if not self.confirmation_settings.is_file():
            return None
        with reading(self.confirmation_settings, f"Remove {self.cells}: the confirmation starts again"):
            return ConfirmationRecord.model_validate(_read_json(self.confirmation_settings))

    def read_cell(self, key: str) -> CellRecord | None:
        """Read the record of a cell of the confirmation; None if it is not finished or damaged, so must be trained.

        Args:
            key: the key of the cell, see `search.confirmation.plan.Cell.key`.
        """
        path = self.cell(key) / ROW_FILE
        with suppress(ConfigError), reading(path):
            return CellRecord.model_validate(_read_json(path))
        return None

    def read_cell_tables(self, key: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Read the predictions and the returns of a complete cell.

        Args:
            key: the key of the cell.

        Raises:
            ConfigError: a table is missing or damaged.
        """
        return _read_table(self.cell(key) / PREDICTIONS_FILE), _read_table(self.cell(key) / RETURNS_FILE)

    def read_summary(self) -> SummaryRecord:
        """Read the summary of the last run of the search.

        Raises:
            ConfigError: the summary is missing or damaged.
        """
        with reading(self.summary, "Resume the campaign: it writes the summary again"):
            return SummaryRecord.model_validate(_read_json(self.summary))

    def read_verdict(self) -> Verdict | None:
        """Read the verdict of the confirmation; None if the campaign was not confirmed.

        Raises:
            ConfigError: the file is damaged, or of a version that this program does not know.
        """
        from search.results.verdict import read_verdict

        return read_verdict(self.verdict)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    with reading(path):
        return pd.read_parquet(path)
