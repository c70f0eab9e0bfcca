"""Makes a small campaign that has been searched, without Ray: what `confirm` and `export` start from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import torch

from core.config import DataConfig, SyntheticConfig
from core.files import write_json
from core.training.trainer import Trainer
from search.campaign.plan import CampaignPlan, make_campaign_yaml, plan_campaign
from search.config import CampaignConfig, ConfirmConfig, study_settings
from search.engine.job import TrialJob, make_epoch_record
from search.engine.trial_training import write_outputs
from search.results import manifest, tables
from search.study.space import SpaceConfig
from search.study.study import CampaignStudy

NAME = "small"


def config(data: DataConfig | None = None) -> CampaignConfig:
    return CampaignConfig(
        name=NAME,
        data=data or DataConfig(synthetic=SyntheticConfig(bars=5000)),
        trials=3,
        max_epochs=2,
        grace=1,
        ask=(),
        sampler="random",
        metric="macro_f1",
        incumbent="quick_experiment",
        incumbent_epochs=1,
        train_incumbent=True,
        model="quick",
        space=SpaceConfig(),
        confirm=ConfirmConfig(top=2, seeds=2, folds=2),
        device="cpu",
    )


def make_searched_campaign(root: Path, data: DataConfig | None = None) -> Path:
    """Make a campaign of three trials that has been searched, the first trial having been stopped at a rung.

    Args:
        root: folder of all campaigns.
        data: the data settings; None for a short synthetic market.

    Returns:
        path of the campaign's folder.
    """
    planned = plan_campaign(config(data), root)
    folder = planned.folder
    folder.path.mkdir(parents=True)
    folder.config_file.write_text(make_campaign_yaml(planned, datetime(2024, 5, 1, tzinfo=UTC)))
    study = CampaignStudy(folder.journal, study_settings(planned.config))
    job = TrialJob(planned.base, planned.resources, planned.storage)
    for number in range(3):
        trial = study.ask()
        trainer = Trainer(job.training_config(trial.params), planned.dataset, torch.device("cpu"))
        for result in trainer:
            end = ("complete", "") if trainer.finished else None
            if number == 0:
                end = ("stopped", "stopped at rung 1: rank 2 of 2, not in the top 1")
            blocks = trainer.val_block_scores() if result.epoch == planned.config.grace else None
            study.report(number, study.trials[number].recordable(make_epoch_record(result, blocks)), end)
            if number == 0:
                break
        else:
            write_outputs(trainer, planned.dataset, number, planned.storage.subfolder(f"{number}/1"))
    study.close()
    trials = list(study.trials.values())
    tables.write_tables(folder, trials)
    tables.join_trial_outputs(folder, planned.storage, trials)
    incumbent = Trainer(planned.incumbent, planned.dataset, torch.device("cpu"))
    rows = [make_epoch_record(result).as_row() for result in incumbent]
    write_json(folder.incumbent, {"complete": True, "attempts": 1, "rows": rows})
    manifest.write_manifest(folder)
    return folder.path


def begin_campaign(planned: CampaignPlan) -> Path:
    """Write the files of a campaign that was killed at its start; return its folder."""
    planned.folder.path.mkdir(parents=True)
    planned.folder.config_file.write_text(make_campaign_yaml(planned, datetime.now(UTC)))
    CampaignStudy(planned.folder.journal, study_settings(planned.config)).close()
    return planned.folder.path
