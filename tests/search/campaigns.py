"""A small campaign that has been searched, made without Ray: what `confirm` and `export` start from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import torch

from core.config import DataConfig, SyntheticConfig
from core.files import write_json
from core.trainer import Trainer
from search import manifest, results
from search.config import CampaignConfig, ConfirmConfig, settings_of
from search.plan import describe, plan
from search.space import SpaceConfig
from search.study import CampaignStudy
from search.trial import TrialJob, as_row, write_outputs
from search.triallog import Epoch

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
        incumbent="quick_experiment",
        incumbent_epochs=1,
        model="quick",
        space=SpaceConfig(),
        confirm=ConfirmConfig(top=2, seeds=2, folds=2),
        device="cpu",
    )


def searched(root: Path, data: DataConfig | None = None) -> Path:
    """The folder of a campaign of three trials, the first of which was stopped."""
    planned = plan(config(data), root)
    folder = planned.folder
    folder.mkdir(parents=True)
    (folder / results.CONFIG_FILE).write_text(describe(planned, datetime(2024, 5, 1, tzinfo=UTC)))
    study = CampaignStudy(folder / results.JOURNAL_FILE, settings_of(planned.config))
    job = TrialJob(planned.base, planned.packing, planned.storage)
    for number in range(3):
        asked = study.ask()
        trainer = Trainer(job.training_config(asked.params), planned.dataset, torch.device("cpu"))
        for result in trainer:
            end = ("complete", "") if trainer.finished else None
            if number == 0:
                end = ("stopped", "stopped at rung 1: place 2 of 2, of which 1 go on")
            study.report(number, result.epoch, Epoch(result.value, as_row(result), None), end)
            if number == 0:
                break
        else:
            write_outputs(trainer, planned.dataset, number, planned.storage.at(f"{number}/1"))
    study.close()
    logs = list(study.trials.values())
    results.write_tables(folder, logs)
    results.gather(folder, planned.storage, logs)
    incumbent = Trainer(planned.incumbent, planned.dataset, torch.device("cpu"))
    write_json(
        folder / results.INCUMBENT_FILE, {"complete": True, "attempts": 1, "rows": [as_row(r) for r in incumbent]}
    )
    manifest.write(folder)
    return folder
