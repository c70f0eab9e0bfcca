"""Plan and run a small campaign in Python, and print its trials, its winner and the preset that it gives.

    python examples/campaign_in_python.py [RESULTS]

The trainings run in this process, one epoch of each trial at a time, which is slow but easy to debug. To use all cores,
or a cluster, give `run_campaign` another engine and change nothing else:

    from search.engine import RayEngine
    run_campaign(plan, RayEngine())

With a cluster, join it around both calls: `with join_cluster("auto") as nodes:` (`search.cluster.session`), and pass
the nodes on: `plan_campaign(config, root, nodes)`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from core.config import DataConfig, SyntheticConfig
from core.presets import preset_yaml
from search import CampaignConfig, make_preset, plan_campaign, run_campaign
from search.engine import InProcessEngine


def main(root: Path) -> None:
    """Run a campaign of three trials.

    Args:
        root: folder of all campaigns; the campaign gets a folder of its own in it.
    """
    config = CampaignConfig(
        name="example", data=DataConfig(synthetic=SyntheticConfig(bars=4500)), trials=3, max_epochs=2, grace=1,
        model="quick", device="cpu", incumbent="quick_experiment", incumbent_epochs=2, ask=("quick_experiment",),
    )  # fmt: skip
    plan = plan_campaign(config, root)
    summary = run_campaign(plan, InProcessEngine())
    print(plan.folder.read_trials()[["number", "learning_rate", "status", "epochs", "value"]].to_string(index=False))
    print(f"trials: {summary.counts}; ended by: {summary.ended_by}")
    if summary.winner is not None:
        print(f"winner: trial {summary.winner.number}, {config.metric} {summary.winner.value:.4f}, not confirmed")
        print(preset_yaml(make_preset(plan.folder, "example")))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else scratch))
