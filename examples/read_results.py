"""Read a campaign's folder into pandas: its trials, its curves, and the verdict of its confirmation.

    python examples/read_results.py
    python examples/read_results.py results my-campaign

Nothing is trained, and neither Ray nor torch is imported. While a campaign runs, its tables are missing or those of an
earlier run; `folder.read_journal()` returns all trials up to now.
"""

from __future__ import annotations

import sys
from pathlib import Path

from search import CampaignFolder

SHOWN = ["number", "status", "epochs", "value", "val_direction_auc", "learning_rate", "batch_size"]


def main(root: Path, name: str) -> None:
    """Print what a campaign has found.

    Args:
        root: folder of all campaigns.
        name: name of the campaign.
    """
    folder = CampaignFolder.find(root, name)
    record = folder.read_record()
    print(f"campaign {record.name}: {', '.join(record.data.symbols)}, ranked by {record.metric}")

    trials = folder.read_trials()
    print(trials["status"].value_counts().to_string())
    print(trials.sort_values("value", ascending=False)[SHOWN].head(5).to_string(index=False))

    curves = folder.read_curves()
    stopped = curves[curves["action"] == "stop"]
    print(f"{len(curves)} epochs; stopped at rung:", stopped.groupby("epoch").size().to_dict())

    verdict = folder.read_verdict()
    if verdict is None:
        print("not confirmed yet")
        return
    print(f"{verdict.status}; winner: trial {verdict.winner.trial}; recommended: {verdict.recommended}")
    for gate in verdict.gates:
        print(f"  {gate.verdict}: {gate.name} = {gate.value} ({gate.bound})")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(Path(sys.argv[1]), sys.argv[2])
    else:
        main(Path(__file__).parents[1] / "results", "btc-eth-15m-8m")
