"""Makes what a report knows of a campaign without files, and folders of campaigns whose trials were not trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.config import DataConfig, SyntheticConfig
from core.files import to_yaml
from search.config import CampaignConfig, study_settings
from search.report.campaign_data import CampaignData
from search.results import tables
from search.results.records import CampaignRecord
from search.study.asha import Decision
from search.study.study import CampaignStudy
from search.study.trial_record import TrialRecord

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028'\"&"
"""A name that would run code where a page does not escape it."""


def campaign_config(name: str = "made", **changes: Any) -> CampaignConfig:
    data = DataConfig(synthetic=SyntheticConfig(bars=5000))
    return CampaignConfig(
        **{"name": name, "data": data, "metric": "auc", "ask": (), "sampler": "random", "model": "quick", **changes}
    )


def _facts(name: str, **data: Any) -> dict[str, Any]:
    return {
        "name": name,
        "dry_run": False,
        "metric": "auc",
        "model": "quick",
        "seed": 0,
        "data": {
            "synthetic": False,
            "symbols": ["BTCUSDT"],
            "span": ["2024-01-01T00:00:00+00:00", "2024-02-01T00:00:00+00:00"],
            "bar": 300_000_000,
            "fingerprint": "0" * 64,
            "window": 16,
            "horizon": 3,
            "rows": {"train": 700, "val": 150, "test": 150},
            **data,
        },
        "base_recipe": {"model": {"dropout": 0.4}, "trainer": {"learning_rate": 1e-4, "epochs": 18}},
        "incumbent_recipe": {"model": {"dropout": 0.4}, "trainer": {"learning_rate": 5e-5, "epochs": 60}},
        "versions": {"preset-search": "0.2.0"},
    }


def campaign_data(records: Sequence[TrialRecord], **changes: Any) -> CampaignData:
    """Return a campaign with these trials and nothing else; `changes` are attributes of it."""
    return CampaignData(**{
        "name": "made",
        "record": CampaignRecord.model_validate(_facts("made")),
        "is_running": False,
        "records": tuple(records),
        "trials": tables.make_trials_table(records),
        "curves": tables.make_curves_table(records),
        "acts": (),
        "config": campaign_config(),
        **changes,
    })  # fmt: skip


def judged(record: TrialRecord, **changes: Any) -> TrialRecord:
    """Return a trial that was judged after its first epoch; `changes` are attributes of that epoch."""
    decision = Decision(rung=1, value=record.epochs[1].value, seen=2, rank=1, kept=1, action="continue")
    record.epochs[1] = replace(record.epochs[1], decision=decision, **changes)
    return record


def make_folder(root: Path, records: Sequence[TrialRecord], name: str = "made", **data: Any) -> Path:
    """Write the folder of a campaign whose driver was killed after these trials; `data` are facts of its data."""
    folder = root / name
    folder.mkdir(parents=True)
    config = campaign_config(name)
    resolved = {key: value for key, value in _facts(name, **data).items() if key not in ("name", "dry_run", "metric")}
    started = {"started": datetime(2024, 5, 1, tzinfo=UTC).isoformat()}
    content = {"config": config.model_dump(mode="json"), "resolved": {**resolved, **started}}
    (folder / "campaign.yaml").write_text(to_yaml(content), encoding="utf-8")
    study = CampaignStudy(folder / "journal.log", study_settings(config))
    for record in records:
        number = study.ask().number
        for epoch in record.epochs.values():
            is_last = epoch.epoch == max(record.epochs) and record.outcome is not None
            study.report(number, epoch, (record.outcome, record.reason) if is_last and record.outcome else None)
    study.close()
    return folder
